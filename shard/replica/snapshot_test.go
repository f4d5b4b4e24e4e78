package replica

import (
	"testing"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
)

// checkpointed writes a cut of the shard as it is now, bodies left out.
func (f *fake) checkpointed() {
	f.t.Helper()
	c := f.s.cut()
	b := f.state.NewBatch()
	if err := c.State(b); err != nil {
		f.t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		f.t.Fatal(err)
	}
	c.Durable()
	f.turn()
}

// staged copies the state of another shard into a stage of this one's slots.
func staged(t *testing.T, from *fake, slots *slot.Slots) slot.Mark {
	t.Helper()
	m, ok, err := MarkOf(from.state, from.s.slot)
	if err != nil || !ok {
		t.Fatalf("mark: %v, %v", ok, err)
	}
	st, err := slots.Stage(group, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.Copy(from.state, from.s.slot, nil, st.Put); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(); err != nil {
		t.Fatal(err)
	}
	return m
}

// A follower that takes a snapshot has what its sender had, answers what of its
// own is in it, and goes on in a new slot; a cut that was under way is neither
// broken nor does it touch the new state.
func TestInstall(t *testing.T) {
	leader := newFake(t, 1)
	leader.lead(2)
	leader.publish(9)
	leader.settle()
	before := leader.log
	leader.publish(1, 2, 3)
	leader.settle()
	leader.checkpointed()

	f := newFake(t, 2)
	st := state.NewMemory()
	slots, err := slot.Open(st)
	if err != nil {
		t.Fatal(err)
	}
	f.state, f.slots, f.first = st, slots, &firstLog{first: 2}
	f.open(1) // the batches in the snapshot are its own
	f.publish(9)
	f.s.org.Next(1)
	f.s.Apply(before)
	f.expect("confirm 9+1")
	f.publish(1, 2, 3)
	f.s.org.Next(1)
	open := f.s.cut()
	m := staged(t, leader, slots)

	installed := false
	f.s.Install(m.Index, func() { installed = true })
	for f.s.o.Loader.Step() {
	}
	f.turn()
	if installed {
		t.Fatal("installed while a cut was being written")
	}
	f.first.first = m.Index + 1
	if err := open.Bodies(st.NewBatch); err != nil {
		t.Fatal(err)
	}
	if !open.void {
		t.Fatal("the log began anew behind a cut, which does not know it")
	}
	b := st.NewBatch()
	if err := open.State(b); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	open.Durable()
	f.turn()
	for f.s.o.Loader.Step() {
	}
	f.turn()
	if !installed {
		t.Fatal("not installed")
	}
	if f.s.applied != m.Index || f.s.slot == group {
		t.Fatalf("stands at %d of %d, in slot %d", f.s.applied, m.Index, f.s.slot)
	}
	if got, want := f.s.e.Queue(1).Ledger.Digest(), leader.s.e.Queue(1).Ledger.Digest(); got != want {
		t.Fatalf("digest %x, the sender's is %x", got, want)
	}
	f.expect("confirm 1+3")

	// It survives a restart, in its slot.
	if slots, err = slot.Open(st); err != nil {
		t.Fatal(err)
	}
	f.slots = slots
	f.open(2)
	if f.s.applied != m.Index || f.s.e.Queue(1).Ledger.Total().Messages != 4 {
		t.Fatalf("after a restart: at %d with %d messages", f.s.applied, f.s.e.Queue(1).Ledger.Total().Messages)
	}
}

// firstLog is a log of which only the first index is asked.
type firstLog struct {
	storage.LogStore
	first uint64
}

func (l *firstLog) Bounds(uint64) (storage.GroupState, bool) {
	return storage.GroupState{Group: group, First: l.first}, true
}

func (l *firstLog) Entries([]storage.Entry, uint64, uint64, uint64, uint64) ([]storage.Entry, error) {
	return nil, storage.ErrCompacted
}
