package storagetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

const crashOps = 200 // operations of one run

// RunLogCrash stops the machine at every write, sync, create, rename and remove
// of random runs, and in the middle of writes, until there were at least points
// crashes. What was not synced is lost, partly lost or kept. Each time the log
// must open and hold everything it called Done for.
//
// The file system is vfs.MemFS, whose crash clone gives each file the content
// of its last Sync or SyncData, overwritten blocks included, and each directory
// the names of its last Sync. Its clones keep or lose 4 KiB blocks; smaller
// tears come from splitting writes.
func RunLogCrash(t *testing.T, open LogOpener, points int) {
	done := 0
	for seed := uint64(1); done < points; seed++ {
		c := &crashRun{t: t, open: open, seed: seed, rng: rand.New(rand.NewPCG(seed, 1))}
		c.run()
		done += c.points
	}
	t.Logf("%d crashes", done)
}

type crashRun struct {
	t      *testing.T
	open   LogOpener
	seed   uint64
	rng    *rand.Rand // of the crashes; the driver has its own
	mem    *vfs.MemFS
	driver *logDriver
	points int
	calls  int
	dead   bool // do not crash any more
}

func (c *crashRun) run() {
	c.mem = vfs.NewCrashableMem()
	fs := &hookFS{FS: c.mem, before: c.crash, split: func(n int) int {
		if n > 0 && c.rng.IntN(3) == 0 {
			return c.rng.IntN(n)
		}
		return n
	}, hasten: func() bool { return c.rng.IntN(2) == 0 }}
	c.driver = newLogDriver(rand.New(rand.NewPCG(c.seed, 2)), nil)
	for op := 0; op < crashOps; op++ {
		switch n := c.driver.rng.IntN(100); {
		case c.driver.log == nil || n < 2:
			c.restart(fs)
		case n < 4:
			c.kill(fs)
		}
		c.driver.step()
	}
	c.dead = true
	if err := c.driver.log.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// restart closes the log in an orderly way and opens it again.
func (c *crashRun) restart(fs vfs.FS) {
	if d := c.driver; d.log != nil {
		d.settle()
		if len(d.pending) > 0 {
			c.t.Fatal("a synced drain left appends waiting")
		}
		if err := d.log.Close(); err != nil {
			c.t.Fatal(err)
		}
		d.log = nil
	}
	log, err := c.open(fs, logDir)
	if err != nil {
		c.t.Fatalf("seed %d, call %d: open: %v", c.seed, c.calls, err)
	}
	c.driver.log = log
}

// kill ends the process without a word, but not the machine: what was written
// and not synced is still there, until the machine stops as well. From the
// moment on in which the log is open again, it owes what it found.
func (c *crashRun) kill(fs vfs.FS) {
	log, err := c.open(fs, logDir)
	if err != nil {
		c.t.Fatalf("seed %d, call %d: open after a kill: %v", c.seed, c.calls, err)
	}
	if err := c.driver.check(log); err != nil {
		c.t.Fatalf("seed %d, call %d: after a kill: %v", c.seed, c.calls, err)
	}
	d := newLogDriver(c.driver.rng, log)
	d.term, d.now = c.driver.term+1, c.driver.now
	d.acked = c.modelOf(log, "after a kill")
	d.heads = d.acked.clone()
	c.driver = d
}

// modelOf reads everything that a log holds.
func (c *crashRun) modelOf(log storage.LogStore, at string) logModel {
	c.t.Helper()
	m := logModel{}
	for _, g := range log.Groups() {
		es, err := log.Entries(nil, g.Group, g.First, g.Last+1, 1<<40)
		if err != nil {
			c.t.Fatalf("%s: %v", at, err)
		}
		m[g.Group] = &modelGroup{base: g.First - 1, baseTerm: g.FirstTerm, ents: es, state: g.State}
	}
	return m
}

// crash is called before each change: it looks at what would be left.
func (c *crashRun) crash(op string) error {
	if c.dead {
		return nil
	}
	c.calls++
	for _, keep := range []int{0, 1 + c.rng.IntN(99), 100} {
		c.points++
		at := fmt.Sprintf("seed %d, call %d (%s), %d %% of the unsynced kept", c.seed, c.calls, op, keep)
		c.recover(c.clone(c.mem, keep), at)
	}
	return nil
}

func (c *crashRun) clone(fs *vfs.MemFS, keep int) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: c.rng})
}

