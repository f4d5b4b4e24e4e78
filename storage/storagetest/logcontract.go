package storagetest

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/warrenmq/warren/storage"
)

func testAppend(t *testing.T, b *logBench) {
	b.write(storage.Append{Group: 7, Reset: &storage.Reset{}})
	b.wantBounds(7, 1, 0, 0)
	hs := storage.HardState{Term: 3, Vote: 1 << 60, Commit: 2}
	b.write(storage.Append{Group: 7, Entries: entries(7, 1, 5, 3, 100), State: hs, HasState: true})
	b.append(7, 6, 6, 3)
	b.append(9, 1, 1, 1)
	for range 2 {
		b.wantBounds(7, 1, 0, 6)
		b.wantState(7, hs)
		b.wantEntries(7, 1, 6, 3, 100)
		b.wantEntries(7, 3, 4, 3, 100)
		b.wantEntries(9, 1, 1, 1, 100)
		b.reopen()
		groups := b.log.Groups()
		if len(groups) != 2 || groups[0].Group != 7 || groups[1].Group != 9 {
			t.Fatalf("groups after recovery: %+v", groups)
		}
		if g, _ := b.log.Bounds(7); g != groups[0] {
			t.Fatalf("Groups says %+v, Bounds %+v", groups[0], g)
		}
	}
	b.append(7, 7, 9, 4)
	b.reopen()
	b.wantEntries(7, 7, 9, 4, 100)
	b.wantBounds(7, 1, 0, 9)
}

func testErrors(t *testing.T, b *logBench) {
	b.append(1, 1, 10, 2)
	b.log.Compact(1, 4)
	b.drain(0)
	for range 2 {
		b.wantErr(1, 4, 6, storage.ErrCompacted)
		b.wantErr(1, 10, 12, storage.ErrUnavailable)
		b.wantErr(2, 1, 2, storage.ErrUnavailable)
		b.wantTerm(1, 3, 0, storage.ErrCompacted)
		b.wantTerm(1, 4, 2, nil)
		b.wantTerm(1, 10, 2, nil)
		b.wantTerm(1, 11, 0, storage.ErrUnavailable)
		b.wantTerm(2, 0, 0, storage.ErrUnavailable)
		if got, err := b.log.Entries(nil, 1, 5, 5, 10); err != nil || len(got) != 0 {
			t.Fatalf("empty range: %d entries, %v", len(got), err)
		}
		if _, ok := b.log.Bounds(2); ok {
			t.Fatal("a group that never was has bounds")
		}
		b.reopen()
	}
}

func testReplace(t *testing.T, b *logBench) {
	b.append(1, 1, 10, 1)
	b.append(1, 6, 7, 2) // discards 8 to 10
	for range 2 {
		b.wantBounds(1, 1, 0, 7)
		b.wantEntries(1, 1, 5, 1, 100)
		b.wantEntries(1, 6, 7, 2, 100)
		b.wantErr(1, 6, 9, storage.ErrUnavailable)
		b.reopen()
	}
	// Twice in one drain, and behind it.
	b.submit(storage.Append{Group: 1, Entries: entries(1, 5, 9, 3, 100)})
	b.submit(storage.Append{Group: 1, Entries: entries(1, 7, 7, 4, 100)})
	b.drain(2)
	b.append(1, 8, 8, 4)
	b.log.Compact(1, 2)
	b.append(1, 1, 5, 5) // 1 and 2 are given up already
	for range 2 {
		b.wantBounds(1, 3, 1, 5)
		b.wantEntries(1, 3, 5, 5, 100)
		b.reopen()
	}
	b.append(1, 1, 1, 5) // nothing of it is news
	b.wantBounds(1, 3, 1, 5)
}

func testCompact(t *testing.T, b *logBench) {
	b.append(1, 1, 20, 1)
	b.append(1, 21, 30, 2)
	b.log.Compact(1, 25)
	b.wantBounds(1, 26, 2, 30)
	b.log.Compact(1, 3) // behind us
	b.log.Compact(9, 3) // nobody
	b.wantBounds(1, 26, 2, 30)
	b.drain(0)
	for range 2 {
		b.wantBounds(1, 26, 2, 30)
		b.wantEntries(1, 26, 30, 2, 100)
		b.wantErr(1, 25, 27, storage.ErrCompacted)
		b.reopen()
	}
	b.log.Compact(1, 99) // more than there is
	b.drain(0)
	for range 2 {
		b.wantBounds(1, 31, 2, 30)
		b.wantTerm(1, 30, 2, nil)
		b.reopen()
	}
	b.append(1, 31, 31, 2)
	b.wantEntries(1, 31, 31, 2, 100)
}

