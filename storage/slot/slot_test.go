package slot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
)

const group = 7

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, st storage.State) *slot.Slots {
	t.Helper()
	s, err := slot.Open(st)
	must(t, err)
	return s
}

// content is what a group keeps.
func content(t testing.TB, st storage.State, s *slot.Slots, group uint64) string {
	t.Helper()
	var out []string
	must(t, slot.Copy(st, s.Of(group), nil, func(k, v []byte) error {
		out = append(out, fmt.Sprintf("%s=%s", k, v))
		return nil
	}))
	return strings.Join(out, " ")
}

func put(t testing.TB, st storage.State, slotID uint64, kv ...string) {
	t.Helper()
	b := st.NewBatch()
	for i := 0; i < len(kv); i += 2 {
		b.Set(append(slot.Prefix(nil, slotID), kv[i]...), []byte(kv[i+1]))
	}
	must(t, b.Commit())
}

// slots counts the slots that have keys.
func slots(t testing.TB, st storage.State) int {
	t.Helper()
	seen := map[string]bool{}
	it, err := st.Iter([]byte("S"), []byte("T"))
	must(t, err)
	for it.Next() {
		seen[string(it.Key()[:9])] = true
	}
	must(t, it.Close())
	return len(seen)
}

// receive stages a snapshot of two keys, in two batches.
func receive(t testing.TB, s *slot.Slots, index uint64, value string) {
	t.Helper()
	sg, err := s.Stage(group, slot.Mark{Index: index, Term: 2, Conf: []byte("conf")})
	must(t, err)
	must(t, sg.Put([]byte("a"), []byte(value)))
	must(t, sg.Put([]byte("b"), []byte(value)))
	must(t, sg.Commit())
}

func TestSwitch(t *testing.T) {
	st := state.NewMemory()
	s := open(t, st)
	put(t, st, group, "a", "old", "z", "old")
	put(t, st, group+1, "a", "neighbour")
	receive(t, s, 10, "ten")
	receive(t, s, 20, "twenty")
	if got := content(t, st, s, group); got != "a=old z=old" {
		t.Fatalf("before the switch: %s", got)
	}
	if m, ok := s.Staged(group, 20); !ok || m.Term != 2 || string(m.Conf) != "conf" {
		t.Fatalf("staged: %+v, %v", m, ok)
	}
	must(t, s.Switch(group, 10))
	if got := content(t, st, s, group); got != "a=ten b=ten" {
		t.Fatalf("after the switch: %s", got)
	}
	if n := slots(t, st); n != 3 {
		t.Fatalf("%d slots: the present one, the neighbour's and the staged one were to be left", n)
	}
	must(t, s.Switch(group, 20))
	s = open(t, st)
	if got := content(t, st, s, group); got != "a=twenty b=twenty" {
		t.Fatalf("after a restart: %s", got)
	}
	if s.Switch(group, 20) == nil {
		t.Fatal("switched to a snapshot that is not staged")
	}
	if got := content(t, st, s, group+1); got != "a=neighbour" {
		t.Fatalf("the neighbour: %s", got)
	}
	must(t, s.Drop(group))
	if n := slots(t, st); n != 1 {
		t.Fatalf("%d slots after the group was dropped", n)
	}
}

// A transfer that is given up, a round that writes to a slot that was left and a
// resume that does not fit leave nothing behind.
func TestSweep(t *testing.T) {
	st := state.NewMemory()
	s := open(t, st)
	sg, err := s.Stage(group, slot.Mark{Index: 5})
	must(t, err)
	must(t, sg.Put([]byte("a"), []byte("part")))
	must(t, sg.Abort())
	receive(t, s, 10, "ten")
	must(t, s.Switch(group, 10))
	put(t, st, group, "late", "write to the slot that was left")
	receive(t, s, 30, "thirty")
	s = open(t, st)
	must(t, s.Resume(group, 10)) // the log says that the snapshot at 30 was never installed
	if got := content(t, st, s, group); got != "a=ten b=ten" {
		t.Fatalf("content: %s", got)
	}
	if n := slots(t, st); n != 1 {
		t.Fatalf("%d slots", n)
	}
}

// However many batches a crash keeps, the group has one whole state, the staged
// snapshot counts only when Commit returned or nothing of it misses, and no
// number is used twice.
func TestCrash(t *testing.T) {
	steps := []func(t testing.TB, st *state.Memory, s *slot.Slots){
		func(t testing.TB, _ *state.Memory, s *slot.Slots) { receive(t, s, 10, "ten") },
		func(t testing.TB, _ *state.Memory, s *slot.Slots) { must(t, s.Switch(group, 10)) },
		func(t testing.TB, _ *state.Memory, s *slot.Slots) {
			sg, err := s.Stage(group, slot.Mark{Index: 20})
			must(t, err)
			must(t, sg.Put([]byte("a"), []byte("part")))
			must(t, sg.Abort())
			receive(t, s, 30, "thirty")
		},
		func(t testing.TB, _ *state.Memory, s *slot.Slots) { must(t, s.Switch(group, 30)) },
	}
	whole := map[string]bool{"a=old": true, "a=ten b=ten": true, "a=thirty b=thirty": true}
	for n := 0; n <= len(steps); n++ {
		for keep := 0; ; keep++ {
			mem := state.NewMemory()
			put(t, mem, group, "a", "old")
			must(t, mem.Flush())
			st := &holding{Memory: mem}
			s := open(t, st)
			for _, step := range steps[:n] {
				step(t, mem, s)
			}
			if keep > mem.Unflushed() {
				break
			}
			mem.Crash(keep)
			s = open(t, mem)
			if got := content(t, mem, s, group); !whole[got] {
				t.Fatalf("%d steps, %d batches kept: the group has %q", n, keep, got)
			}
			for _, index := range []uint64{10, 30} {
				if _, ok := s.Staged(group, index); ok {
					must(t, s.Resume(group, index))
					if got := content(t, mem, s, group); got == "a=old" || !whole[got] {
						t.Fatalf("%d steps, %d batches kept: after the resume %q", n, keep, got)
					}
					break
				}
			}
			before := s.Of(group)
			receive(t, s, 40, "thirty")
			must(t, s.Switch(group, 40))
			if s.Of(group) == before {
				t.Fatalf("%d steps, %d batches kept: slot %d is used twice", n, keep, before)
			}
			if k := slots(t, mem); k != 1 {
				t.Fatalf("%d steps, %d batches kept: %d slots", n, keep, k)
			}
		}
	}
}

// holding is a store whose flushes make nothing durable, so that a crash may
// keep any prefix of everything.
type holding struct{ *state.Memory }

func (h *holding) Flush() error { return nil }

// A transfer that broke goes on behind the last key.
func TestCopyAfter(t *testing.T) {
	st := state.NewMemory()
	put(t, st, group, "a", "1", "b", "2", "c", "3")
	put(t, st, group+1, "a", "not this")
	snap := st.Snapshot()
	put(t, st, group, "b", "changed")
	var got []string
	must(t, slot.Copy(snap, group, []byte("a"), func(k, v []byte) error {
		got = append(got, string(k)+"="+string(v))
		return nil
	}))
	must(t, snap.Close())
	if fmt.Sprint(got) != "[b=2 c=3]" {
		t.Fatalf("copied %v", got)
	}
}
