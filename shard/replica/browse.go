package replica

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/storage"
)

// A browse is one call of Browse under way. Bodies and pages that are not in
// memory are read by the loader and stay nowhere: a backup must not push out
// what consumers need.
type browse struct {
	*shard.Browse
	s    *Shard
	done func(shard.BrowsePart)
	// lacked is a page that the state store did not have.
	lacked    uint64
	hasLacked bool
}

// Browse implements shard.Browser.
func (s *Shard) Browse(b *shard.Browse, done func(shard.BrowsePart)) {
	if x, ok := s.o.Elsewhere.(shard.Browser); ok && s.guests.term.Load() == 0 {
		x.Browse(b, done)
		return
	}
	s.BrowseHere(b, done)
}

// BrowseHere is Browse of this replica, whoever leads.
func (s *Shard) BrowseHere(b *shard.Browse, done func(shard.BrowsePart)) {
	x := &browse{Browse: b, s: s, done: done}
	s.Run(x.turn)
}

func (x *browse) fail(err error) { x.done(shard.BrowsePart{Err: err}) }

// queue returns the queue, nil if it has nothing in it yet.
func (x *browse) queue() (*engine.Queue, error) {
	if !x.s.leading || x.s.failed {
		return nil, shard.ErrUnavailable
	}
	if _, _, ok := x.s.o.Catalog.Queue(x.s.o.Group, x.Queue); !ok {
		return nil, shard.ErrGone
	}
	return x.s.e.Queue(x.Queue), nil
}

// turn runs in the shard's turn.
func (x *browse) turn() {
	q, err := x.queue()
	if err != nil {
		x.fail(err)
		return
	}
	if q == nil {
		x.done(shard.BrowsePart{End: true})
		return
	}
	found, page, cold := x.Cursor.Next(q.Ledger, max(1, x.Messages), max(1, x.Bytes), nil)
	switch {
	case len(found) > 0:
		x.take(found)
	case cold && x.hasLacked && x.lacked == page:
		x.fail(fmt.Errorf("%w: page %d of queue %d is not in the state", storage.ErrDamaged, page, x.Queue))
	case cold:
		x.page(page)
	default:
		x.done(shard.BrowsePart{End: true, Gone: x.Cursor.Gone(q.Ledger, nil)})
	}
}

// page reads the records of a cold page and goes on.
func (x *browse) page(page uint64) {
	s := x.s
	s.o.Loader.Do(func() error {
		v, err := s.o.State.Get(nil, key2(nil, s.slot, keyRecords, x.Queue, page))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("read page %d of queue %d: %w", page, x.Queue, err)
		}
		s.runHere(func() {
			q, gone := x.queue()
			if gone == nil && q != nil && err == nil {
				gone = x.Cursor.Feed(q.Ledger, page, v)
			}
			if gone != nil {
				x.fail(gone)
				return
			}
			if err != nil { // then its messages have gone meanwhile
				x.lacked, x.hasLacked = page, true
			}
			x.turn()
		})
		return nil
	})
}

// take collects the bodies of what was found, a bounded number of bytes at a
// time.
func (x *browse) take(found []queue.Browsed) {
	now := x.s.e.Now
	ms := make([]shard.Browsed, len(found))
	var missing []int
	for i := range found {
		f := &found[i]
		m := &ms[i]
		m.Seq, m.Priority, m.Redelivered = f.Seq, f.Record.Priority, f.Redelivered
		m.Acquired, m.Failed = f.Record.Acquired, f.Record.Failed
		m.Left(f.Record.Expires, now)
		if m.Blob = x.s.e.Residents.Body(f.Record.Body); m.Blob == nil {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		x.done(shard.BrowsePart{Messages: ms})
		return
	}
	bodies := make([]queue.Body, len(missing))
	for k, i := range missing {
		bodies[k] = found[i].Record.Body
	}
	x.s.o.Loader.Bodies(x.s.o.Group, x.s.slot, bodies, func(blobs [][]byte) {
		for k, i := range missing {
			ms[i].Blob = blobs[k]
		}
		x.s.runHere(func() { x.taken(ms) })
	})
}

// taken hands over what was read. What has no body left the queue since, or is
// lost.
func (x *browse) taken(ms []shard.Browsed) {
	q, err := x.queue()
	if err != nil {
		x.fail(err)
		return
	}
	have := ms[:0]
	for i := range ms {
		m := ms[i]
		switch {
		case m.Blob != nil:
			have = append(have, m)
		case q != nil && q.Ledger.Live(m.Seq):
			x.fail(fmt.Errorf("%w: message %d of queue %d is in neither log nor state", storage.ErrDamaged, m.Seq, x.Queue))
			return
		}
	}
	x.done(shard.BrowsePart{Messages: have})
}