func testReset(t *testing.T, b *logBench) {
	hs := storage.HardState{Term: 5, Vote: 2, Commit: 3}
	b.append(1, 1, 10, 1)
	b.write(storage.Append{Group: 1, State: hs, HasState: true})
	b.write(storage.Append{Group: 1, Reset: &storage.Reset{Index: 100, Term: 4}})
	for range 2 {
		b.wantBounds(1, 101, 4, 100)
		b.wantState(1, hs) // a snapshot takes no vote back
		b.wantErr(1, 10, 11, storage.ErrCompacted)
		b.reopen()
	}
	b.write(storage.Append{Group: 1, Reset: &storage.Reset{Index: 200, Term: 5}, Entries: entries(1, 201, 203, 5, 50)})
	b.write(storage.Append{Group: 1, Reset: &storage.Reset{Index: 50, Term: 2}, Entries: entries(1, 51, 53, 5, 50)}) // also back
	for range 2 {
		b.wantBounds(1, 51, 2, 53)
		b.wantEntries(1, 51, 53, 5, 50)
		b.reopen()
	}
}

func testDrop(t *testing.T, b *logBench) {
	b.append(1, 1, 3, 1)
	b.append(2, 1, 3, 1)
	b.write(storage.Append{Group: 1, State: storage.HardState{Term: 1, Vote: 1}, HasState: true})
	b.write(storage.Append{Group: 1, Reset: &storage.Reset{Drop: true}})
	for range 2 {
		if _, ok := b.log.Bounds(1); ok {
			t.Fatal("the group is still there")
		}
		b.wantErr(1, 1, 2, storage.ErrUnavailable)
		b.wantBounds(2, 1, 0, 3)
		b.reopen()
	}
	b.append(1, 1, 2, 9)
	for range 2 {
		b.wantBounds(1, 1, 0, 2)
		b.wantState(1, storage.HardState{})
		b.wantEntries(1, 1, 2, 9, 100)
		b.reopen()
	}
	// Dropped and begun again in one drain.
	b.submit(storage.Append{Group: 1, Reset: &storage.Reset{Drop: true}})
	b.submit(storage.Append{Group: 1, Reset: &storage.Reset{Index: 8, Term: 3}})
	b.submit(storage.Append{Group: 2, Reset: &storage.Reset{Drop: true}})
	b.drain(3)
	for range 2 {
		b.wantBounds(1, 9, 3, 8)
		if _, ok := b.log.Bounds(2); ok {
			t.Fatal("group 2 is still there")
		}
		b.reopen()
	}
}

func testDone(t *testing.T, b *logBench) {
	var order []int
	for i := range 10 {
		a := &storage.Append{Group: uint64(i % 2), Entries: entries(0, uint64(i/2+1), uint64(i/2+1), 1, 10)}
		a.Done = func() {
			order = append(order, i)
			b.wantBounds(a.Group, 1, 0, 5) // published before any Done, and not under a lock
		}
		b.log.Submit(a)
	}
	if len(order) != 0 {
		t.Fatal("Done before Drain")
	}
	b.drain(10)
	if !slices.IsSorted(order) || len(order) != 10 {
		t.Fatalf("Done in order %v", order)
	}
	if st := b.log.Stats(); st.Drains != 1 || st.Syncs > 1 {
		t.Fatalf("%d syncs in %d drains", st.Syncs, st.Drains)
	}
	b.drain(0)
	// Done may submit.
	next := &storage.Append{Group: 0, Entries: entries(0, 7, 7, 1, 10)}
	b.log.Submit(&storage.Append{Group: 0, Entries: entries(0, 6, 6, 1, 10), Done: func() { b.log.Submit(next) }})
	b.drain(1)
	b.drain(1)
	b.wantBounds(0, 1, 0, 7)
}

func testLazy(t *testing.T, b *logBench) {
	b.append(1, 1, 3, 1)
	syncs, done := b.log.Stats().Syncs, b.done
	hs := storage.HardState{Term: 1, Commit: 3}
	b.write(storage.Append{Group: 1, State: hs, HasState: true, Lazy: true})
	b.wantState(1, hs)
	if st := b.log.Stats(); st.Syncs != syncs || b.done != done {
		t.Fatalf("a lazy append: %d syncs, %d Done", st.Syncs-syncs, b.done-done)
	}
	b.append(1, 4, 4, 1)
	if st := b.log.Stats(); st.Syncs != syncs+1 || b.done != done+2 {
		t.Fatalf("after the next append: %d syncs, %d Done", st.Syncs-syncs, b.done-done)
	}
	b.reopen()
	b.wantState(1, hs)
}

