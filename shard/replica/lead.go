package replica

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/storage"
)

// Lead implements commitlog.Machine. Every entry of earlier terms is applied:
// what is pending of this node's batches is in none of them and is proposed
// again, before anything new.
func (s *Shard) Lead(term uint64) {
	if s.failed {
		return
	}
	s.term, s.leading, s.leader = term, true, 0
	if !s.clock.lived {
		s.clock.seed(s.o.Wall())
	}
	s.e.Now = max(s.e.Now, s.clock.last()) // queues that end unused begin their time anew
	s.section.Reset()
	s.sent, s.lastIdx = 0, 0
	s.inflight.Store(0)
	for _, q := range s.e.Queues() {
		q.Fresh = false
		if q.Ledger.Total().Messages+q.Ledger.Outbox().Messages > 0 || q.Settings.Expires > 0 {
			s.dispatch(q)
		}
		if s.changed(q.ID); q.Closed {
			s.o.Ended(q.ID) // whoever was at it may be gone
		}
	}
	me := s.o.Incarnation
	if st := s.streams[me.Node]; st != nil && st.inc != 0 && st.inc < me.Number && st.ended < st.inc {
		s.section.Add(shard.Command{Kind: shard.CmdEnd, Queue: me.Node, Seq: st.inc})
	}
}

// Follow implements commitlog.Machine. Batches stay pending: they may be
// applied yet, or are proposed again. What was decided beside them is void, and
// whether what was proposed of it holds can not be learnt.
func (s *Shard) Follow(_, leader uint64) {
	s.leader = leader
	if !s.leading || s.failed {
		return
	}
	s.leading = false
	s.since = s.mono
	s.inflight.Store(0)
	s.sent = 0
	s.section.Reset()
	s.recount = s.recount[:0]
	for _, w := range s.waiting {
		w.f(shard.ErrUnavailable)
	}
	for _, f := range s.fns {
		f(shard.ErrUnavailable)
	}
	for i := range s.behind {
		s.e.Refuse([]shard.Request{s.behind[i].r})
	}
	s.waiting, s.fns, s.behind = nil, nil, nil
	s.requests, s.settles = s.in.TakeRequests(s.requests[:0], s.settles[:0])
	s.park(true)
	for _, q := range s.e.Queues() {
		s.e.Unlead(q, shard.ErrUnavailable)
		if !q.Logged {
			s.e.Remove(q)
		}
	}
}

// Find makes a queue that the catalog has and the shard has not: the command
// stands before the first that names the queue, in the same entry.
func (s *Shard) Find(id shard.QueueID) *engine.Queue {
	settings, rev, ok := s.o.Catalog.Queue(s.o.Group, id)
	if !ok || !s.leading {
		return nil
	}
	s.section.Add(shard.Command{Kind: shard.CmdMake, Queue: id, Seq: rev, Settings: shard.AppendSettings(nil, settings)})
	q := s.make(id, rev, settings)
	q.Fresh = true
	return q
}

// make makes the queue's ledger. The leader does it when it decides to, so that
// what is decided next finds it; applying CmdMake finds it made. Until then the
// queue is not Logged, and no part of the shard's state.
func (s *Shard) make(id shard.QueueID, rev uint64, settings shard.Settings) *engine.Queue {
	q := &engine.Queue{ID: id, Ledger: queue.NewLedger(settings.Settings), Settings: settings, Revision: rev}
	s.e.Add(q)
	return q
}

// dispatch gives the queue a dispatcher.
func (s *Shard) dispatch(q *engine.Queue) {
	if !s.leading || q.Disp != nil {
		return
	}
	life := queue.Life{Term: s.term}
	var before queue.Incarnation
	if !q.Fresh {
		// Whoever was served by an earlier leader had its sessions with it, and
		// they have ended.
		before = queue.Incarnation{Node: s.o.Incarnation.Node, Number: s.o.Incarnation.Number - 1}
		life.Waits = []queue.Incarnation{before}
	}
	d := queue.NewDispatcher(q.Ledger, life)
	if !q.Fresh {
		var out queue.Outcome
		d.EndIncarnation(before, &out)
	}
	s.e.Led(q, d)
	s.e.Ask(q)
}

// changed follows what the catalog says of a queue now.
func (s *Shard) changed(id shard.QueueID) {
	q := s.e.Queue(id)
	if !s.leading {
		return // Lead looks at all queues
	}
	settings, rev, ok := s.o.Catalog.Queue(s.o.Group, id)
	switch {
	case q == nil && ok && settings.Expires > 0:
		if q = s.Find(id); q != nil {
			s.dispatch(q)
		}
	case q == nil:
	case !ok && s.o.Catalog.Revision() >= q.Revision:
		s.section.Add(shard.Command{Kind: shard.CmdDrop, Queue: id})
	case ok && settings != q.Settings:
		s.section.Add(shard.Command{Kind: shard.CmdSet, Queue: id, Seq: rev, Settings: shard.AppendSettings(nil, settings)})
	}
}

