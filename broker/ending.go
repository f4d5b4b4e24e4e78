package broker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard"
)

// The end of a queue goes shard first: the shard closes it, if the conditions
// hold in the queue's turn, then the catalog deletes it, then the shard drops
// it. Whoever closed a queue sees to the rest; if it can not, finish does, and
// after a crash the shard's leader asks for it.

// endQueue ends a queue and returns how many messages were ready in it.
func (s *Session) endQueue(ctx context.Context, q *catalog.Queue, c shard.Conditions) (uint64, error) {
	n, err := s.closeQueue(ctx, q, c)
	if err != nil && KindOf(err) != NotFound { // somebody else is at it
		return 0, err
	}
	_, err = s.do(ctx, &catalog.DeleteQueue{VHost: s.vhost, Name: q.Name, ID: q.ID, By: s.owner}, QueueResource, q.Name)
	switch KindOf(err) {
	case NotFound:
		return n, nil
	case Unavailable:
		s.b.Ended(q.ID) // whether the catalog took it is not known
	default:
		if err != nil {
			s.b.reopen(q)
		}
	}
	return n, err
}

// closeQueue has the shard close a queue. If the session does not wait for the
// answer any more, the queue is ended nevertheless: it may be closed.
func (s *Session) closeQueue(ctx context.Context, q *catalog.Queue, c shard.Conditions) (n uint64, err error) {
	to, err := s.b.shardOf(q)
	if err != nil {
		return 0, err
	}
	type answer struct {
		n   uint64
		err error
	}
	var left atomic.Bool
	ch := make(chan answer, 1)
	to.Close(q.ID, c, func(n uint64, err error) {
		ch <- answer{n, err}
		if left.Load() && err == nil {
			s.b.Ended(q.ID)
		}
	})
	select {
	case a := <-ch:
		if a.err != nil {
			return 0, s.shardError(a.err, QueueResource, q.Name)
		}
		return a.n, nil
	case <-ctx.Done():
		left.Store(true)
		select {
		case a := <-ch:
			if a.err == nil {
				s.b.Ended(q.ID)
			}
		default:
		}
		return 0, s.shardError(ctx.Err(), QueueResource, q.Name)
	}
}

// Ended has the catalog delete a queue that is closed. It does not wait, and may
// be called inside a shard's turn.
func (b *Broker) Ended(id shard.QueueID) {
	q := b.View().QueueByID(id)
	if q == nil {
		return
	}
	h := b.View().VHostByID(q.VHost)
	cmd := &catalog.DeleteQueue{VHost: h.Name, Name: q.Name, ID: id, Force: true}
	b.o.Catalog.Start(cmd, func(r catalog.Result, err error) {
		switch {
		case err != nil:
			b.mu.Lock()
			b.mu.ending[id] = struct{}{}
			b.mu.Unlock()
		case r.Code != catalog.Done && r.Code != catalog.NotFound:
			b.o.Logger.Warn("the catalog does not delete a queue", "queue", q.Name, "vhost", h.Name, "reason", r.Code.String())
			b.reopen(q)
		}
	})
}

// retryEndings is how often the catalog is asked again to delete what it could
// not when it was asked.
const retryEndings = time.Second

// endAgain asks again.
func (b *Broker) endAgain() {
	b.mu.Lock()
	ids := b.mu.ending
	if len(ids) > 0 {
		b.mu.ending = map[uint64]struct{}{}
	}
	b.mu.Unlock()
	for id := range ids {
		b.Ended(id)
	}
}

// reopen has a queue go on that the catalog keeps.
func (b *Broker) reopen(q *catalog.Queue) {
	to, err := b.shardOf(q)
	if err != nil {
		return // its leader asks again
	}
	to.Reopen(q.ID, func(err error) {
		if err != nil {
			b.o.Logger.Warn("a queue that the catalog keeps stays closed", "queue", q.Name, "err", err)
		}
	})
}

// wakeExpiring has the shards know the queues that end when they are not used:
// the time of each begins with this life of the node.
func (b *Broker) wakeExpiring() {
	for q := range b.View().Queues(0) {
		if Settings(q).Expires == 0 {
			continue
		}
		if to, err := b.shardOf(q); err == nil {
			to.Renew(q.ID, func(shard.Counts, error) {})
		}
	}
}
