package sim

import (
	"encoding/binary"
	"fmt"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
)

// Checkpoint implements Machine.
func (m *shardMachine) Checkpoint() []byte {
	c := m.shard.CutNow()
	err := c.Bodies(m.state.NewBatch)
	b := m.state.NewBatch()
	if err == nil {
		err = c.State(b)
	}
	if err == nil {
		err = b.Commit()
	}
	if err == nil {
		err = m.state.Flush()
	}
	if err != nil {
		m.env.Fail("checkpoint: %v", err)
	}
	c.Durable()
	return dump(m.state, m.slots.Of(m.env.Group))
}

// dump encodes what a slot has.
func dump(st storage.State, in uint64) (b []byte) {
	err := slot.Copy(st, in, nil, func(key, value []byte) error {
		for _, x := range [...][]byte{key, value} {
			b = binary.AppendUvarint(b, uint64(len(x)))
			b = append(b, x...)
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("sim: the state can not be read: %v", err))
	}
	return b
}

// load calls put for all that dump encoded.
func undump(b []byte, put func(key, value []byte) error) (err error) {
	next := func() []byte {
		n, k := binary.Uvarint(b)
		x := b[k : k+int(n)]
		b = b[k+int(n):]
		return x
	}
	for len(b) > 0 && err == nil {
		k := next()
		err = put(k, next())
	}
	return err
}

// Restore implements Machine.
func (m *shardMachine) Restore(b []byte) {
	st := state.NewMemory()
	batch := st.NewBatch()
	err := undump(b, func(key, value []byte) error {
		batch.Set(append(slot.Prefix(nil, m.env.Group), key...), value)
		return nil
	})
	if err == nil {
		err = batch.Commit()
	}
	if err == nil {
		err = st.Flush()
	}
	if err != nil {
		m.env.Fail("restore: %v", err)
	}
	m.open(st)
}

// install stages a snapshot as a node does, and has the shard take it.
func (m *shardMachine) install(index, term uint64, b []byte, done func()) {
	at := slot.Mark{Index: index, Term: term}
	st, err := m.slots.Stage(m.env.Group, at)
	if err == nil {
		err = undump(b, st.Put)
	}
	if err == nil {
		err = st.Commit()
	}
	if err != nil {
		m.env.Fail("stage a snapshot: %v", err)
	}
	m.shard.Install(index, func() {
		m.env.Count("snapshot taken in place")
		done()
	})
	m.load()
}
