package shard_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/state"
	rig "github.com/warrenmq/warren/test/shard"
)

var (
	points = flag.Int("points", racing.Less(5000), "how many crashes TestCrash goes through")
	letter = flag.Int("letters", racing.Less(800), "how many crashes TestLettersCrash goes through")
	first  = flag.Uint64("seed", 1, "the first seed of both")
)

const crashOps = 200

// disk is a real log and a real state store on one file system.
type disk struct {
	log   *seglog.Log
	state *state.Pebble
}

func openDisk(fs vfs.FS, fatal func(error)) (*disk, error) {
	log, err := seglog.Open(seglog.Options{FS: fs, Dir: "log", NodeID: 1, SegmentSize: 64 << 10, MaxFree: 1, FreeRest: -1, Fatal: fatal})
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	st, err := state.OpenPebble(state.Options{FS: fs, Dir: "state", MemoryBytes: 4 << 20, SlowDisk: -1, Fatal: fatal})
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	return &disk{log, st}, nil
}

func (d *disk) close() error {
	if err := d.state.Close(); err != nil {
		return err
	}
	return d.log.Close()
}

func (d *disk) start(at time.Duration, fatal func(error)) (*rig.Rig, error) {
	return rig.NewRig(rig.Options{
		Log: d.log, State: d.state, Shards: 2, Budget: 8 << 10, HotPages: 1, Start: at, Fatal: fatal, Settings: settings,
	})
}

// TestCrash cuts the power at every change of the file system under random
// runs; of what was not synced nothing, a part or all survives. Each time the
// node must start again and hold what it told its clients.
func TestCrash(t *testing.T) {
	done := 0
	for seed := *first; done < *points; seed++ {
		c := &crashRun{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), limit: *points - done}
		c.run()
		if t.Failed() {
			return
		}
		done += c.points
	}
	t.Logf("%d crashes, seeds from %d", done, *first)
}

type crashRun struct {
	t     *testing.T
	seed  uint64
	limit int
	mem   *vfs.MemFS
	w     *world

	mu     sync.Mutex // guards what is below: the state store has goroutines
	rng    *rand.Rand
	calls  int
	points int
	over   bool
}

func (c *crashRun) run() {
	c.mem, c.w = vfs.NewCrashableMem(), &world{}
	fs := errorfs.Wrap(c.mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			c.crash(op)
		}
		return nil
	}))
	d := newDriver(c.seed, c.w)
	at := time.Second
	var on *disk
	open := func() bool {
		var err error
		c.w.mu.Lock()
		c.w.clock = func() time.Duration { return at } // the node that starts may have used it all
		c.w.mu.Unlock()
		if on, err = openDisk(fs, c.fatal); err != nil {
			c.t.Errorf("seed %d: %v", c.seed, err)
			return false
		}
		r, err := on.start(at, c.fatal)
		if err != nil {
			c.t.Errorf("seed %d: %v", c.seed, err)
			return false
		}
		d.begin(r)
		return true
	}
	if !open() {
		return
	}
	d.found()
	for op := range crashOps {
		if err := d.step(); err != nil {
			c.t.Errorf("seed %d, operation %d: %v", c.seed, op, err)
		}
		if op%70 == 69 { // an orderly restart
			at = d.r.Now + time.Duration(1+d.rng.IntN(1000))*time.Millisecond
			if err := on.close(); err != nil {
				c.t.Error(err)
			}
			if !open() {
				return
			}
		}
		if c.t.Failed() || c.isOver() {
			break
		}
	}
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	if err := on.close(); err != nil {
		c.t.Error(err)
	}
}

func (c *crashRun) fatal(err error) { c.t.Errorf("seed %d: fatal: %v", c.seed, err) }

func (c *crashRun) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// crash looks at what a power cut would leave just now.
func (c *crashRun) crash(op errorfs.Op) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.calls++
	for _, keep := range [...]int{0, 1 + c.rng.IntN(99), 100} {
		if c.points++; c.points >= c.limit {
			c.over = true
		}
		before := c.w.snapshot()
		left := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: c.rng})
		after := c.w.snapshot()
		if err := c.recover(left, before, after, c.rng.IntN(8) == 0); err != nil {
			c.t.Errorf("seed %d, call %d (%v), %d %% of the unsynced kept: %v", c.seed, c.calls, op, keep, err)
			c.over = true
			return
		}
	}
}

// recover starts a node on what is left, compares it with the world, and goes
// on with it; again has that crash once more.
func (c *crashRun) recover(left *vfs.MemFS, before, after *world, again bool) (err error) {
	fatal := func(e error) { err = fmt.Errorf("fatal: %w", e) }
	on, e := openDisk(left, fatal)
	if e != nil {
		return e
	}
	defer func() {
		if e := on.close(); err == nil && e != nil {
			err = e
		}
	}()
	pause := []time.Duration{time.Millisecond, time.Duration(c.rng.IntN(1000)) * time.Millisecond, time.Hour}[c.rng.IntN(3)]
	r, e := on.start(after.now+pause, fatal)
	if e != nil || err != nil {
		return fmt.Errorf("start: %w%w", e, err)
	}
	got, e := contents(r)
	if e != nil || err != nil {
		return fmt.Errorf("contents: %w%w", e, err)
	}
	if e := check(before, after, got); e != nil {
		return e
	}
	if e := c.goOn(r, after, got); e != nil || !again {
		return e
	}
	if c.rng.IntN(2) == 0 {
		r.Checkpoint()
	}
	after.now = r.Now
	twice := left.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[c.rng.IntN(3)], RNG: c.rng})
	if e := c.recover(twice, after, after, false); e != nil {
		return fmt.Errorf("gone on, and crashed again: %w", e)
	}
	return nil
}

// goOn publishes to every queue that was found and waits for the confirms.
func (c *crashRun) goOn(r *rig.Rig, w *world, got map[string]*contained) error {
	cl := newClient(w, r)
	for _, q := range w.queues {
		in, ok := got[q.name]
		if !ok {
			continue
		}
		for _, f := range in.fs {
			q.message(f.id).delivered = true
		}
		q.used = r.Now
		q.id = r.Catalog.View().Queue("/", q.name).ID
		q.declared = true
		q.deleting = false
		cl.publish(q.shard, q)
	}
	r.Settle()
	for _, q := range w.queues {
		if n := len(q.msgs); n > 0 && got[q.name] != nil && !q.msgs[n-1].answered {
			return fmt.Errorf("message %d to queue %s is not answered", q.msgs[n-1].id, q.name)
		}
	}
	return nil
}
