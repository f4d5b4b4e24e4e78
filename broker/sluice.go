package broker

import (
	"sync"
	"sync/atomic"
)

// A sluice holds publishers back while it is shut. It does not stop them: they
// ask before they publish, wait on their own terms, and are told when it opens.
// Those that went through while it was about to shut are few: one call each.
type sluice struct {
	shut atomic.Bool
	mu   struct {
		sync.Mutex
		waiting map[waiter]struct{}
	}
}

// A waiter is told once that the sluice is open. It must not block.
type waiter interface{ opened() }

// close shuts the sluice.
func (g *sluice) close() {
	g.mu.Lock()
	g.shut.Store(true)
	g.mu.Unlock()
}

// open opens it and tells those that wait. It may be called inside a shard's
// turn.
func (g *sluice) open() {
	g.mu.Lock()
	g.shut.Store(false)
	ws := g.mu.waiting
	g.mu.waiting = nil
	g.mu.Unlock()
	for w := range ws {
		w.opened()
	}
}

// wait has w told when the sluice opens. It returns false if it is open.
func (g *sluice) wait(w waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut.Load() {
		return false
	}
	if g.mu.waiting == nil {
		g.mu.waiting = map[waiter]struct{}{}
	}
	g.mu.waiting[w] = struct{}{}
	return true
}

// forget has w not told any more.
func (g *sluice) forget(w waiter) {
	g.mu.Lock()
	delete(g.mu.waiting, w)
	g.mu.Unlock()
}

// A memoryGate bounds what the memory queues of a node hold: their bodies are
// nowhere else, so publishers to them wait while it is full. Consumers go on,
// which is what empties it.
type memoryGate struct {
	sluice
	limit int64
	used  atomic.Int64
}

// add changes what is held. It may be called inside a shard's turn.
func (g *memoryGate) add(delta int) {
	used := g.used.Add(int64(delta))
	switch {
	case used > g.limit && !g.shut.Load():
		g.close()
		if g.used.Load() <= g.low() { // all went meanwhile, and saw it open
			g.open()
		}
	case g.shut.Load() && used <= g.low():
		g.open()
	}
}

// low is where the sluice opens again.
func (g *memoryGate) low() int64 { return g.limit - g.limit/4 }
