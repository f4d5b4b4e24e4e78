package state_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/internal/racing"
)

// story is a fixed sequence of batches with a Flush now and then, over few
// keys, with values that make memtables fill on their own and compact.
type story struct {
	seed    uint64
	batches int
	every   int // batches between flushes
}

// batch i of the story writes its number to some keys, deletes some, and says
// with "last" that it was here.
func (s story) write(i int, set func(k, v string), del func(k string), delRange func(lo, hi string)) {
	rng := rand.New(rand.NewPCG(s.seed, uint64(i)))
	for range 1 + rng.IntN(6) {
		k := fmt.Sprintf("k%02d", rng.IntN(40))
		switch rng.IntN(8) {
		case 0:
			del(k)
		case 1:
			delRange(k, fmt.Sprintf("k%02d", rng.IntN(40)))
		default:
			set(k, fmt.Sprintf("%d:%s", i, strings.Repeat("x", rng.IntN(30_000))))
		}
	}
	set("last", fmt.Sprint(i))
}

// after returns the content after the first n batches.
func (s story) after(n int) map[string]string {
	m := map[string]string{}
	for i := range n {
		s.write(i, func(k, v string) { m[k] = v }, func(k string) { delete(m, k) }, func(lo, hi string) {
			for k := range m {
				if k >= lo && k < hi {
					delete(m, k)
				}
			}
		})
	}
	return m
}

// A cut is what a power cut at some operation left, and how many batches were
// surely durable by then.
type cut struct {
	op      int
	fs      *vfs.MemFS
	flushed int
}

// reopen opens what the cut left and cuts the power once more on the way.
func (c cut) reopen(t *testing.T, n int, rng *rand.Rand) (cuts []cut) {
	fs := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng}) // a copy
	percent := []int{0, 50, 100}[n%3]
	at, ops := rng.IntN(60), 0
	var mu sync.Mutex
	p := openPebble(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if ops == at {
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}
			cuts = append(cuts, cut{op: c.op, fs: fs.CrashClone(cfg), flushed: c.flushed})
		}
		ops++
		return nil
	})))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return cuts
}

// run plays the story on a fresh disk and cuts the power at the given
// operations of the file system. It returns how many operations there were.
func (s story) run(t *testing.T, at map[int]vfs.CrashCloneCfg) (cuts []cut, ops int) {
	fs := vfs.NewCrashableMem()
	var mu sync.Mutex
	flushed := 0
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if cfg, ok := at[ops]; ok {
			cuts = append(cuts, cut{op: ops, fs: fs.CrashClone(cfg), flushed: flushed})
		}
		ops++
		return nil
	})
	p := openPebble(t, errorfs.Wrap(fs, inject))
	for i := range s.batches {
		b := p.NewBatch()
		s.write(i,
			func(k, v string) { b.Set([]byte(k), []byte(v)) },
			func(k string) { b.Delete([]byte(k)) },
			func(lo, hi string) { b.DeleteRange([]byte(lo), []byte(hi)) })
		if err := b.Commit(); err != nil {
			t.Fatal(err)
		}
		if (i+1)%s.every == 0 {
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			flushed = i + 1
			mu.Unlock()
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return cuts, ops
}

// check opens what a cut left, compares it with the story, and goes on writing.
func (s story) check(t *testing.T, c cut) {
	p := openPebble(t, c.fs)
	defer func() {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	n := 0
	if last, err := p.Get(nil, []byte("last")); err == nil {
		if _, err := fmt.Sscan(string(last), &n); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < c.flushed {
		t.Fatalf("cut at operation %d: %d batches flushed, %d there", c.op, c.flushed, n)
	}
	want := s.after(n)
	it, err := p.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		if v, ok := want[string(it.Key())]; !ok || v != string(it.Value()) {
			t.Fatalf("cut at operation %d: %s is not what batch %d left", c.op, it.Key(), n)
		}
		delete(want, string(it.Key()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if len(want) > 0 {
		t.Fatalf("cut at operation %d: %d keys of the first %d batches are missing", c.op, len(want), n)
	}
	set(t, p, "after", "the cut")
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestPebbleCrashPoints cuts the power at operations all over a run, with
// nothing, some or all of what was not synced on the disk.
func TestPebbleCrashPoints(t *testing.T) {
	for _, s := range []story{
		{seed: 1, batches: 60, every: 7},
		{seed: 2, batches: 150, every: 1000}, // memtables that flush on their own
		{seed: 3, batches: 25, every: 1},
	} {
		t.Run(fmt.Sprintf("seed=%d", s.seed), func(t *testing.T) {
			_, ops := s.run(t, nil)
			rng := rand.New(rand.NewPCG(s.seed, 1<<32))
			checked := 0
			// How often Pebble compacts depends on timing: a run may be over
			// before some of the points. Rounds go on until enough were met.
			for round := 0; round < racing.Less(4) || checked < 15; round++ {
				if round == 20 {
					t.Fatalf("only %d cuts in %d runs of about %d operations", checked, round, ops)
				}
				at := map[int]vfs.CrashCloneCfg{}
				for i := range 15 {
					at[rng.IntN(ops)] = vfs.CrashCloneCfg{
						UnsyncedDataPercent: []int{0, rng.IntN(101), 100}[i%3],
						RNG:                 rand.New(rand.NewPCG(rng.Uint64(), 0)),
					}
				}
				cuts, _ := s.run(t, at)
				for i, c := range cuts {
					again := c.reopen(t, i, rng)
					s.check(t, c)
					for _, c := range again {
						s.check(t, c)
					}
				}
				checked += len(cuts)
			}
		})
	}
}
