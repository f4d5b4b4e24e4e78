// Package slot says where in the state store the state of a Raft group lies, so
// that a snapshot from another node can be written beside the present state,
// over minutes and many batches, and take its place in one.
//
// A group's keys begin with its slot. A group begins in the slot of its own
// number; a snapshot is staged in a new slot, and the switch is one batch: the
// group points to the new slot, what was staged is staged no more, the old slot
// is deleted. Slots are never used twice. What a crash leaves behind that
// nothing points to is deleted by the next Open.
//
// The package does not interpret what groups write. Its methods may be called
// from any goroutine; it starts none.
package slot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
)

// Keys in the state store; numbers are big-endian.
//
//	'S' slot …          what a group keeps
//	'T' group           its slot; none: the group's number
//	'U' group index     a staged snapshot: slot, term, configuration
//	'V'                 the slot made last
const (
	keySlot   = 'S'
	keyGroup  = 'T'
	keyStaged = 'U'
	keyLast   = 'V'
)

// made is where the numbers of slots begin that are made; below are groups.
const made = 1 << 63

// Prefix appends what every key of a slot begins with.
func Prefix(dst []byte, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, keySlot), slot)
}

// bounds are the keys of a slot.
func bounds(slot uint64) (lower, upper []byte) {
	lower = Prefix(nil, slot)
	if slot == ^uint64(0) {
		return lower, []byte{keySlot + 1}
	}
	return lower, Prefix(nil, slot+1)
}

func groupKey(group uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyGroup}, group)
}

func stagedKey(group, index uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte{keyStaged}, group), index)
}

// A Mark is where in its group's log a state stands.
type Mark struct {
	Index, Term uint64
	// Conf is the configuration at Index, as the group's owner encodes it.
	Conf []byte
}

// A staged snapshot is whole and durable.
type staged struct {
	Mark
	slot uint64
}

// Slots are the slots of a node.
type Slots struct {
	state storage.State

	mu      sync.Mutex
	last    uint64
	current map[uint64]uint64
	staged  map[uint64][]staged
}

// Open reads what the store has, and deletes what nothing points to.
func Open(state storage.State) (*Slots, error) {
	s := &Slots{state: state, last: made, current: map[uint64]uint64{}, staged: map[uint64][]staged{}}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	return s, nil
}

func (s *Slots) read() error {
	v, err := s.state.Get(nil, []byte{keyLast})
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return err
	case len(v) != 8:
		return fmt.Errorf("%w: number of the last slot", storage.ErrDamaged)
	default:
		s.last = binary.BigEndian.Uint64(v)
	}
	err = each(s.state, []byte{keyGroup}, []byte{keyGroup + 1}, func(k, v []byte) error {
		if len(k) != 9 || len(v) != 8 {
			return fmt.Errorf("%w: slot of a group", storage.ErrDamaged)
		}
		s.current[binary.BigEndian.Uint64(k[1:])] = binary.BigEndian.Uint64(v)
		return nil
	})
	if err != nil {
		return err
	}
	return each(s.state, []byte{keyStaged}, []byte{keyStaged + 1}, func(k, v []byte) error {
		if len(k) != 17 || len(v) < 16 {
			return fmt.Errorf("%w: staged snapshot", storage.ErrDamaged)
		}
		group := binary.BigEndian.Uint64(k[1:])
		s.staged[group] = append(s.staged[group], staged{
			slot: binary.BigEndian.Uint64(v),
			Mark: Mark{Index: binary.BigEndian.Uint64(k[9:]), Term: binary.BigEndian.Uint64(v[8:]), Conf: slices.Clone(v[16:])},
		})
		return nil
	})
}

func each(r storage.Reader, lower, upper []byte, f func(k, v []byte) error) error {
	it, err := r.Iter(lower, upper)
	if err != nil {
		return err
	}
	for it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			_ = it.Close() // the first error counts
			return err
		}
	}
	return it.Close()
}

