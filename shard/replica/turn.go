package replica

import (
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
)

// tickEvery is how often expiry is looked at.
const tickEvery = 50 * time.Millisecond

// Lead implements commitlog.Machine.
func (s *Shard) Lead(term uint64) {
	s.term, s.leading = term, true
	s.clock.seed(s.o.Wall())
	// What was decided under another term is void, and undecided again.
	s.section.Reset()
	s.unsent = nil
	for id, q := range s.e.Queues() {
		if q.Ledger.Total().Messages > 0 {
			s.lead(q)
		}
		s.changed(id)
	}
	for node, st := range s.streams {
		if node == s.o.Incarnation.Node && st.inc != 0 && st.inc < s.o.Incarnation.Number && st.ended < st.inc {
			s.section.Add(shard.Command{Kind: shard.CmdEnd, Queue: node, Seq: st.inc})
		}
	}
}

// Follow implements commitlog.Machine.
func (s *Shard) Follow(uint64, uint64) {
	if !s.leading {
		return
	}
	s.leading = false
	s.inflight.Store(0)
	for id, q := range s.e.Queues() {
		if !q.Logged {
			delete(s.e.Queues(), id)
		}
		if q.Disp != nil {
			q.Disp.Close()
			q.Disp = nil
		}
	}
}

// Turn implements commitlog.Machine.
func (s *Shard) Turn(now time.Duration, p commitlog.Proposer) {
	s.mono = now
	s.e.Now = s.clock.now(now, s.o.Wall())
	s.runControls()
	if _, ok := p.Leading(); ok && s.leading {
		s.requests, s.settles = s.in.TakeRequests(s.requests[:0], s.settles[:0])
		s.e.Settle(s.settles)
		s.e.Requests(s.requests)
		if now-s.ticked >= tickEvery {
			s.ticked = now
			s.e.Tick()
		}
		s.e.Dispatch()
		s.propose(p)
	}
	if s.wantCut != nil {
		f := s.wantCut
		s.wantCut = nil
		f(s.cut())
	}
	s.e.Wake()
}

// propose makes entries of the open batch and of what was decided.
func (s *Shard) propose(p commitlog.Proposer) {
	if s.unsent != nil && !s.resend(p) {
		return
	}
	for {
		entries, _ := p.InFlight()
		size, requests := s.in.Pending()
		idle := s.section.Empty() && size == 0 && !s.e.Asking()
		if entries >= maxInFlight || entries > 0 && size < bigBatch || idle {
			s.finish(entries)
			if s.inflight.Load() == 0 {
				// What came between Pending and finish saw a turn under way.
				if n, r := s.in.Pending(); n != size || r != requests {
					s.group.Wake()
				}
			}
			return
		}
		if !s.seal(p) {
			s.finish(entries)
			return
		}
	}
}

// finish says how many entries are under way, and lets go what waits for
// decisions to be committed: there are none left to log.
func (s *Shard) finish(entries int) {
	s.inflight.Store(int32(entries))
	if len(s.fns) == 0 || !s.section.Empty() {
		return
	}
	fns := s.fns
	s.fns = nil
	for _, f := range fns {
		if s.lastIdx > s.applied {
			s.waiting = append(s.waiting, waiter{s.lastIdx, f})
		} else {
			f()
		}
	}
}

// seal makes one entry and proposes it; false if the log dropped it.
func (s *Shard) seal(p commitlog.Proposer) bool {
	var spare []shard.Run
	if n := len(s.runs); n > 0 {
		spare, s.runs = s.runs[n-1], s.runs[:n-1]
	}
	b, runs, resume := s.in.TakeBatch(spare)
	for _, f := range resume {
		f()
	}
	var id shard.BatchID
	if b != nil {
		s.admit(b)
		s.number++
		id = shard.BatchID{
			Node: s.o.Incarnation.Node, Incarnation: s.o.Incarnation.Number, Number: s.number,
			Floor: s.number - uint64(len(s.pending)), Revision: s.o.Catalog.Revision(),
		}
	}
	s.e.Asked(func(q *engine.Queue) {
		if q.Disp == nil {
			return
		}
		if q.Disp.WantLost() {
			s.section.Add(shard.Command{Kind: shard.CmdLost, Queue: q.ID})
		}
		for prio, seq, ok := q.Disp.WantHorizon(); ok; prio, seq, ok = q.Disp.WantHorizon() {
			s.section.Add(shard.Command{Kind: shard.CmdHorizon, Queue: q.ID, Arg: uint64(prio), Seq: seq})
		}
		if q.GetWaits {
			if prio, seq, ok := q.Disp.WantHorizonForGet(); ok {
				s.section.Add(shard.Command{Kind: shard.CmdHorizon, Queue: q.ID, Arg: uint64(prio), Seq: seq})
			}
		}
	})
	var section *shard.Section
	if !s.section.Empty() || b != nil {
		s.section.Term, s.section.Stamp = s.term, s.e.Now
		section = &s.section
	}
	if section == nil {
		if spare != nil {
			s.runs = append(s.runs, spare)
		}
		return true
	}
	if b == nil {
		b = shard.NewBuilder(s.section.Len()+64, 0)
	}
	data := b.Seal(id, section)
	if id.Number != 0 {
		s.pending = append(s.pending, &batch{number: id.Number, data: data, runs: runs})
	}
	s.section.Reset()
	return s.offer(p, data)
}

func (s *Shard) offer(p commitlog.Proposer, data []byte) bool {
	index, ok := p.Propose(data)
	if !ok {
		s.unsent = data
		return false
	}
	s.unsent = nil
	s.lastIdx = index
	for _, f := range s.fns {
		s.waiting = append(s.waiting, waiter{index, f})
	}
	s.fns = s.fns[:0]
	return true
}

