package replica

import (
	"fmt"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
)

// Apply implements commitlog.Machine.
func (s *Shard) Apply(ents []commitlog.Entry) {
	for i := range ents {
		ent := &ents[i]
		if s.failed {
			return
		}
		if len(ent.Data) > 0 {
			e, err := shard.ParseEntry(ent.Data)
			if err == nil && !s.skips(ent, &e) {
				err = s.apply(ent, &e)
			}
			if err != nil {
				// A node that does not understand its log stops: skipping would
				// lose messages.
				s.fail(fmt.Errorf("apply entry %d of group %d: %w", ent.Index, s.o.Group, err))
				return
			}
		}
		s.applied, s.atTerm = ent.Index, ent.Term
	}
	s.progress.applied.Store(s.applied)
	n := 0
	for n < len(s.waiting) && s.waiting[n].index <= s.applied {
		s.waiting[n].f(nil)
		n++
	}
	if n > 0 {
		k := copy(s.waiting, s.waiting[n:])
		clear(s.waiting[k:])
		s.waiting = s.waiting[:k]
	}
	s.landed()
}

// skips reports whether a planted bug skips an entry. Another one applies it twice.
func (s *Shard) skips(ent *commitlog.Entry, e *shard.Entry) bool {
	if !s.planted {
		return false
	}
	s.planted = false
	if plant.Is(plant.AppliedTwice) {
		return s.apply(ent, e) != nil
	}
	return true
}

func (s *Shard) apply(ent *commitlog.Entry, e *shard.Entry) error {
	if e.HasLead {
		s.stamp = max(s.stamp, e.Stamp)
		s.clock.applied(e.Stamp, s.role())
		if err := s.commands(e, e.Term == ent.Term); err != nil {
			return err
		}
	}
	var err error
	if e.HasBatch {
		err = s.batch(ent, e)
	}
	s.admitted = s.admitted[:0]
	return err
}

// commands applies the leader's section. If it was decided under another term
// it is void, but for what follows from the catalog and not from what a leader
// knew: the batch beside it needs its queues.
func (s *Shard) commands(e *shard.Entry, valid bool) error {
	d := e.Commands()
	var c shard.Command
	for {
		ok, err := d.Next(&c)
		if err != nil || !ok {
			return err
		}
		switch {
		case c.Kind == shard.CmdMake:
			err = s.made(&c)
		case !valid:
		case c.Kind == shard.CmdTx:
			s.admitted = append(s.admitted, txAdmitted{c.Queue, c.Settings})
		case c.Kind == shard.CmdEnd:
			s.end(c.Queue, c.Seq)
		case c.Kind == shard.CmdServe, c.Kind == shard.CmdUnserve:
			s.serve(queue.Incarnation{Node: c.Queue, Number: c.Seq}, c.Kind == shard.CmdServe)
		default:
			// A queue that is not there was dropped by an earlier command.
			if q := s.e.Queue(c.Queue); q != nil && q.Logged {
				s.touchDirty(q)
				err = s.command(q, &c)
			}
		}
		if err != nil {
			return err
		}
	}
}

func (s *Shard) made(c *shard.Command) error {
	set, err := shard.ParseSettings(c.Settings)
	if err != nil {
		return err
	}
	q := s.e.Queue(c.Queue)
	if q == nil {
		q = s.make(c.Queue, c.Seq, set)
	}
	s.revised(c.Seq)
	q.Logged = true
	s.touchDirty(q)
	return nil
}