// recover opens the log after a crash, sometimes crashing again meanwhile,
// checks it, goes on with it, and crashes once more.
func (c *crashRun) recover(fs *vfs.MemFS, at string) {
	c.t.Helper()
	if c.rng.IntN(4) == 0 {
		fs = c.crashOpen(fs, at)
	}
	log := c.mustOpen(fs, at)
	if err := c.driver.check(log); err != nil {
		c.t.Fatalf("%s: %v", at, err)
	}
	want := c.modelOf(log, at)
	c.goOn(log, want, at)
	log2 := c.mustOpen(c.clone(fs, []int{0, 50, 100}[c.rng.IntN(3)]), at+", gone on")
	if n := len(log2.Groups()); n != len(want) {
		c.t.Fatalf("%s: %d groups, want %d", at, n, len(want))
	}
	want.check(c.t, log2)
	if err := log2.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// goOn appends to every group, and sometimes replaces what was there.
func (c *crashRun) goOn(log storage.LogStore, want logModel, at string) {
	for id := uint64(1); id <= modelGroups; id++ {
		g := want[id]
		if g == nil || c.rng.IntN(2) == 0 {
			continue
		}
		first := g.last() + 1
		if len(g.ents) > 0 && c.rng.IntN(3) == 0 {
			first -= 1 + c.rng.Uint64N(uint64(len(g.ents)))
		}
		a := &storage.Append{Group: id, Entries: entries(id, first, first+c.rng.Uint64N(3), 1000, 50)}
		log.Submit(a)
		want.apply(a)
	}
	log.Drain()
	want.check(c.t, log)
	if err := log.Close(); err != nil {
		c.t.Fatalf("%s: close: %v", at, err)
	}
}

// crashOpen crashes in the middle of a recovery.
func (c *crashRun) crashOpen(fs *vfs.MemFS, at string) *vfs.MemFS {
	left, stop := fs, 1+c.rng.IntN(4)
	hooked := &hookFS{FS: fs, before: func(string) error {
		if stop--; stop == 0 {
			left = c.clone(fs, []int{0, 50, 100}[c.rng.IntN(3)])
		}
		return nil
	}}
	log := c.mustOpen(hooked, at)
	if err := log.Close(); err != nil {
		c.t.Fatal(err)
	}
	return left
}

func (c *crashRun) mustOpen(fs vfs.FS, at string) storage.LogStore {
	c.t.Helper()
	log, err := c.open(fs, logDir)
	if err != nil {
		c.t.Fatalf("%s: open: %v", at, err)
	}
	return log
}

// A FatalLogOpener opens a log that reports a failed write or sync to fatal,
// which returns.
type FatalLogOpener func(fs vfs.FS, dir string, fatal func(error)) (storage.LogStore, error)

// RunLogErrors makes the k-th change of a run fail, for all k, and checks that
// the log ends there: fatal is told once, nothing is Done afterwards, nothing
// is tried again, and what was Done before is there.
func RunLogErrors(t *testing.T, open FatalLogOpener) {
	for _, short := range []bool{false, true} {
		for seed := uint64(1); seed <= 2; seed++ {
			t.Run(fmt.Sprintf("short=%v/seed=%d", short, seed), func(t *testing.T) {
				k := 1
				for (&errorRun{t: t, open: open, seed: seed, at: k, short: short}).run() {
					k++
				}
				if k < 150 {
					t.Fatalf("only %d calls", k)
				}
				t.Logf("%d calls", k)
			})
		}
	}
}

type errorRun struct {
	t     *testing.T
	open  FatalLogOpener
	seed  uint64
	at    int
	short bool

	calls, after, fatals int
	failed               string
	mem                  *vfs.MemFS
}

var errInjected = fmt.Errorf("injected error")

func (r *errorRun) before(op string) error {
	r.calls++
	if r.fatals > 0 {
		r.after++
	}
	if r.calls == r.at {
		r.failed = op
		return errInjected
	}
	return nil
}

// run returns false when the run ended before its failure was due.
func (r *errorRun) run() bool {
	r.mem = vfs.NewCrashableMem()
	fs := &hookFS{FS: r.mem, before: r.before, short: r.short}
	log, err := r.open(fs, logDir, func(error) { r.fatals++ })
	if err != nil {
		if r.failed == "" {
			r.t.Fatalf("open: %v", err)
		}
		return true
	}
	d := newLogDriver(rand.New(rand.NewPCG(r.seed, 3)), log)
	for range crashOps {
		d.step()
		if r.failed != "" {
			break
		}
	}
	if r.failed == "" {
		return false
	}
	r.checkDead(d)
	// Whatever a failed sync left on the disk, what was Done is there.
	rng := rand.New(rand.NewPCG(r.seed, uint64(r.at)))
	for _, keep := range []int{0, 50, 100} {
		left := r.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rng})
		again, err := r.open(left, logDir, func(error) {})
		if err != nil {
			r.t.Fatalf("call %d (%s): reopen: %v", r.at, r.failed, err)
		}
		if err := d.check(again); err != nil {
			r.t.Fatalf("call %d (%s), %d %% kept: %v", r.at, r.failed, keep, err)
		}
		if err := again.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	return true
}

// checkDead goes on using the log after its failure.
func (r *errorRun) checkDead(d *logDriver) {
	if r.fatals != 1 {
		r.t.Fatalf("call %d (%s): fatal called %d times", r.at, r.failed, r.fatals)
	}
	pending := len(d.pending)
	for range 20 {
		a := &storage.Append{Group: 1 + d.rng.Uint64N(modelGroups), HasState: true}
		a.Done = func() { r.t.Errorf("call %d (%s): Done after the failure", r.at, r.failed) }
		d.log.Submit(a)
		if n := d.log.Drain(); n != 0 {
			r.t.Fatalf("call %d (%s): Drain wrote %d after the failure", r.at, r.failed, n)
		}
		if p, ok := d.log.(preparer); ok && p.Prepare() {
			r.t.Fatalf("call %d (%s): Prepare after the failure", r.at, r.failed)
		}
	}
	if len(d.pending) != pending {
		r.t.Fatalf("call %d (%s): Done after the failure", r.at, r.failed)
	}
	if err := d.log.Close(); err != nil {
		r.t.Fatal(err)
	}
	if r.after > 0 {
		r.t.Fatalf("call %d (%s): %d changes after the failure", r.at, r.failed, r.after)
	}
}
