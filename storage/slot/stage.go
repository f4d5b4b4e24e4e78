package slot

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/storage"
)

// stageBytes bounds the batches in which a snapshot is written.
const stageBytes = 4 << 20

// A Stage takes the state of a group from another node. It belongs to one
// goroutine. Until Commit nothing of it counts.
type Stage struct {
	s     *Slots
	group uint64
	slot  uint64
	at    Mark
	batch storage.Batch
	key   []byte
	last  []byte
	done  bool
}

// Stage begins to receive a snapshot. Commit or Abort must follow.
func (s *Slots) Stage(group uint64, at Mark) (*Stage, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // the numbers are written in their order
	s.last++
	slot := s.last
	b := s.state.NewBatch()
	b.Set([]byte{keyLast}, binary.BigEndian.AppendUint64(nil, slot))
	if err := b.Commit(); err != nil {
		return nil, fmt.Errorf("stage a snapshot: %w", err)
	}
	return &Stage{s: s, group: group, slot: slot, at: at, batch: s.state.NewBatch()}, nil
}

// Last returns the last key that was put: a transfer that broke goes on behind.
func (st *Stage) Last() []byte { return st.last }

// Put writes one key and value; keys come in order, without their prefix.
func (st *Stage) Put(key, value []byte) error {
	st.key = append(Prefix(st.key[:0], st.slot), key...)
	st.batch.Set(st.key, value)
	st.last = append(st.last[:0], key...)
	if st.batch.Len() < stageBytes {
		return nil
	}
	return st.write()
}

func (st *Stage) write() error {
	if err := st.batch.Commit(); err != nil {
		return fmt.Errorf("stage a snapshot: %w", err)
	}
	st.batch = st.s.state.NewBatch()
	return nil
}

// Commit makes the whole durable: from then on Switch finds it.
func (st *Stage) Commit() error {
	if st.done {
		return errors.New("slot: the stage ended before")
	}
	if err := st.write(); err != nil {
		return err
	}
	v := binary.BigEndian.AppendUint64(nil, st.slot)
	v = append(binary.BigEndian.AppendUint64(v, st.at.Term), st.at.Conf...)
	// A flush lands any prefix of the batches: this one is behind all others.
	st.batch.Set(stagedKey(st.group, st.at.Index), v)
	if err := st.write(); err != nil {
		return err
	}
	if err := st.s.state.Flush(); err != nil {
		return fmt.Errorf("stage a snapshot: %w", err)
	}
	st.done = true
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	all := st.s.staged[st.group]
	for i := range all {
		if all[i].Index == st.at.Index { // received twice
			all[i] = staged{st.at, st.slot}
			return nil
		}
	}
	st.s.staged[st.group] = append(all, staged{st.at, st.slot})
	return nil
}

// Abort deletes what was put, unless it was committed.
func (st *Stage) Abort() error {
	if st.done {
		return nil
	}
	st.done = true
	b := st.s.state.NewBatch()
	b.DeleteRange(bounds(st.slot))
	if err := b.Commit(); err != nil {
		return fmt.Errorf("give up a snapshot: %w", err)
	}
	return nil
}

// Copy calls put with every key and value of a slot behind a key, which may be
// nil, in order and without the prefix.
func Copy(r storage.Reader, slot uint64, after []byte, put func(key, value []byte) error) error {
	lower, upper := bounds(slot)
	n := len(lower)
	if after != nil {
		lower = append(append(lower, after...), 0)
	}
	return each(r, lower, upper, func(k, v []byte) error { return put(k[n:], v) })
}
