package replica

import (
	"fmt"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
)

const (
	// tickEvery is how often expiry is looked at.
	tickEvery = 50 * time.Millisecond
	// patience is how long requests wait for a leader.
	patience = 5 * time.Second
	// settlePatience is how long settlements wait for a batch to be logged
	// with, and manySettles the bytes of them that do not wait.
	settlePatience = 5 * time.Millisecond
	manySettles    = 16 << 10
)

// Turn implements commitlog.Machine.
func (s *Shard) Turn(now time.Duration, p commitlog.Proposer) {
	if s.failed {
		return
	}
	s.mono = now
	s.e.Now = s.clock.now(now, s.o.Wall())
	s.runControls()
	s.requests, s.settles = s.in.TakeRequests(s.requests[:0], s.settles[:0])
	if term, ok := p.Leading(); ok && s.leading && term == s.term {
		s.lead(p)
	} else {
		s.refuse()
	}
	if f := s.wantCut; f != nil && s.installing == nil {
		s.wantCut = nil
		f(s.cut())
	}
	s.e.Wake()
}

// lead is the turn of the leader.
func (s *Shard) lead(p commitlog.Proposer) {
	s.parking = parking{}
	s.e.Settle(s.settles)
	s.e.Requests(s.parked)
	s.parked = s.parked[:0]
	s.e.Requests(s.caughtUp())
	s.e.Requests(s.requests)
	if s.mono-s.ticked >= tickEvery {
		s.ticked = s.mono
		s.e.Tick()
	}
	s.e.Dispatch()
	s.propose(p)
}

// refuse is the turn of everybody else. Settles are of holdings that are void.
// Requests wait as long as a leader may be found here.
func (s *Shard) refuse() {
	if s.since == 0 {
		s.since = s.mono
	}
	s.unpark()
	wait := s.leader == 0 && s.mono-s.since < patience
	s.park(wait)
	if !wait {
		s.e.Refuse(s.parked)
		s.parked = s.parked[:0]
	}
}

// park keeps the requests taken that may wait for a leader, and refuses the
// others. Settles are among those: that they are committed must not be said of
// holdings of another term.
func (s *Shard) park(wait bool) {
	for i := range s.requests {
		switch r := &s.requests[i]; r.Kind {
		case shard.ReqRun, shard.ReqCancel, shard.ReqSettle:
			s.e.Refuse(s.requests[i : i+1])
		default:
			if !wait {
				s.e.Refuse(s.requests[i : i+1])
				continue
			}
			s.parked = append(s.parked, *r)
			*r = shard.Request{}
		}
	}
}

// caughtUp returns the requests whose batches are answered.
func (s *Shard) caughtUp() (rs []shard.Request) {
	answered := s.number - uint64(len(s.pending))
	n := 0
	for n < len(s.behind) && s.behind[n].number <= answered {
		rs = append(rs, s.behind[n].r)
		n++
	}
	s.behind = append(s.behind[:0], s.behind[n:]...)
	return rs
}

// propose makes entries of the batches and of what was decided. While one is
// under way the next one collects, until it is worth an entry of its own.
func (s *Shard) propose(p commitlog.Proposer) {
	for {
		entries, _ := p.InFlight()
		if entries == 0 {
			s.recounted()
		}
		again := s.sent < len(s.pending)
		batches, size, _ := s.in.Pending()
		if batches == 0 && !again {
			s.ask()
		}
		idle := batches == 0 && !again && (s.section.Empty() || s.company())
		if entries >= maxInFlight || entries > 0 && !again && size < bigBatch || idle {
			s.finish(entries)
			if entries == 0 {
				// Whoever came before inflight was zero leaves it to us.
				if batches, _, requests := s.in.Pending(); batches > 0 || requests {
					s.group.Wake()
				}
			}
			return
		}
		if !s.seal(p) {
			// Dropped. The next tick tries again: until then nobody needs to
			// run a turn for what waits behind it.
			s.finish(max(entries, 1))
			return
		}
	}
}

// company reports whether what was decided may wait for a batch to share its
// sync with. Settlements may, for a moment: nobody is told of them, their credit
// is free already, and what is settled and not logged is delivered again at
// worst, flagged. A sync of their own would make the next publish wait for it.
func (s *Shard) company() bool {
	if !s.section.OnlySettles() || len(s.fns) > 0 || s.section.Len() >= manySettles {
		return false
	}
	if s.settledAt == 0 {
		s.settledAt = s.mono
		if s.o.After != nil {
			s.o.After(settlePatience, s.group.Wake)
		}
	}
	return s.mono-s.settledAt < settlePatience
}

