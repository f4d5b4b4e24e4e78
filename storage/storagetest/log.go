// Package storagetest holds the suites that every implementation of the
// interfaces of package storage has to pass: what they promise, what they do
// when the machine stops at any moment, and when the disk fails.
package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

// A LogOpener opens, or creates, the log of a directory. Its segments should be
// small (16 KiB), so that a short test crosses many.
type LogOpener func(fs vfs.FS, dir string) (storage.LogStore, error)

// The step functions that a log may have beside storage.LogStore.
type (
	preparer interface{ Prepare() bool }
	ticker   interface{ Tick(now time.Duration) }
)

const logDir = "log"

// RunLog runs the contract suite of storage.LogStore.
func RunLog(t *testing.T, open LogOpener) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *logBench)
	}{
		{"append and read", testAppend},
		{"exact errors", testErrors},
		{"replace suffix", testReplace},
		{"compact", testCompact},
		{"reset", testReset},
		{"drop", testDrop},
		{"done order", testDone},
		{"lazy", testLazy},
		{"max bytes", testMaxBytes},
		{"large entries", testLarge},
		{"space comes back", testSpace},
		{"state outlives its segment", testCarry},
		{"oldest groups", testOldest},
		{"idle group pins nothing", testIdleGroup},
		{"concurrent readers", testConcurrent},
		{"run", testRun},
		{"model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newLogBench(t, open)) })
	}
}

// A logBench is a log under test, driven step by step.
type logBench struct {
	t    testing.TB
	open LogOpener
	fs   vfs.FS
	log  storage.LogStore
	done int // Done functions called
}

func newLogBench(t testing.TB, open LogOpener) *logBench {
	b := &logBench{t: t, open: open, fs: vfs.NewMem()}
	b.start()
	t.Cleanup(func() {
		if b.log != nil {
			b.stop()
		}
	})
	return b
}

func (b *logBench) start() {
	b.t.Helper()
	log, err := b.open(b.fs, logDir)
	if err != nil {
		b.t.Fatalf("open: %v", err)
	}
	b.log = log
}

func (b *logBench) stop() {
	b.t.Helper()
	if err := b.log.Close(); err != nil {
		b.t.Fatalf("close: %v", err)
	}
	b.log = nil
}

func (b *logBench) reopen() {
	b.t.Helper()
	b.stop()
	b.start()
}

func (b *logBench) submit(a storage.Append) {
	a.Done = func() { b.done++ }
	b.log.Submit(&a)
}

func (b *logBench) drain(want int) {
	b.t.Helper()
	if n := b.log.Drain(); n != want {
		b.t.Fatalf("Drain wrote %d appends, want %d", n, want)
	}
}

// write submits and drains one append.
func (b *logBench) write(a storage.Append) {
	b.t.Helper()
	b.submit(a)
	b.drain(1)
}

func (b *logBench) append(group, first, last, term uint64) {
	b.t.Helper()
	b.write(storage.Append{Group: group, Entries: entries(group, first, last, term, 100)})
}

// entries makes entries whose data can be told from all others'.
func entries(group, first, last, term uint64, size int) []storage.Entry {
	var es []storage.Entry
	for i := first; i <= last; i++ {
		es = append(es, storage.Entry{Index: i, Term: term, Kind: uint8(i % 3), Data: payload(group, i, term, size)})
	}
	return es
}

func payload(group, index, term uint64, size int) []byte {
	p := fmt.Appendf(nil, "%d/%d/%d ", group, index, term)
	for i := 0; len(p) < size; i++ {
		p = append(p, byte(uint64(i)*(index+7*term)>>3))
	}
	return p[:max(size, 0)]
}

func (b *logBench) wantBounds(group, first, firstTerm, last uint64) {
	b.t.Helper()
	s, ok := b.log.Bounds(group)
	if !ok {
		b.t.Fatalf("group %d is not there", group)
	}
	if s.Group != group || s.First != first || s.FirstTerm != firstTerm || s.Last != last || s.Damaged {
		b.t.Fatalf("group %d: bounds %+v, want first %d (term before %d), last %d", group, s, first, firstTerm, last)
	}
}

func (b *logBench) wantState(group uint64, want storage.HardState) {
	b.t.Helper()
	if s, _ := b.log.Bounds(group); s.State != want {
		b.t.Fatalf("group %d: state %+v, want %+v", group, s.State, want)
	}
}

// wantEntries checks that [first, last] are as entries() made them.
func (b *logBench) wantEntries(group, first, last, term uint64, size int) {
	b.t.Helper()
	got, err := b.log.Entries(nil, group, first, last+1, math.MaxUint64)
	if err != nil {
		b.t.Fatalf("group %d: entries [%d, %d]: %v", group, first, last, err)
	}
	wantSame(b.t, got, entries(group, first, last, term, size))
	for _, e := range got {
		if tm, err := b.log.Term(group, e.Index); err != nil || tm != term {
			b.t.Fatalf("group %d: term of %d is %d, %v, want %d", group, e.Index, tm, err, term)
		}
	}
}

func wantSame(t testing.TB, got, want []storage.Entry) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, g := range got {
		if w := want[i]; g.Index != w.Index || g.Term != w.Term || g.Kind != w.Kind || !bytes.Equal(g.Data, w.Data) {
			t.Fatalf("entry %d/%d kind %d (%d bytes), want %d/%d kind %d (%d bytes)",
				g.Index, g.Term, g.Kind, len(g.Data), w.Index, w.Term, w.Kind, len(w.Data))
		}
	}
}

func (b *logBench) wantErr(group, lo, hi uint64, want error) {
	b.t.Helper()
	dst := []storage.Entry{{Index: 4711}}
	got, err := b.log.Entries(dst, group, lo, hi, math.MaxUint64)
	if !errors.Is(err, want) || len(got) != 1 {
		b.t.Fatalf("group %d: entries [%d, %d): %d entries, %v, want %v", group, lo, hi, len(got)-1, err, want)
	}
}

func (b *logBench) wantTerm(group, index, term uint64, want error) {
	b.t.Helper()
	if got, err := b.log.Term(group, index); got != term || !errors.Is(err, want) {
		b.t.Fatalf("group %d: term of %d: %d, %v, want %d, %v", group, index, got, err, term, want)
	}
}