// resend offers again what the log dropped. Nothing was decided behind it: its
// section is still the next.
func (s *Shard) resend(p commitlog.Proposer) bool { return s.offer(p, s.unsent) }

// admit makes the queues of the batch that are new here, and marks what full
// queues refuse.
func (s *Shard) admit(b *shard.Builder) {
	for i := range b.Items() {
		it := b.Item(i)
		q := s.e.Queue(it.Queue)
		if q == nil {
			if q = s.Find(it.Queue); q == nil {
				continue // gone: the ledger says so
			}
		}
		if q.Disp == nil {
			s.lead(q)
		}
		if !q.Disp.Admit(it.Priority, it.Size) {
			b.Refuse(i)
		}
		s.e.Ask(q)
	}
}

// --- engine.Log: decisions go into the section ---

// decisions is the shard as its engine sees it.
type decisions struct{ s *Shard }

func (d decisions) Settle(q *engine.Queue, r queue.Run) {
	d.s.section.Add(shard.Command{Kind: shard.CmdSettle, Queue: q.ID, Run: r})
}

func (d decisions) Return(q *engine.Queue, r queue.Run, raise queue.Raise) {
	d.s.section.Add(shard.Command{Kind: shard.CmdReturn, Queue: q.ID, Run: r, Arg: uint64(raise)})
}

func (d decisions) Remove(q *engine.Queue, r queue.Run, why queue.Reason) {
	d.s.section.Add(shard.Command{Kind: shard.CmdRemove, Queue: q.ID, Run: r, Arg: uint64(why)})
}

func (d decisions) Lead(q *engine.Queue) { d.s.lead(q) }

func (d decisions) Find(id shard.QueueID) *engine.Queue { return d.s.Find(id) }

func (d decisions) Unused(q *engine.Queue) { d.s.o.Unused(q.ID) }

func (d decisions) Committed(f func()) { d.s.fns = append(d.s.fns, f) }

func (d decisions) Load(c *engine.Consumer, bodies []queue.Body) {
	s := d.s
	s.o.Loader.Bodies(s.o.Group, bodies, func(blobs [][]byte) {
		s.request(shard.Request{Kind: shard.ReqRun, Run: func() { s.e.Loaded(c, blobs) }})
	})
}

func (d decisions) LoadPage(q *engine.Queue, page uint64) {
	s := d.s
	s.o.Loader.Do(func() error {
		v, err := s.o.State.Get(nil, key2(nil, s.o.Group, keyRecords, q.ID, page))
		if err != nil {
			return err
		}
		s.request(shard.Request{Kind: shard.ReqRun, Run: func() { s.pageLoaded(q, page, v) }})
		return nil
	})
}

func (s *Shard) pageLoaded(q *engine.Queue, page uint64, v []byte) {
	if s.e.Queue(q.ID) == q {
		// A page that emptied meanwhile is not there to be installed.
		if err := q.Ledger.Install(page, v); err != nil {
			s.o.Logger.Debug("page not installed", "queue", q.ID, "err", err)
		}
		s.e.PageLoaded(q, page)
	}
}

// Find makes a queue that the catalog has and the shard has not: the command
// stands before the first that names the queue, in the same entry.
func (s *Shard) Find(id shard.QueueID) *engine.Queue {
	settings, rev, ok := s.o.Catalog.Queue(s.o.Group, id)
	if !ok {
		return nil
	}
	s.section.Add(shard.Command{Kind: shard.CmdMake, Queue: id, Seq: rev, Settings: shard.AppendSettings(nil, settings)})
	return s.make(id, rev, settings)
}

// make makes the queue's ledger. The leader does it when it decides to, so that
// what is decided next finds it; applying CmdMake finds it made.
func (s *Shard) make(id shard.QueueID, rev uint64, settings shard.Settings) *engine.Queue {
	q := &engine.Queue{ID: id, Ledger: queue.NewLedger(settings.Settings), Settings: settings, Revision: rev, Fresh: true}
	s.e.Add(q)
	s.touchDirty(q)
	return q
}

// lead gives the queue a dispatcher.
func (s *Shard) lead(q *engine.Queue) {
	if !s.leading || q.Disp != nil {
		return
	}
	life := queue.Life{Epoch: 0, Term: s.term}
	if !q.Fresh {
		// Whoever was served before this incarnation ended with it.
		before := queue.Incarnation{Node: s.o.Incarnation.Node, Number: s.o.Incarnation.Number - 1}
		life.Waits = []queue.Incarnation{before}
		d := queue.NewDispatcher(q.Ledger, life)
		var out queue.Outcome
		d.EndIncarnation(before, &out)
		s.e.Led(q, d)
	} else {
		s.e.Led(q, queue.NewDispatcher(q.Ledger, life))
	}
	s.e.Ask(q)
}

// changed follows what the catalog says of a queue now.
func (s *Shard) changed(id shard.QueueID) {
	q := s.e.Queue(id)
	if q == nil {
		return
	}
	settings, rev, ok := s.o.Catalog.Queue(s.o.Group, id)
	switch {
	case !ok && s.o.Catalog.Revision() >= q.Revision:
		s.section.Add(shard.Command{Kind: shard.CmdDrop, Queue: id})
	case ok && settings != q.Settings:
		s.section.Add(shard.Command{Kind: shard.CmdSet, Queue: id, Seq: rev, Settings: shard.AppendSettings(nil, settings)})
	}
}
