package replica

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/shard/origin"
)

const (
	// tickEvery is how often expiry is looked at.
	tickEvery = 50 * time.Millisecond
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
	s.timed(now)
	s.runControls()
	if term, ok := p.Leading(); ok && s.leading && term == s.term {
		s.lead(p)
	} else {
		s.follow()
	}
	if f := s.wantCut; f != nil && s.installing == nil {
		s.wantCut = nil
		f(s.cut())
	}
	s.e.Wake()
}

// timed takes note of the time.
func (s *Shard) timed(now time.Duration) {
	s.mono = now
	s.e.Now = s.clock.now(now, s.o.Wall())
	if plant.Is(plant.WallClock) {
		s.e.Now = s.o.Wall()
	}
}

// lead is the turn of the leader.
func (s *Shard) lead(p commitlog.Proposer) {
	s.org.Led()
	if s.quiet == nil {
		s.requests, s.settles = s.org.In.TakeRequests(s.requests[:0], s.settles[:0])
		s.holdLetters(s.requests)
		s.giveLetters()
		s.resume()
		if s.awaiting() {
			s.postpone()
			s.e.Requests(s.caughtUp())
		} else {
			s.settleOwn(s.settles)
			s.e.Requests(s.caughtUp())
			s.e.Requests(s.requests)
		}
		s.visitors()
		if s.mono-s.ticked >= tickEvery {
			s.ticked = s.mono
			s.e.Tick()
			s.watch()
		}
		s.resume() // whoever was waited for may have come
		s.e.Dispatch()
	} else {
		s.e.Flush()
	}
	s.propose(p)
}

// follow is the turn of everybody else.
func (s *Shard) follow() {
	s.turnAway()
	if s.o.Elsewhere != nil {
		s.o.Elsewhere.Turn(s.mono)
		return
	}
	s.requests, s.settles = s.org.In.TakeRequests(s.requests[:0], s.settles[:0])
	if s.since == 0 {
		s.since = s.mono
	}
	s.org.Settle(s.settles)
	s.org.Unpark(s.mono)
	s.org.Park(s.mono, s.requests)
	if s.leader != 0 {
		s.org.Refuse()
	}
	s.org.Expire(s.mono)
}

// caughtUp returns the requests whose batches are answered.
func (s *Shard) caughtUp() (rs []shard.Request) {
	if len(s.behind) == 0 {
		return nil
	}
	s.behind = slices.DeleteFunc(s.behind, func(b behind) bool {
		ok := s.caughtUpTo(&b)
		if ok {
			rs = append(rs, b.r)
		}
		return ok
	})
	return rs
}

func (s *Shard) caughtUpTo(b *behind) bool {
	return b.number <= s.org.Answered() && b.ticket <= s.visits.applied
}