// sweep deletes slots that nothing points to: of snapshots that were not
// received to their end, and what a round of checkpoints wrote to a slot while
// its group left it.
func (s *Slots) sweep() error {
	known := map[uint64]bool{}
	for _, slot := range s.current {
		known[slot] = true
	}
	for _, all := range s.staged {
		for _, st := range all {
			known[st.slot] = true
		}
	}
	it, err := s.state.Iter([]byte{keySlot}, []byte{keySlot + 1})
	if err != nil {
		return err
	}
	b := s.state.NewBatch()
	for ok := it.Next(); ok; {
		if len(it.Key()) < 9 {
			_ = it.Close() // the key is the error
			return fmt.Errorf("%w: key without a slot", storage.ErrDamaged)
		}
		slot := binary.BigEndian.Uint64(it.Key()[1:])
		lower, upper := bounds(slot)
		_, left := s.current[slot]
		if !known[slot] && (slot >= made || left) {
			b.DeleteRange(lower, upper)
		}
		ok = it.SeekGE(upper)
	}
	if err := it.Close(); err != nil {
		return err
	}
	return b.Commit()
}

// Of returns the slot of a group.
func (s *Slots) Of(group uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of(group)
}

func (s *Slots) of(group uint64) uint64 {
	if slot, ok := s.current[group]; ok {
		return slot
	}
	return group
}

// Resume is called before a group is opened whose log begins behind index: a
// snapshot staged at that index is the group's state, if the group did not
// switch to it before the process ended. Whatever else is staged is dropped.
func (s *Slots) Resume(group, index uint64) error {
	s.mu.Lock()
	all := slices.Clone(s.staged[group])
	s.mu.Unlock()
	for _, st := range all {
		if st.Index == index {
			step.At(step.SnapshotResumed)
			if err := s.Switch(group, index); err != nil {
				return err
			}
			continue
		}
		if err := s.drop(group, st); err != nil {
			return err
		}
	}
	return nil
}

// drop gives a staged snapshot up.
func (s *Slots) drop(group uint64, st staged) error {
	b := s.state.NewBatch()
	b.Delete(stagedKey(group, st.Index))
	b.DeleteRange(bounds(st.slot))
	if err := b.Commit(); err != nil {
		return fmt.Errorf("drop a staged snapshot: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged[group] = slices.DeleteFunc(s.staged[group], func(x staged) bool { return x.slot == st.slot })
	return nil
}

// Staged returns the snapshot of a group that is staged at an index.
func (s *Slots) Staged(group, index uint64) (Mark, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.staged[group] {
		if st.Index == index {
			return st.Mark, true
		}
	}
	return Mark{}, false
}

// Switch makes the snapshot that is staged at an index the state of its group,
// durably, and deletes the state before it. Older ones that are staged go too.
func (s *Slots) Switch(group, index uint64) error {
	s.mu.Lock()
	i := slices.IndexFunc(s.staged[group], func(st staged) bool { return st.Index == index })
	if i < 0 {
		s.mu.Unlock()
		return fmt.Errorf("no snapshot of group %d is staged at %d", group, index)
	}
	to, old := s.staged[group][i], s.of(group)
	gone := slices.DeleteFunc(slices.Clone(s.staged[group]), func(st staged) bool { return st.Index > index })
	s.mu.Unlock()
	b := s.state.NewBatch()
	b.Set(groupKey(group), binary.BigEndian.AppendUint64(nil, to.slot))
	b.DeleteRange(bounds(old))
	for _, st := range gone {
		b.Delete(stagedKey(group, st.Index))
		if st.slot != to.slot {
			b.DeleteRange(bounds(st.slot))
		}
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("switch group %d to a snapshot: %w", group, err)
	}
	if err := s.state.Flush(); err != nil {
		return fmt.Errorf("switch group %d to a snapshot: %w", group, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current[group] = to.slot
	s.staged[group] = slices.DeleteFunc(s.staged[group], func(st staged) bool { return st.Index <= index })
	return nil
}

// Drop deletes everything of a group that is no more. Its id is never used
// again.
func (s *Slots) Drop(group uint64) error {
	s.mu.Lock()
	slot, all := s.of(group), s.staged[group]
	delete(s.current, group)
	delete(s.staged, group)
	s.mu.Unlock()
	b := s.state.NewBatch()
	b.Delete(groupKey(group))
	b.DeleteRange(bounds(slot))
	for _, st := range all {
		b.Delete(stagedKey(group, st.Index))
		b.DeleteRange(bounds(st.slot))
	}
	if err := b.Commit(); err != nil {
		return fmt.Errorf("drop group %d: %w", group, err)
	}
	return nil
}
