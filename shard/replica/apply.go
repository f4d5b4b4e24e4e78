package replica

import (
	"fmt"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
)

// Apply implements commitlog.Machine.
func (s *Shard) Apply(ents []commitlog.Entry) {
	for i := range ents {
		ent := &ents[i]
		s.applied, s.atTerm = ent.Index, ent.Term
		if len(ent.Data) == 0 {
			continue
		}
		e, err := shard.ParseEntry(ent.Data)
		if err == nil {
			err = s.apply(ent, &e)
		}
		if err != nil {
			// A node that does not understand its log stops: skipping would
			// lose messages.
			s.o.Fatal(fmt.Errorf("apply entry %d of group %d: %w", ent.Index, s.o.Group, err))
			return
		}
	}
	s.progress.applied.Store(s.applied)
	n := 0
	for n < len(s.waiting) && s.waiting[n].index <= s.applied {
		s.waiting[n].f()
		n++
	}
	s.waiting = append(s.waiting[:0], s.waiting[n:]...)
}

func (s *Shard) apply(ent *commitlog.Entry, e *shard.Entry) error {
	if e.HasLead {
		s.clock.applied(e.Stamp, s.mono)
		s.e.Now = max(s.e.Now, e.Stamp)
	}
	if e.HasLead && e.Term == ent.Term {
		if err := s.commands(e); err != nil {
			return err
		}
	}
	if e.HasBatch {
		s.batch(ent, e)
	}
	return nil
}

// commands applies the leader's section.
func (s *Shard) commands(e *shard.Entry) error {
	d := e.Commands()
	var c shard.Command
	for {
		ok, err := d.Next(&c)
		if err != nil || !ok {
			return err
		}
		if c.Kind == shard.CmdEnd {
			s.end(c.Queue, c.Seq)
			continue
		}
		q := s.e.Queue(c.Queue)
		if q == nil {
			if c.Kind == shard.CmdMake {
				set, err := shard.ParseSettings(c.Settings)
				if err != nil {
					return err
				}
				q := s.make(c.Queue, c.Seq, set)
				q.Logged, q.Fresh = true, s.leading
			}
			continue // dropped by an earlier command
		}
		s.touchDirty(q)
		if err := s.command(q, &c); err != nil {
			return err
		}
	}
}

func (s *Shard) command(q *engine.Queue, c *shard.Command) error {
	switch c.Kind {
	case shard.CmdMake:
		q.Logged = true
	case shard.CmdDrop:
		s.drop(q)
	case shard.CmdSettle:
		s.e.Release(q, c.Run)
		q.Ledger.Settle(c.Run)
	case shard.CmdReturn:
		q.Ledger.Return(c.Run, queue.Raise(c.Arg))
		s.e.Returned(q, c.Run)
	case shard.CmdRemove:
		s.e.Release(q, c.Run)
		q.Ledger.Remove(c.Run, queue.Reason(c.Arg))
		s.e.Touch(q)
	case shard.CmdHorizon:
		q.Ledger.SetHorizon(uint8(c.Arg), c.Seq)
		s.e.Touch(q)
	case shard.CmdLost:
		q.Ledger.Lost()
		s.e.Touch(q)
	case shard.CmdSet:
		set, err := shard.ParseSettings(c.Settings)
		if err != nil {
			return err
		}
		q.Settings, q.Revision = set, c.Seq
		q.Ledger.SetSettings(set.Settings)
		s.e.Touch(q)
	}
	return nil
}

// end drops what is remembered of an incarnation.
func (s *Shard) end(node, inc uint64) {
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
		st.inc, st.last, st.exceptions = id.Incarnation, 0, nil
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
func (s *Shard) batch(ent *commitlog.Entry, e *shard.Entry) {
	st := s.stream(e.Batch.Node)
	mine := e.Batch.Node == s.o.Incarnation.Node && e.Batch.Incarnation == s.o.Incarnation.Number
	switch st.accept(e.Batch) {
	case took:
		refused := s.enqueue(ent, e)
		if refused != nil {
			if st.exceptions == nil {
				st.exceptions = map[uint64][]uint32{}
			}
			st.exceptions[e.Batch.Number] = refused
		}
		if mine {
			s.answer(e.Batch.Number, refused)
		}
	case double:
		if mine {
			s.answer(e.Batch.Number, st.exceptions[e.Batch.Number])
		}
	case gap, expired:
		// The node rewinds to st.last+1 and sends again, or it is not there
		// any more.
	}
}

// enqueue puts the items of a batch into their queues. It returns which
// publishes were refused by at least one queue.
func (s *Shard) enqueue(ent *commitlog.Entry, e *shard.Entry) (refused []uint32) {
	live := int32(0)
	publish := uint32(0)
	for i := range e.Items() {
		it := e.Item(i)
		if it.Flags&shard.ItemSame == 0 && i > 0 {
			publish++
		}
		if it.Flags&shard.ItemRefused != 0 {
			if n := len(refused); n == 0 || refused[n-1] != publish {
				refused = append(refused, publish)
			}
			continue
		}
		q := s.e.Queue(it.Queue)
		if q == nil {
			continue // gone: it was never routed there
		}
		rec := queue.Record{
			Body: queue.Body{Index: ent.Index, Off: it.Off, Len: it.Len},
			Size: it.Size, Priority: it.Priority, Expires: s.expiry(q, &it),
		}
		if it.Flags&shard.ItemSame != 0 || i+1 < e.Items() && e.Item(i+1).Flags&shard.ItemSame != 0 {
			rec.Flags = queue.Shared
		}
		q.Ledger.Enqueue(rec)
		live++
		s.touchDirty(q)
		if q.Disp != nil {
			s.e.Touch(q)
		}
	}
	s.progress.dirty.Add(uint64(live) * recordBytes)
	if live > 0 {
		s.e.Residents.Add(ent.Index, ent.Data, live)
	}
	return refused
}

// recordBytes is about what a record costs a checkpoint.
const recordBytes = 48

func (s *Shard) expiry(q *engine.Queue, it *shard.Item) int64 {
	ttl, has := q.Settings.Expiry(it)
	if !has {
		return 0
	}
	return s.e.Now + int64(ttl)
}

// answer confirms the batch with this number, or says which of its publishes
// were refused.
func (s *Shard) answer(number uint64, refused []uint32) {
	if len(s.pending) == 0 || s.pending[0].number != number {
		return
	}
	b := s.pending[0]
	copy(s.pending, s.pending[1:])
	s.pending = s.pending[:len(s.pending)-1]
	shard.Confirm(b.runs, refused)
	for i := range b.runs {
		if to := b.runs[i].To; to != nil {
			s.e.WakeLater(to)
		}
	}
	clear(b.runs)
	s.runs = append(s.runs, b.runs[:0])
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
	s.dropped = append(s.dropped, droppedQueue{q})
}