// propose makes entries of the batches and of what was decided. While one is
// under way the next one collects, until it is worth an entry of its own.
func (s *Shard) propose(p commitlog.Proposer) {
	for {
		entries, _ := p.InFlight()
		if entries == 0 {
			s.recounted()
		}
		again := s.org.Waiting() || s.visit() != nil
		batches, size, _ := s.org.In.Pending()
		if s.quiet != nil {
			again, batches, size = false, 0, 0
		}
		if batches == 0 && !again {
			s.ask()
		}
		idle := batches == 0 && !again && !s.stampDue && (s.section.Empty() || s.company())
		if entries >= maxInFlight || entries > 0 && !again && size < bigBatch || idle {
			s.finish(entries)
			if entries == 0 {
				s.rest()
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

// rest is called when nothing is under way.
func (s *Shard) rest() {
	if s.quiet != nil {
		if s.section.Empty() && !s.quieted {
			s.quieted = true
			s.quiet()
		}
		return
	}
	// Whoever came before inflight was zero leaves it to us.
	if batches, _, requests := s.org.In.Pending(); batches > 0 || requests {
		s.group.Wake()
	}
}

// company reports whether what was decided may wait for a batch to share its
// sync with. Settlements may, for a moment: nobody is told of them, their credit
// is free already, and what is settled and not logged is delivered again at
// worst, flagged. A sync of their own would make the next publish wait for it.
func (s *Shard) company() bool {
	if !s.section.OnlySettles() || len(s.fns) > 0 || s.section.Len() >= manySettles || s.quiet != nil {
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
	if !s.section.Empty() {
		return
	}
	s.recycle(s.open.settles) // they changed nothing
	s.open.settles = nil
	if len(s.fns) == 0 {
		return
	}
	fns := s.fns
	s.fns = nil
	for _, c := range fns {
		if s.lastIdx > s.applied {
			s.waiting = append(s.waiting, waiter{s.lastIdx, c})
		} else {
			c.f(nil)
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
	b, mine := s.next()
	s.ask()
	if b == nil && s.section.Empty() && !s.stampDue {
		return true
	}
	if s.o.Mono != nil && b != nil {
		s.timed(s.o.Mono()) // b may have come long after the turn began
	}
	s.section.Term, s.section.Stamp = s.term, max(s.e.Now, s.stamp)
	var data []byte
	if b != nil {
		data = b.Builder().Seal(b.ID, &s.section)
	} else {
		data = shard.NewBuilder(0, 0).Seal(shard.BatchID{}, &s.section)
	}
	index, ok := p.Propose(data)
	if !ok {
		s.again, s.againMine = b, mine
		return false
	}
	s.again = nil
	s.lastIdx = index
	s.section.Reset()
	s.settledAt, s.stampDue = 0, false
	for _, c := range s.fns {
		s.waiting = append(s.waiting, waiter{index, c})
	}
	clear(s.fns)
	s.fns = s.fns[:0]
	if len(s.open.settles) > 0 {
		s.flights = append(s.flights, flight{index, s.open.settles})
		s.open.settles = nil
	}
	switch {
	case b == nil:
	case mine:
		b.Proposed(data)
		s.org.Sent()
		s.visits.mine = true
	default:
		q := s.visits.queue
		q[0], s.visits.queue = nil, q[1:]
		s.visits.mine = false
	}
	return true
}

// next returns the batch to be proposed next: one of this node's, which may have
// been proposed before, or of another's, in turns. What full queues refuse of it
// is marked, in this term's view.
func (s *Shard) next() (b *origin.Batch, mine bool) {
	if s.again != nil {
		return s.again, s.againMine // the section is about its transactions
	}
	if s.quiet != nil {
		return nil, false
	}
	if b = s.visit(); b == nil || !s.visits.mine {
		if own := s.org.Next(s.o.Catalog.Revision()); own != nil {
			b, mine = own, true
		}
	}
	if b == nil {
		return nil, false
	}
	x := b.Builder()
	if b.Admitted != s.term {
		b.Admitted = s.term
		x.Admit()
		s.admit(b, x)
	}
	return b, mine
}

// admit makes the queues of the batch that are new here, and marks what full
// queues refuse.
func (s *Shard) admit(of *origin.Batch, b *shard.Builder) {
	for i := 0; i < b.Items(); i++ {
		it := b.Item(i)
		if it.Flags&shard.ItemTx != 0 {
			s.admitTx(of, b, i)
			i += int(it.Size)
			continue
		}
		q := s.led(it.Queue)
		if q == nil || q.Closing() {
			continue // gone, or it turns it away: the ledger says so
		}
		switch s.e.Admit(q, &it, originOf(b, &it)) {
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

// originOf returns where an item comes from; nil if it does not say.
func originOf(b *shard.Builder, it *shard.Item) *queue.Origin {
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
		if g, ok := s.e.WantGrant(q); ok {
			step.At(step.GrantLogged)
			s.section.Add(shard.Command{Kind: shard.CmdGrant, Queue: q.ID, Grant: g})
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
