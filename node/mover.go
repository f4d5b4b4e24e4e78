package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
)

const (
	// moveEvery is how often a node looks for queues that are to move.
	moveEvery = 500 * time.Millisecond
	// moveAgain is when a queue is tried again of which messages were held.
	moveAgain = 5 * time.Second
	// movesAtOnce is how many queues of a node move at the same time.
	movesAtOnce = 16
)

// A mover moves the queues in the memory of this node that policies replicate to
// shards. It is one goroutine.
type mover struct {
	n        *Node
	policies uint64
	looked   time.Duration
	pending  map[broker.QueueID]time.Duration // when to try
	view     *catalog.View                    // that all fronts were seen to under
	seen     time.Duration
	// step is told each step that was done, by tests.
	step atomic.Pointer[func(broker.QueueID, string)]
}

func (m *mover) run(ctx context.Context) {
	t := time.NewTicker(moveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		b := m.n.broker.Load()
		if b == nil || !m.n.opened.Load() {
			continue
		}
		m.follow(b)
		m.look(b)
		m.move(ctx, b)
	}
}

// follow sees to the fronts that missed a move.
func (m *mover) follow(b *broker.Broker) {
	if v, now := b.View(), m.n.clock.Mono(); v != m.view && now-m.seen >= moveAgain {
		m.view, m.seen = v, now
		b.FollowAll()
	}
}

// look finds what is to move: when policies have changed, and now and then, for a
// queue may have been declared while one was set.
func (m *mover) look(b *broker.Broker) {
	now, policies := m.n.clock.Mono(), b.View().PolicyRevision()
	if m.pending != nil && m.policies == policies && now-m.looked < wishesEvery {
		return
	}
	m.policies, m.looked = policies, now
	before := m.pending
	m.pending = map[broker.QueueID]time.Duration{}
	for _, id := range b.ToMove() {
		m.pending[id] = before[id]
	}
}

// move tries the queues that are due.
func (m *mover) move(ctx context.Context, b *broker.Broker) {
	now := m.n.clock.Mono()
	var due []broker.QueueID
	for id, at := range m.pending {
		if at <= now {
			due = append(due, id)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(due))
	slots := make(chan struct{}, movesAtOnce)
	for i, id := range due {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var step func(string)
			if f := m.step.Load(); f != nil {
				step = func(s string) { (*f)(id, s) }
			}
			errs[i] = b.Move(ctx, id, step)
		})
	}
	wg.Wait()
	for i, id := range due {
		switch err := errs[i]; {
		case err == nil:
			delete(m.pending, id)
		default:
			m.pending[id] = m.n.clock.Mono() + moveAgain
			if !errors.Is(err, broker.ErrBusy) && ctx.Err() == nil {
				m.n.log.Warn("a queue could not be moved to a shard", "queue", id, "err", err)
			}
		}
	}
}