// finish says how many entries are under way, and lets go what waits for
// decisions to be committed if there are none left to log.
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
			f(nil)
		}
	}
}

// recounted corrects the counts of publishes in flight: there are none.
func (s *Shard) recounted() {
	for i, q := range s.recount {
		if q.Disp != nil {
			q.Disp.ClearInFlight()
			s.e.Touch(q)
		}
		s.recount[i] = nil
	}
	s.recount = s.recount[:0]
}

// seal makes one entry and proposes it; false if the log dropped it. Then its
// batch is the next to be proposed, and its section is still collecting.
func (s *Shard) seal(p commitlog.Proposer) bool {
	b := s.next()
	s.ask()
	if b == nil && s.section.Empty() {
		return true
	}
	s.section.Term, s.section.Stamp = s.term, max(s.e.Now, s.stamp)
	var data []byte
	if b != nil {
		data = b.b.Seal(b.id, &s.section)
	} else {
		data = shard.NewBuilder(0, 0).Seal(shard.BatchID{}, &s.section)
	}
	index, ok := p.Propose(data)
	if !ok {
		return false
	}
	s.lastIdx = index
	s.section.Reset()
	s.settledAt = 0
	for _, f := range s.fns {
		s.waiting = append(s.waiting, waiter{index, f})
	}
	clear(s.fns)
	s.fns = s.fns[:0]
	if b != nil {
		b.data, b.b = data, nil
		s.sent++
	}
	return true
}

// next returns the batch to be proposed next: one that was taken before and
// has to be proposed again, or the open one. What full queues refuse of it is
// marked, in this term's view.
func (s *Shard) next() *batch {
	if s.sent == len(s.pending) && !s.take() {
		return nil
	}
	b := s.pending[s.sent]
	if b.b == nil {
		// The log owns what was proposed: this is a copy.
		var err error
		if b.b, _, err = shard.Reopen(b.data); err != nil {
			panic(fmt.Sprintf("replica: batch %d of this node: %v", b.id.Number, err))
		}
		b.term = 0
	}
	if b.term != s.term {
		b.term = s.term
		b.b.Admit()
		s.admit(b)
	}
	return b
}

// take numbers the batch that waits in the inbox.
func (s *Shard) take() bool {
	var spare []shard.Run
	if n := len(s.runs); n > 0 {
		spare, s.runs = s.runs[n-1], s.runs[:n-1]
	}
	b, runs, resume := s.in.TakeBatch(spare)
	for _, f := range resume {
		f()
	}
	if b == nil {
		return false
	}
	s.number++
	s.pending = append(s.pending, &batch{
		id: shard.BatchID{
			Node: s.o.Incarnation.Node, Incarnation: s.o.Incarnation.Number, Number: s.number,
			Floor: s.number - uint64(len(s.pending)), Revision: s.o.Catalog.Revision(),
		},
		b: b, runs: runs,
	})
	return true
}

// admit makes the queues of the batch that are new here, and marks what full
// queues refuse.
func (s *Shard) admit(of *batch) {
	b := of.b
	for i := 0; i < b.Items(); i++ {
		it := b.Item(i)
		if it.Flags&shard.ItemTx != 0 {
			s.admitTx(of, i)
			i += int(it.Size)
			continue
		}
		q := s.led(it.Queue)
		if q == nil || q.Closing() {
			continue // gone, or it turns it away: the ledger says so
		}
		switch s.e.Admit(q, &it, origin(b, &it)) {
		case engine.Refuse:
			b.Refuse(i)
		case engine.RefuseDie:
			b.Post(i)
		}
		s.e.Ask(q)
	}
}

// led returns a queue with its dispatcher, nil if it is gone.
func (s *Shard) led(id shard.QueueID) *engine.Queue {
	q := s.e.Queue(id)
	if q == nil {
		if q = s.Find(id); q == nil {
			return nil
		}
	}
	if q.Disp == nil {
		s.dispatch(q)
	}
	return q
}

// origin returns where an item comes from; nil if it does not say.
func origin(b *shard.Builder, it *shard.Item) *queue.Origin {
	if it.Origin == 0 {
		return nil
	}
	o := b.Origin(it.Origin)
	return &o
}

// ask collects what dispatchers want logged.
func (s *Shard) ask() {
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
}