// --- engine.Log: decisions go into the section ---

// decisions is the shard as its engine sees it.
type decisions struct{ s *Shard }

func (d decisions) Settle(q *engine.Queue, r queue.Run) {
	d.s.decided().Add(shard.Command{Kind: shard.CmdSettle, Queue: q.ID, Run: r})
}

func (d decisions) Return(q *engine.Queue, r queue.Run, raise queue.Raise) {
	q.Returning++
	d.s.decided().Add(shard.Command{Kind: shard.CmdReturn, Queue: q.ID, Run: r, Arg: uint64(raise)})
}

func (d decisions) Remove(q *engine.Queue, r queue.Run, why queue.Reason) {
	d.s.decided().Add(shard.Command{Kind: shard.CmdRemove, Queue: q.ID, Run: r, Arg: uint64(why)})
}

func (d decisions) Post(q *engine.Queue, r queue.Run, why queue.Reason) {
	d.s.decided().Add(shard.Command{Kind: shard.CmdPost, Queue: q.ID, Run: r, Arg: uint64(why)})
}

func (d decisions) Left(q *engine.Queue, r queue.Run) {
	d.s.section.Add(shard.Command{Kind: shard.CmdLeft, Queue: q.ID, Run: r})
}

func (d decisions) Lead(q *engine.Queue) { d.s.dispatch(q) }

func (d decisions) Find(id shard.QueueID) *engine.Queue { return d.s.Find(id) }

func (d decisions) Close(q *engine.Queue) {
	d.s.section.Add(shard.Command{Kind: shard.CmdClose, Queue: q.ID})
}

func (d decisions) Reopen(q *engine.Queue) {
	d.s.section.Add(shard.Command{Kind: shard.CmdReopen, Queue: q.ID})
}

func (d decisions) Ended(q *engine.Queue) { d.s.o.Ended(q.ID) }

func (d decisions) Committed(f func(error)) { d.s.fns = append(d.s.fns, f) }

func (d decisions) Behind(r shard.Request) bool {
	s := d.s
	batches, _, _ := s.in.Pending()
	if batches == 0 && len(s.pending) == 0 {
		return false
	}
	s.behind = append(s.behind, behind{s.number + uint64(batches), r})
	return true
}

func (d decisions) Load(c *engine.Consumer, bodies []queue.Body) {
	s := d.s
	s.o.Loader.Bodies(s.o.Group, s.slot, bodies, func(blobs [][]byte) {
		s.runHere(func() { s.bodiesLoaded(c, blobs) })
	})
}

// bodiesLoaded takes what was read. A body that was not found belongs to a
// message that has gone meanwhile, or is lost.
func (s *Shard) bodiesLoaded(c *engine.Consumer, blobs [][]byte) {
	if d := s.e.Loaded(c, blobs); d != nil {
		s.fail(fmt.Errorf("%w: body %+v of group %d is in neither log nor state", storage.ErrDamaged, d.Record.Body, s.o.Group))
	}
}

func (d decisions) LoadPage(q *engine.Queue, page uint64) {
	s := d.s
	s.o.Loader.Do(func() error {
		v, err := s.o.State.Get(nil, key2(nil, s.slot, keyRecords, q.ID, page))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return fmt.Errorf("read page %d of queue %d: %w", page, q.ID, err)
		}
		s.runHere(func() { s.pageLoaded(q, page, v, err) })
		return nil
	})
}

// pageLoaded installs a page, unless it emptied meanwhile.
func (s *Shard) pageLoaded(q *engine.Queue, page uint64, v []byte, err error) {
	if s.e.Queue(q.ID) != q {
		return
	}
	if err == nil {
		err = q.Ledger.Install(page, v)
	}
	if err != nil && s.livePage(q, page) {
		s.fail(fmt.Errorf("page %d of queue %d: %w", page, q.ID, err))
		return
	}
	s.e.PageLoaded(q, page)
}

func (s *Shard) livePage(q *engine.Queue, page uint64) bool {
	for p := range q.Ledger.Pages() {
		if p.ID == page {
			return (p.Live.Messages > 0 || p.Out > 0) && !p.Hot
		}
	}
	return false
}

// fail ends the process; in a test it ends the shard.
func (s *Shard) fail(err error) {
	s.failed = true
	s.o.Fatal(err)
}
