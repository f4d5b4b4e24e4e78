package replica

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
)

func (o *Options) slot() uint64 {
	if o.Slots == nil {
		return o.Group
	}
	return o.Slots.Of(o.Group)
}

// MarkOf returns where in its group's log the state of a shard stands that is in
// a slot; ok is false if there is none yet.
func MarkOf(r storage.Reader, in uint64) (m slot.Mark, ok bool, err error) {
	meta, err := r.Get(nil, key(nil, in, keyApplied))
	if errors.Is(err, storage.ErrNotFound) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	var v [4]uint64
	if m.Conf, err = uvarints(meta, v[:]); err != nil {
		return m, false, err
	}
	m.Index, m.Term = v[0], v[1]
	return m, true, nil
}

// Install puts the snapshot that is staged at index in the place of the shard's
// state, and calls done once that is durable. It is called in a turn; until done
// nothing is applied. Options.Slots must be set.
//
// The switch waits for the cut that is being written, for that reads what is
// stored; the reading of the new state happens on the loader's goroutine.
func (s *Shard) Install(index uint64, done func()) {
	s.installing = func() {
		s.o.Loader.Do(func() error {
			n, err := s.switched(index)
			if err != nil {
				return fmt.Errorf("install the snapshot of group %d at %d: %w", s.o.Group, index, err)
			}
			s.runHere(func() {
				s.replace(n)
				s.installing = nil
				step.At(step.SnapshotIn)
				done()
			})
			return nil
		})
	}
	if s.cutting == 0 {
		s.installing()
	}
}

// cutEnded takes note of the end of a cut.
func (s *Shard) cutEnded() {
	if s.cutting--; s.cutting == 0 && s.installing != nil {
		s.installing()
	}
}

// switched switches to the snapshot and reads it, as Open would.
func (s *Shard) switched(index uint64) (*Shard, error) {
	if err := s.o.Slots.Switch(s.o.Group, index); err != nil {
		return nil, err
	}
	step.At(step.SnapshotSwitched)
	n, at, err := Open(s.o)
	if err != nil {
		return nil, err
	}
	if at.Applied != index {
		return nil, fmt.Errorf("%w: it stands at %d", storage.ErrDamaged, at.Applied)
	}
	return n, nil
}

// replace takes the state of n, which was opened just now. Nobody leads here, so
// the queues have neither consumers nor anything decided.
func (s *Shard) replace(n *Shard) {
	n.e.Log, n.e.Self = decisions{s}, s
	s.e, s.streams, s.served, s.slot = n.e, n.streams, n.served, n.slot
	s.applied, s.atTerm, s.stamp, s.round = n.applied, n.atTerm, max(s.stamp, n.stamp), n.round
	s.clock.applied(n.stamp, s.role())
	s.e.Now = max(s.stamp, s.clock.last())
	s.dirty, s.dropped, s.recount, s.admitted = nil, nil, nil, nil
	s.revised(n.guests.revision.Load())
	s.progress.applied.Store(s.applied)
	s.progress.cut.Store(s.applied)
	s.progress.dirty.Store(0)
	s.answerInstalled()
	s.planted = plant.Is(plant.SnapshotDropsEntry)
}

// answerInstalled answers this node's batches that are part of a snapshot.
func (s *Shard) answerInstalled() {
	me := s.o.Incarnation
	st := s.streams[me.Node]
	if st == nil || st.inc != me.Number {
		return
	}
	for n := s.org.Answered() + 1; n <= min(st.last, s.org.Number()); n++ {
		s.org.Answer(n, st.exceptions[n], shard.BatchTook)
	}
}

// overtaken reports whether the log began anew behind what was cut: a snapshot
// is about to take its place. Nothing else lets the log go that far, for it keeps
// what no durable cut has.
func (c *cut) overtaken() bool {
	gs, ok := c.s.o.Log.Bounds(c.s.o.Group)
	return ok && gs.First > c.index+1
}
