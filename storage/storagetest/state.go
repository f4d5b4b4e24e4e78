// Package storagetest holds the contracts of the storage interfaces as tests
// that every implementation runs.
package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/warrenmq/warren/storage"
)

// RunState checks what a storage.State promises while nothing crashes. open
// returns an empty one; the suite closes it.
func RunState(t *testing.T, open func(t testing.TB) storage.State) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s storage.State)
	}{
		{"get", stateGet},
		{"get appends", stateGetAppends},
		{"caller keeps its slices", stateOwnsNothing},
		{"batch in order", stateBatchOrder},
		{"uncommitted batch", stateUncommitted},
		{"batch length", stateBatchLen},
		{"delete range", stateDeleteRange},
		{"iterate", stateIterate},
		{"seek", stateSeek},
		{"iterator is a snapshot", stateSnapshot},
		{"snapshot", stateSnapshots},
		{"big batch", stateBigBatch},
		{"many batches", stateManyBatches},
		{"flush", stateFlush},
		{"concurrent use", stateConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t)
			c.run(t, s)
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		})
	}
	t.Run("model", func(t *testing.T) { runStateModel(t, open) })
}

// stateTB is what *testing.T and *rapid.T have in common here.
type stateTB interface {
	Helper()
	Fatalf(format string, args ...any)
}

