package replica

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/storage"
)

// Lead implements commitlog.Machine. Every entry of earlier terms is applied:
// what is pending of this node's batches is in none of them and is proposed
// again, before anything new. What an earlier leader served is waited for, this
// node's own sessions attach at once.
func (s *Shard) Lead(term uint64) {
	if s.failed {
		return
	}
	if s.o.Elsewhere != nil {
		s.o.Elsewhere.Lead()
	}
	step.At(step.LeadTaken)
	s.term, s.leading, s.leader = term, true, 0
	if !s.clock.lived {
		s.clock.seed(s.o.Wall())
	}
	s.e.Now = max(s.stamp, s.clock.last()) // queues that end unused begin their time anew
	s.section.Reset()
	s.stampDue, s.again = false, nil
	s.lastIdx = 0
	s.inflight.Store(0)
	s.visits = visits{taken: s.visits.taken[:0], reqs: s.visits.reqs[:0]}
	s.early = early{}
	s.serving = serving{waits: s.servedList(), at: s.mono}
	for _, q := range s.e.Queues() {
		q.Fresh = false
		if q.Ledger.Total().Messages+q.Ledger.Outbox().Messages > 0 || q.Settings.Expires > 0 {
			s.dispatch(q)
		}
		if s.changed(q.ID); q.Closed {
			s.o.Ended(q.ID) // whoever was at it may be gone
		}
	}
	s.endDead()
	s.attachOwn()
	s.guests.term.Store(term)
	if s.o.OnLead != nil {
		s.o.OnLead(term)
	}
}

// attachOwn attaches this node's own sessions, with what they hold and have not
// learnt to be settled.
func (s *Shard) attachOwn() {
	rs := s.org.Report(s.term)
	for i := range rs {
		out := s.attach(&rs[i])
		s.org.Attached(&out, rs[i].End)
	}
	h := s.org.Yield(s.term)
	s.early.settles = h.Settles
	for _, f := range h.Done {
		s.early.requests = append(s.early.requests, shard.Request{Kind: shard.ReqSettle, Done: f})
	}
	s.early.requests = append(s.early.requests, h.Requests...)
}

// settleOwn ends holdings of this node's sessions, and keeps what was settled
// until it is applied.
func (s *Shard) settleOwn(ss []shard.Settle) {
	if len(ss) == 0 {
		return
	}
	s.e.Settle(ss)
	if s.open.settles == nil && cap(s.settles) > 0 && &ss[0] == &s.settles[:1][0] {
		s.open.settles, s.settles = ss, nil
		if n := len(s.spares); n > 0 {
			s.settles, s.spares = s.spares[n-1], s.spares[:n-1]
		}
		return
	}
	s.open.settles = append(s.open.settles, ss...)
}

// maxSpare and maxSpareSettles bound what is kept to be used again.
const (
	maxSpare        = 4
	maxSpareSettles = 1 << 16
)

func (s *Shard) recycle(ss []shard.Settle) {
	if cap(ss) > 0 && cap(ss) <= maxSpareSettles && len(s.spares) < maxSpare {
		s.spares = append(s.spares, ss[:0])
	}
}

// landed forgets what was settled in entries that are applied.
func (s *Shard) landed() {
	n := 0
	for n < len(s.flights) && s.flights[n].index <= s.applied {
		s.recycle(s.flights[n].settles)
		n++
	}
	if n > 0 {
		k := copy(s.flights, s.flights[n:])
		clear(s.flights[k:])
		s.flights = s.flights[:k]
	}
}

// Follow implements commitlog.Machine. Batches stay pending: they may be
// applied yet, or are proposed again. What was decided beside them is void, and
// whether what was proposed of it holds can not be learnt: what this node's
// sessions have, hold and settled goes to the origin, to be told to whoever leads
// next.
func (s *Shard) Follow(_, leader uint64) {
	s.leader = leader
	if s.failed {
		return
	}
	if s.leading {
		s.unlead()
	}
	if s.o.Elsewhere != nil {
		s.o.Elsewhere.Follow(leader)
	}
}

