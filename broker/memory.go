package broker

import (
	"context"
	"sync"
	"sync/atomic"
)

// A memoryGate bounds what the memory queues of a node hold: their bodies are
// nowhere else, so publishers to them wait while it is full. Consumers go on,
// which is what empties it.
type memoryGate struct {
	limit int64
	used  atomic.Int64
	shut  atomic.Bool

	mu   sync.Mutex
	open chan struct{} // closed when the gate opens; nil while it is open
}

// add changes what is held. It may be called inside a shard's turn.
func (g *memoryGate) add(delta int) {
	used := g.used.Add(int64(delta))
	switch {
	case used > g.limit && !g.shut.Load():
		g.mu.Lock()
		if g.open == nil && g.used.Load() > g.limit {
			g.open = make(chan struct{})
			g.shut.Store(true)
		}
		g.mu.Unlock()
	case g.shut.Load() && used <= g.limit-g.limit/4:
		g.mu.Lock()
		if g.open != nil {
			close(g.open)
			g.open = nil
			g.shut.Store(false)
		}
		g.mu.Unlock()
	}
}

// wait returns when the gate is open.
func (g *memoryGate) wait(ctx context.Context) error {
	for g.shut.Load() {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		if open == nil {
			return nil
		}
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