func stateCommit(t stateTB, b storage.Batch) {
	t.Helper()
	if err := b.Commit(); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

// stateSet commits one batch of key, value, key, value ...
func stateSet(t testing.TB, s storage.State, kv ...string) {
	t.Helper()
	b := s.NewBatch()
	for i := 0; i < len(kv); i += 2 {
		b.Set([]byte(kv[i]), []byte(kv[i+1]))
	}
	stateCommit(t, b)
}

// stateDump reads [lower, upper) as "k=v k=v"; "" is no bound.
func stateDump(t stateTB, s storage.Reader, lower, upper string) string {
	t.Helper()
	it, err := s.Iter(stateBound(lower), stateBound(upper))
	if err != nil {
		t.Fatalf("iterate: %v", err)
	}
	return stateDrain(t, it)
}

func stateBound(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func stateDrain(t stateTB, it storage.Iterator) string {
	t.Helper()
	var out []string
	for it.Next() {
		out = append(out, fmt.Sprintf("%s=%s", it.Key(), it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatalf("close iterator: %v", err)
	}
	return strings.Join(out, " ")
}

func stateWant(t stateTB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func stateGet(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1", "empty", "")
	if v, err := s.Get(nil, []byte("a")); err != nil || string(v) != "1" {
		t.Fatalf("a: %q, %v", v, err)
	}
	if v, err := s.Get(nil, []byte("empty")); err != nil || len(v) != 0 {
		t.Fatalf("an empty value is a value: %q, %v", v, err)
	}
	for _, missing := range []string{"", "A", "a\x00", "b"} {
		if v, err := s.Get(nil, []byte(missing)); !errors.Is(err, storage.ErrNotFound) || len(v) != 0 {
			t.Fatalf("%q: %q, %v", missing, v, err)
		}
	}
	stateSet(t, s, "a", "2")
	b := s.NewBatch()
	b.Delete([]byte("empty"))
	b.Delete([]byte("never was"))
	stateCommit(t, b)
	stateWant(t, "after", stateDump(t, s, "", ""), "a=2")
}

func stateGetAppends(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1")
	v, err := s.Get([]byte("head:"), []byte("a"))
	if err != nil || string(v) != "head:1" {
		t.Fatalf("%q, %v", v, err)
	}
	v, err = s.Get([]byte("head:"), []byte("b"))
	if !errors.Is(err, storage.ErrNotFound) || string(v) != "head:" {
		t.Fatalf("missing: %q, %v", v, err)
	}
}

func stateOwnsNothing(t *testing.T, s storage.State) {
	k, v, lo, hi := []byte("k"), []byte("v"), []byte("x"), []byte("y")
	stateSet(t, s, "x1", "gone")
	b := s.NewBatch()
	b.Set(k, v)
	b.DeleteRange(lo, hi)
	k[0], v[0], lo[0], hi[0] = '!', '!', '!', '!'
	stateCommit(t, b)
	stateWant(t, "content", stateDump(t, s, "", ""), "k=v")
	got, err := s.Get(nil, []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	got[0] = '!'
	stateWant(t, "after changing what Get returned", stateDump(t, s, "", ""), "k=v")
}

func stateBatchOrder(t *testing.T, s storage.State) {
	b := s.NewBatch()
	b.Set([]byte("a"), []byte("1"))
	b.Set([]byte("a"), []byte("2"))
	b.Set([]byte("b"), []byte("1"))
	b.Delete([]byte("b"))
	b.Set([]byte("c"), []byte("1"))
	b.DeleteRange([]byte("c"), []byte("d"))
	b.Set([]byte("c2"), []byte("after the range"))
	b.Delete([]byte("e"))
	b.Set([]byte("e"), []byte("after the delete"))
	stateCommit(t, b)
	stateWant(t, "content", stateDump(t, s, "", ""), "a=2 c2=after the range e=after the delete")
}

func stateUncommitted(t *testing.T, s storage.State) {
	b := s.NewBatch()
	b.Set([]byte("a"), []byte("1"))
	stateWant(t, "before the commit", stateDump(t, s, "", ""), "")
	other := s.NewBatch()
	other.Set([]byte("a"), []byte("2"))
	stateCommit(t, b)
	stateCommit(t, other)
	stateWant(t, "the later commit wins", stateDump(t, s, "", ""), "a=2")
	stateCommit(t, s.NewBatch())
}

func stateBatchLen(t *testing.T, s storage.State) {
	b := s.NewBatch()
	if b.Len() != 0 {
		t.Fatalf("an empty batch has length %d", b.Len())
	}
	b.Set([]byte("key"), bytes.Repeat([]byte("v"), 1000))
	if b.Len() < 1003 || b.Len() > 1100 {
		t.Fatalf("1003 bytes count as %d", b.Len())
	}
	before := b.Len()
	b.Delete([]byte("key"))
	if b.Len() <= before {
		t.Fatal("a delete does not count")
	}
	stateCommit(t, b)
}

func stateDeleteRange(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1", "b", "1", "b1", "1", "c", "1", "d", "1")
	b := s.NewBatch()
	b.DeleteRange([]byte("b"), []byte("c"))
	b.DeleteRange([]byte("d"), []byte("d")) // empty
	b.DeleteRange([]byte("z"), []byte("a")) // upside down: empty
	stateCommit(t, b)
	stateWant(t, "the upper bound stays", stateDump(t, s, "", ""), "a=1 c=1 d=1")
	stateSet(t, s, "b", "again")
	stateWant(t, "a later key is not touched", stateDump(t, s, "", ""), "a=1 b=again c=1 d=1")
}

func stateIterate(t *testing.T, s storage.State) {
	stateWant(t, "empty", stateDump(t, s, "", ""), "")
	stateSet(t, s, "b", "2", "a", "1", "c", "3", "a\x00", "z", "\xff\xff", "end")
	for _, c := range []struct{ lower, upper, want string }{
		{"", "", "a=1 a\x00=z b=2 c=3 \xff\xff=end"},
		{"a\x00", "c", "a\x00=z b=2"},
		{"b", "", "b=2 c=3 \xff\xff=end"},
		{"", "a", ""},
		{"", "b", "a=1 a\x00=z"},
		{"bb", "bc", ""},
		{"d", "", "\xff\xff=end"},
	} {
		stateWant(t, fmt.Sprintf("[%q, %q)", c.lower, c.upper), stateDump(t, s, c.lower, c.upper), c.want)
	}
}

func stateSeek(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1", "b", "2", "c", "3", "d", "4")
	it, err := s.Iter([]byte("b"), []byte("d"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ seek, want string }{
		{"bb", "c"}, {"b", "b"}, {"a", "b"}, {"c", "c"}, {"c1", ""}, {"d", ""}, {"", "b"},
	} {
		got := ""
		if it.SeekGE([]byte(c.seek)) {
			got = string(it.Key())
		}
		stateWant(t, "seek "+c.seek, got, c.want)
	}
	if !it.Next() || string(it.Key()) != "c" || string(it.Value()) != "3" || it.Next() || it.Next() {
		t.Fatal("Next does not go on from a seek, or not stop at the end")
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
}

func stateSnapshot(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1", "b", "1", "c", "1")
	it, err := s.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !it.Next() || string(it.Key()) != "a" {
		t.Fatal("no first key")
	}
	b := s.NewBatch()
	b.Set([]byte("a2"), []byte("new"))
	b.Set([]byte("b"), []byte("new"))
	b.DeleteRange([]byte("c"), []byte("d"))
	stateCommit(t, b)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	stateWant(t, "old iterator", stateDrain(t, it), "b=1 c=1")
	stateWant(t, "new iterator", stateDump(t, s, "", ""), "a=1 a2=new b=new")
}

func stateSnapshots(t *testing.T, s storage.State) {
	stateSet(t, s, "a", "1", "b", "1")
	snap := s.Snapshot()
	b := s.NewBatch()
	b.Set([]byte("a"), []byte("new"))
	b.Delete([]byte("b"))
	b.Set([]byte("c"), []byte("new"))
	stateCommit(t, b)
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	stateWant(t, "snapshot", stateDump(t, snap, "", ""), "a=1 b=1")
	stateWant(t, "a part of it", stateDump(t, snap, "b", "c"), "b=1")
	if v, err := snap.Get(nil, []byte("b")); err != nil || string(v) != "1" {
		t.Fatalf("b in the snapshot: %q, %v", v, err)
	}
	if _, err := snap.Get(nil, []byte("c")); !errors.Is(err, storage.ErrNotFound) {
		t.Fatalf("c in the snapshot: %v", err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	stateWant(t, "store", stateDump(t, s, "", ""), "a=new c=new")
}

func stateBigBatch(t *testing.T, s storage.State) {
	const keys, size = 48, 512 << 10 // 24 MiB: more than the tests' memtable
	b := s.NewBatch()
	for i := range keys {
		b.Set(fmt.Appendf(nil, "key%03d", i), bytes.Repeat([]byte{byte(i)}, size))
	}
	stateCommit(t, b)
	check := func(when string) {
		for i := range keys {
			v, err := s.Get(nil, fmt.Appendf(nil, "key%03d", i))
			if err != nil || !bytes.Equal(v, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("%s: key %d: %d bytes, %v", when, i, len(v), err)
			}
		}
	}
	check("committed")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	check("flushed")
}

func stateManyBatches(t *testing.T, s storage.State) {
	value := bytes.Repeat([]byte("v"), 10_000)
	for i := range 2000 { // 20 MB: several memtables, without a Flush
		b := s.NewBatch()
		b.Set(fmt.Appendf(nil, "key%05d", i%1000), value)
		b.Set([]byte("last"), fmt.Append(nil, i))
		stateCommit(t, b)
	}
	if v, err := s.Get(nil, []byte("last")); err != nil || string(v) != "1999" {
		t.Fatalf("last: %q, %v", v, err)
	}
	it, err := s.Iter([]byte("key"), []byte("kez"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.Next() {
		n += len(it.Value())
	}
	if err := it.Close(); err != nil || n != 10_000_000 {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

func stateFlush(t *testing.T, s storage.State) {
	for i := range 5 {
		if err := s.Flush(); err != nil { // also when there is nothing to flush
			t.Fatal(err)
		}
		stateSet(t, s, fmt.Sprint("k", i), "v")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stateWant(t, "content", stateDump(t, s, "", ""), "k0=v k1=v k2=v k3=v k4=v")
}

// stateConcurrent keeps the sum of two keys the same while readers look.
func stateConcurrent(t *testing.T, s storage.State) {
	stateSet(t, s, "x", "0", "y", "100")
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 100 {
			stateSet(t, s, "x", fmt.Sprint(i), "y", fmt.Sprint(100-i))
		}
	})
	wg.Go(func() {
		for range 5 {
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		wg.Go(func() {
			for range 100 {
				var x, y int
				got := stateDump(t, s, "", "")
				if _, err := fmt.Sscanf(got, "x=%d y=%d", &x, &y); err != nil || x+y != 100 {
					t.Errorf("a batch was seen in part: %q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