func testMaxBytes(t *testing.T, b *logBench) {
	b.write(storage.Append{Group: 1, Entries: entries(1, 1, 200, 1, 100)})
	for range 2 {
		for _, c := range []struct{ lo, hi, max, want uint64 }{
			{1, 201, 0, 1},
			{1, 201, 99, 1},
			{1, 201, 100, 1},
			{1, 201, 199, 1},
			{1, 201, 200, 2},
			{1, 201, 7050, 70},
			{50, 60, 1 << 40, 10},
			{1, 201, math.MaxUint64, 200},
			{200, 201, 5, 1},
		} {
			got, err := b.log.Entries(nil, 1, c.lo, c.hi, c.max)
			if err != nil || uint64(len(got)) != c.want {
				t.Fatalf("[%d, %d) within %d bytes: %d entries, %v, want %d", c.lo, c.hi, c.max, len(got), err, c.want)
			}
			wantSame(t, got, entries(1, c.lo, c.lo+c.want-1, 1, 100))
		}
		b.reopen()
	}
}

func testLarge(t *testing.T, b *logBench) {
	sizes := []int{0, 1, 7, 8, 9, 4095, 9000, 16 << 10, 1 << 20, 3<<20 + 5, 0, 100}
	for i, size := range sizes {
		b.write(storage.Append{Group: 1, Entries: entries(1, uint64(i+1), uint64(i+1), 1, size)})
		b.write(storage.Append{Group: 2, Entries: entries(2, uint64(i+1), uint64(i+1), 1, 20)})
	}
	for range 2 {
		for i, size := range sizes {
			b.wantEntries(1, uint64(i+1), uint64(i+1), 1, size)
		}
		b.wantEntries(2, 1, uint64(len(sizes)), 1, 20)
		b.reopen()
	}
}

func testConcurrent(t *testing.T, b *logBench) {
	const last = 3000
	b.append(1, 1, 1, 1)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s, _ := b.log.Bounds(1)
				lo := max(s.First, s.Last-min(s.Last, 300))
				got, err := b.log.Entries(nil, 1, lo, s.Last+1, 1<<20)
				if err == storage.ErrCompacted {
					continue
				}
				if err != nil || len(got) == 0 && s.First <= s.Last {
					t.Errorf("entries [%d, %d]: %d, %v", lo, s.Last, len(got), err)
					return
				}
				wantSame(t, got, entries(1, lo, lo+uint64(len(got))-1, 1, 100))
			}
		})
	}
	prep, _ := b.log.(preparer)
	for i := uint64(2); i <= last; i += 10 {
		b.log.Submit(&storage.Append{Group: 1, Entries: entries(1, i, i+9, 1, 100)})
		b.log.Drain()
		if i%50 == 2 && i > 100 {
			b.log.Compact(1, i-100)
		}
		if prep != nil {
			prep.Prepare()
		}
	}
	close(stop)
	wg.Wait()
}

func testRun(t *testing.T, b *logBench) {
	const groups, each = 8, 200
	stop, ran := make(chan struct{}), make(chan struct{})
	go func() { b.log.Run(stop); close(ran) }()
	var wg sync.WaitGroup
	for g := uint64(1); g <= groups; g++ {
		wg.Go(func() {
			for i := uint64(1); i <= each; i++ {
				done := make(chan struct{})
				b.log.Submit(&storage.Append{Group: g, Entries: entries(g, i, i, 1, 100), Done: func() { close(done) }})
				if i%10 == 0 {
					<-done
					b.log.Compact(g, i-5)
				}
			}
		})
	}
	wg.Wait()
	last := 0
	b.log.Submit(&storage.Append{Group: 1, State: storage.HardState{Term: 1, Commit: each}, HasState: true, Lazy: true, Done: func() { last++ }})
	close(stop)
	<-ran
	if last != 1 {
		t.Fatalf("Run ended with a lazy append not done")
	}
	for range 2 {
		for g := uint64(1); g <= groups; g++ {
			b.wantBounds(g, each-4, 1, each)
			b.wantEntries(g, each-4, each, 1, 100)
		}
		b.wantState(1, storage.HardState{Term: 1, Commit: each})
		b.reopen()
	}
}