func (s *Shard) command(q *engine.Queue, c *shard.Command) error {
	switch c.Kind {
	case shard.CmdDrop:
		s.drop(q)
	case shard.CmdSettle:
		if plant.Is(plant.AckOnLeaderOnly) && !s.leading {
			return nil
		}
		s.e.SettleRun(q, c.Run)
	case shard.CmdReturn:
		q.Ledger.Return(c.Run, queue.Raise(c.Arg), s.stamp)
		q.Returning = max(0, q.Returning-1) // what is applied here was decided here, or nobody waits
		s.e.Touch(q)
	case shard.CmdRemove:
		s.e.RemoveRun(q, c.Run, queue.Reason(c.Arg))
		s.e.Touch(q)
	case shard.CmdPost:
		s.e.PostRun(q, c.Run, queue.Reason(c.Arg), s.stamp)
		s.e.Touch(q)
	case shard.CmdLeft:
		s.e.LeftRun(q, c.Run)
		s.e.Touch(q)
	case shard.CmdHorizon:
		q.Ledger.SetHorizon(uint8(c.Arg), c.Seq)
		s.e.Touch(q)
	case shard.CmdClose:
		q.Closed = true
	case shard.CmdReopen:
		if s.e.Reopened(q); !q.Closed {
			s.recount = append(s.recount, q) // what was admitted may have been turned away
		}
	case shard.CmdGrant:
		s.e.Granted(q, c.Grant)
		step.At(step.GrantApplied)
	case shard.CmdLost:
		q.Ledger.Lost()
		s.e.Touch(q)
	case shard.CmdSet:
		set, err := shard.ParseSettings(c.Settings)
		if err != nil {
			return err
		}
		if set.MaxPriority != q.Settings.MaxPriority && q.Disp != nil {
			s.recount = append(s.recount, q) // what is in flight was counted for other lanes
		}
		q.Revision = c.Seq
		s.revised(c.Seq)
		s.e.Set(q, set)
		if set.Expires > 0 {
			s.dispatch(q) // somebody has to see that it is not used
		}
	}
	return nil
}

// end drops what is remembered of an incarnation.
func (s *Shard) end(node, inc uint64) {
	delete(s.served, queue.Incarnation{Node: node, Number: inc})
	st := s.stream(node)
	st.ended = max(st.ended, inc)
	if st.inc <= st.ended {
		st.inc, st.last, st.floor, st.exceptions = 0, 0, 0, nil
	}
}

func (s *Shard) stream(node uint64) *stream {
	st := s.streams[node]
	if st == nil {
		st = &stream{}
		s.streams[node] = st
	}
	return st
}

// An outcome is what became of a batch.
type outcome uint8

const (
	took    outcome = iota
	double          // it was applied before
	gap             // the batch before it is missing
	expired         // its incarnation ended
)

// accept decides about a batch by its number.
func (st *stream) accept(id shard.BatchID) outcome {
	switch {
	case id.Incarnation <= st.ended || id.Incarnation < st.inc:
		return expired
	case id.Incarnation > st.inc:
		// The catalog registers an incarnation only when the one before ended.
		st.inc, st.last, st.floor, st.exceptions = id.Incarnation, 0, 0, nil
	}
	switch {
	case id.Number <= st.last:
		return double
	case id.Number != st.last+1:
		return gap
	}
	st.last = id.Number
	if id.Floor > st.floor {
		st.floor = id.Floor
		for n := range st.exceptions {
			if n < st.floor {
				delete(st.exceptions, n)
			}
		}
	}
	return took
}

// batch applies the batch of an entry, if it is the next of its stream, and
// answers its publishers.
func (s *Shard) batch(ent *commitlog.Entry, e *shard.Entry) error {
	st := s.stream(e.Batch.Node)
	what := st.accept(e.Batch)
	s.revised(e.Batch.Revision)
	var refused []uint32
	switch what {
	case took:
		var err error
		if refused, err = s.enqueue(ent, e); err != nil {
			return err
		}
		if refused != nil {
			if st.exceptions == nil {
				st.exceptions = map[uint64][]uint32{}
			}
			st.exceptions[e.Batch.Number] = refused
		}
	case double:
		s.withdraw(ent, e)
		refused = st.exceptions[e.Batch.Number]
	case gap, expired:
		s.withdraw(ent, e)
	}
	if e.Batch.Node == s.o.Incarnation.Node && e.Batch.Incarnation == s.o.Incarnation.Number {
		if what != gap || s.leading {
			s.org.Answer(e.Batch.Number, refused, what.said())
		}
		return nil
	}
	s.guestApplied(ent, &e.Batch, refused, what)
	return nil
}

// said is how an outcome is told.
func (o outcome) said() shard.BatchOutcome {
	switch o {
	case gap:
		return shard.BatchGap
	case expired:
		return shard.BatchEnded
	}
	return shard.BatchTook
}