func (s *Shard) unlead() {
	step.At(step.LeadLost)
	s.leading = false
	s.guests.term.Store(0)
	s.since = s.mono
	s.inflight.Store(0)
	s.org.Rewind()
	s.section.Reset()
	s.settledAt = 0
	s.quiet, s.quieted, s.again = nil, false, nil
	s.recount = s.recount[:0]
	claims := s.txClaims()
	h := s.e.Surrender()
	h.Claims = append(h.Claims, claims...)
	for _, f := range append(s.flights, s.open) {
		for _, x := range f.settles {
			if x.Queue != 0 {
				h.Settles = append(h.Settles, x)
			}
		}
	}
	for _, w := range s.waiting {
		s.fns = append(s.fns, w.committed)
	}
	for _, c := range s.fns {
		if c.keep {
			h.Done = append(h.Done, c.f)
		} else {
			c.f(shard.ErrUnavailable)
		}
	}
	for i := range s.behind {
		h.Requests = append(h.Requests, s.behind[i].r)
	}
	settles, asked := s.early.settles, s.early.requests
	s.e.Refuse(s.early.guests)
	s.e.Refuse(s.unknown)
	s.unknown = nil
	h.Requests = s.ours(h.Requests)
	s.waiting, s.fns, s.behind, s.flights, s.open, s.early = nil, nil, nil, nil, flight{}, early{}
	s.org.Hold(s.mono, h)
	s.org.Settle(settles)     // as if it had come now: what it settles is held yet, and is among the claims
	s.org.Park(s.mono, asked) // as if it had come now
	for _, q := range s.e.Queues() {
		if !q.Logged {
			s.e.Remove(q)
		}
	}
	if s.o.OnFollow != nil {
		s.o.OnFollow()
	}
}

// ours returns the requests that this node's sessions wait for, to be asked
// elsewhere, and refuses the others.
func (s *Shard) ours(rs []shard.Request) (out []shard.Request) {
	for i := range rs {
		switch r := &rs[i]; r.Kind {
		case shard.ReqLetters, shard.ReqLeft, shard.ReqRun, shard.ReqKick:
			s.e.Refuse(rs[i : i+1])
		default:
			if r.Guest {
				s.e.Refuse(rs[i : i+1])
				continue
			}
			r.Behind, r.N = false, 0
			out = append(out, *r)
		}
	}
	return out
}

// txClaims claims what transactions settle that are in batches without an answer:
// they have been decided here, and are again by the next leader.
func (s *Shard) txClaims() (cs []shard.Claim) {
	s.org.Txs(func(ss []shard.Settle) {
		for _, x := range ss {
			q := s.e.Queue(x.Queue)
			if q == nil || q.Disp == nil {
				continue
			}
			if size, ok := q.Disp.Size(x.Seq); ok && !q.Disp.Holds(x.Seq, x.Holding) {
				cs = append(cs, shard.Claim{Queue: x.Queue, Seq: x.Seq, Holding: x.Holding, Size: size, Acquired: queue.AnyAcquired})
			}
		}
	})
	return cs
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

// dispatch gives the queue a dispatcher. It waits for those whom an earlier
// leader served and who have not attached yet.
func (s *Shard) dispatch(q *engine.Queue) {
	if !s.leading || q.Disp != nil {
		return
	}
	life := queue.Life{Term: s.term, Grants: true}
	if !q.Fresh {
		life.Waits = s.serving.waits
	}
	s.e.Led(q, queue.NewDispatcher(q.Ledger, life))
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
	case !ok && (s.o.Catalog.Revision() >= q.Revision || plant.Is(plant.OrphanCleanup)):
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

func (d decisions) Committed(f func(error)) { d.s.fns = append(d.s.fns, committed{f, false}) }

func (d decisions) Abandoned(ss []shard.Settle) {
	d.s.open.settles = append(d.s.open.settles, ss...)
}

func (d decisions) Settled(f func(error)) { d.s.fns = append(d.s.fns, committed{f, true}) }

func (d decisions) Serve(i queue.Incarnation) bool { return d.s.serves(i) }

func (d decisions) Behind(r shard.Request) bool {
	s := d.s
	x := behind{r: r}
	if r.Guest {
		x.ticket = s.visits.tickets
	} else {
		batches, _, _ := s.org.In.Pending()
		x.number = s.org.Number() + uint64(batches)
	}
	if s.caughtUpTo(&x) {
		return false
	}
	s.behind = append(s.behind, x)
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
