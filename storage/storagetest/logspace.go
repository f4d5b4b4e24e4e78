package storagetest

import (
	"slices"
	"testing"

	"github.com/warrenmq/warren/storage"
)

func (b *logBench) files() int {
	b.t.Helper()
	names, err := b.fs.List(logDir)
	if err != nil {
		b.t.Fatal(err)
	}
	return len(names)
}

// prepare does all the work that is done ahead of need.
func (b *logBench) prepare() {
	b.t.Helper()
	if p, ok := b.log.(preparer); ok {
		for n := 0; p.Prepare(); n++ {
			if n > 10000 {
				b.t.Fatal("Prepare finds no end")
			}
		}
	}
}

func testSpace(t *testing.T, b *logBench) {
	for i := uint64(1); i <= 1000; i++ {
		b.append(1, i, i, 1)
		b.prepare()
	}
	full := b.log.Stats()
	if full.Segments < 5 || full.Bytes < 1000*100 || full.SinceOldest > full.Bytes || full.SinceOldest < 1000*100 {
		t.Fatalf("a backlog: %+v", full)
	}
	many := b.files()
	b.log.Compact(1, 995)
	if st := b.log.Stats(); st.OldestDead != st.OldestSize {
		t.Fatalf("the oldest segment is not dead: %+v", st)
	}
	b.drain(0)
	b.prepare()
	st := b.log.Stats()
	if st.Segments > 2 || st.Free > 3 || st.SinceOldest > 10*200 {
		t.Fatalf("after the backlog: %+v", st)
	}
	if n := b.files(); n > st.Segments+st.Free || n >= many {
		t.Fatalf("%d files, were %d, for %+v", n, many, st)
	}
	for range 2 {
		b.wantBounds(1, 996, 1, 1000)
		b.wantEntries(1, 996, 1000, 1, 100)
		b.reopen()
	}
	// Short-lived entries run through the same few files for ever.
	few := b.files()
	for i := uint64(1001); i <= 3000; i++ {
		b.append(1, i, i, 1)
		b.log.Compact(1, i-1)
		b.prepare()
	}
	if n := b.files(); n > few+3 {
		t.Fatalf("%d files for a log that holds one entry, were %d", n, few)
	}
	b.reopen()
	b.wantEntries(1, 3000, 3000, 1, 100)
}

func testCarry(t *testing.T, b *logBench) {
	hs := func(g uint64) storage.HardState { return storage.HardState{Term: g, Vote: g + 1, Commit: 4} }
	for g := uint64(1); g <= 5; g++ {
		b.write(storage.Append{Group: g, Entries: entries(g, 1, 5, 3, 50), State: hs(g), HasState: true})
		b.log.Compact(g, 5)
	}
	b.write(storage.Append{Group: 6, Reset: &storage.Reset{Index: 77, Term: 8}})
	b.write(storage.Append{Group: 7, Reset: &storage.Reset{}})
	b.write(storage.Append{Group: 8, State: hs(8), HasState: true})
	check := func() {
		t.Helper()
		for g := uint64(1); g <= 5; g++ {
			b.wantBounds(g, 6, 3, 5)
			b.wantState(g, hs(g))
		}
		b.wantBounds(6, 78, 8, 77)
		b.wantBounds(7, 1, 0, 0)
		b.wantBounds(8, 1, 0, 0)
		b.wantState(8, hs(8))
	}
	for round := range uint64(4) {
		for i := round*300 + 1; i <= (round+1)*300; i++ {
			b.append(100, i, i, 1)
			b.log.Compact(100, i-1)
		}
		check()
		b.reopen()
		check()
	}
	if st := b.log.Stats(); st.Segments > 4 {
		t.Fatalf("nothing was given up: %+v", st)
	}
}

func testOldest(t *testing.T, b *logBench) {
	if got := b.log.OldestGroups(); len(got) != 0 {
		t.Fatalf("oldest groups of an empty log: %v", got)
	}
	b.append(3, 1, 2, 1)
	b.append(1, 1, 2, 1)
	for i := uint64(1); i <= 600; i++ {
		b.append(2, i, i, 1)
	}
	for _, c := range []struct {
		group, index uint64
		want         []uint64
	}{{2, 590, []uint64{1, 3}}, {1, 1, []uint64{1, 3}}, {1, 2, []uint64{3}}} {
		b.log.Compact(c.group, c.index)
		b.drain(0)
		if got := b.log.OldestGroups(); !slices.Equal(got, c.want) {
			t.Fatalf("oldest groups %v, want %v", got, c.want)
		}
	}
	before := b.log.Stats()
	b.log.Compact(3, 2)
	b.drain(0)
	if got := b.log.OldestGroups(); !slices.Equal(got, []uint64{2}) {
		t.Fatalf("oldest groups %v, want 2", got)
	}
	if st := b.log.Stats(); st.Segments >= before.Segments || st.SinceOldest >= before.SinceOldest {
		t.Fatalf("before %+v, after %+v", before, st)
	}
	b.reopen()
	b.wantBounds(3, 3, 1, 2)
	b.wantBounds(2, 591, 1, 600)
}

func testIdleGroup(t *testing.T, b *logBench) {
	// A group dropped, or reset, needs nothing of the past.
	b.append(1, 1, 5, 1)
	b.append(2, 1, 5, 1)
	for i := uint64(1); i <= 600; i++ {
		b.append(3, i, i, 1)
	}
	b.log.Compact(3, 599)
	b.write(storage.Append{Group: 1, Reset: &storage.Reset{Drop: true}})
	b.write(storage.Append{Group: 2, Reset: &storage.Reset{Index: 9, Term: 2}})
	b.drain(0)
	if st := b.log.Stats(); st.Segments > 2 {
		t.Fatalf("%+v", st)
	}
	b.reopen()
	b.wantBounds(2, 10, 2, 9)
	b.wantBounds(3, 600, 1, 600)
	if _, ok := b.log.Bounds(1); ok {
		t.Fatal("the group is still there")
	}
}