// withdraw takes back what this leader admitted and is not applied.
func (s *Shard) withdraw(ent *commitlog.Entry, e *shard.Entry) {
	if !s.leading || ent.Term != s.term {
		return
	}
	for i := range e.Items() {
		it := e.Item(i)
		if q := s.e.Queue(it.Queue); q != nil && q.Disp != nil {
			s.e.Withdraw(q, &it)
		}
	}
}

// took takes back what this leader admitted of a message that the queue took
// before.
func (s *Shard) took(ent *commitlog.Entry, q *engine.Queue, it *shard.Item) {
	if s.leading && ent.Term == s.term && q.Disp != nil {
		s.e.Withdraw(q, it)
	}
}

// enqueue puts the items of a batch into their queues. It returns which
// publishes were refused by at least one queue.
func (s *Shard) enqueue(ent *commitlog.Entry, e *shard.Entry) (refused []uint32, err error) {
	live, used := int32(0), 0
	publish := uint32(0)
	tx := 0 // items left of a transaction
	for i := 0; i < e.Items(); i++ {
		it := e.Item(i)
		if tx > 0 {
			tx--
		} else if it.Flags&shard.ItemSame == 0 && i > 0 {
			publish++
		}
		if it.Flags&shard.ItemTx != 0 {
			ok, err := s.applyTx(i, &it)
			if err != nil {
				return nil, err
			}
			if tx = int(it.Size); !ok {
				refused = append(refused, publish)
				i, tx = i+tx, 0
			}
			continue
		}
		posted := it.Flags&shard.ItemPosted != 0
		if it.Flags&shard.ItemRefused != 0 && !(posted && it.Origin != 0) {
			if n := len(refused); n == 0 || refused[n-1] != publish {
				refused = append(refused, publish)
			}
		}
		if it.Flags&shard.ItemRefused != 0 && !posted {
			continue
		}
		q := s.e.Queue(it.Queue)
		if q == nil || !q.Logged {
			continue // gone: it was never routed there
		}
		if q.Closed {
			q.Turned = true
			s.touchDirty(q)
			continue // the same
		}
		if it.Origin != 0 && !q.Ledger.Take(e.Origin(it.Origin), s.stamp) {
			s.touchDirty(q)
			s.took(ent, q, &it)
			continue
		}
		rec := queue.Record{
			Body: queue.Body{Index: ent.Index, Off: it.Off, Len: it.Len},
			Size: it.Size, Priority: it.Priority, Expires: s.expiry(q, &it), Acquired: it.Acquired, Failed: it.Failed,
		}
		if it.Flags&shard.ItemSame != 0 || i+1 < e.Items() && e.Item(i+1).Flags&shard.ItemSame != 0 {
			rec.Flags = queue.Shared
		}
		seq := q.Ledger.Enqueue(rec)
		if posted {
			s.e.PostRun(q, queue.Run{Seq: seq, Span: 1, N: 1, Bytes: uint64(rec.Size)}, queue.Dropped, s.stamp)
		}
		live++
		if rec.Flags&queue.Shared == 0 || it.Flags&shard.ItemSame == 0 {
			used += int(it.Len)
		}
		s.touchDirty(q)
		if q.Disp != nil {
			s.e.Touch(q)
		}
	}
	s.progress.dirty.Add(uint64(live) * recordBytes)
	if live > 0 {
		s.e.Residents.Add(ent.Index, ent.Data, live, used)
	}
	return refused, nil
}

// recordBytes is about what a record costs a checkpoint.
const recordBytes = 48

func (s *Shard) expiry(q *engine.Queue, it *shard.Item) int64 {
	ttl, has := q.Settings.Expiry(it)
	if !has {
		return 0
	}
	return s.stamp + int64(ttl)
}

func (s *Shard) touchDirty(q *engine.Queue) {
	if !q.Dirty {
		q.Dirty = true
		s.dirty = append(s.dirty, q)
	}
}

// drop takes a queue out of the shard; the next cut deletes what the state
// store has of it.
func (s *Shard) drop(q *engine.Queue) {
	s.e.Drop(q)
	q.Ledger.Clear()
	s.dropped = append(s.dropped, q)
}
