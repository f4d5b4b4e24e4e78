package storagetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
)

// A DamageLogOpener opens a log and says whether recovery found any damage.
type DamageLogOpener func(fs vfs.FS, dir string) (log storage.LogStore, damaged bool, err error)

// RunLogDamage damages files of a log at rest, below its last synced mark, in n
// ways. A group that is not said to be damaged must be exactly what it was; a
// group may only be gone if the log says that there is damage; and no damaged
// group may give wrong data. What is damaged stays damaged after a restart.
func RunLogDamage(t *testing.T, open DamageLogOpener, n int) {
	hits := 0
	for seed := uint64(1); n > 0; seed++ {
		r := &damageRun{t: t, open: open, seed: seed, rng: rand.New(rand.NewPCG(seed, 5))}
		r.build()
		for range min(n, 100) {
			if r.damage() {
				hits++
			}
			n--
		}
	}
	if hits == 0 {
		t.Fatal("nothing was ever found to be damaged")
	}
	t.Logf("%d times damaged groups were found", hits)
}

type damageRun struct {
	t      *testing.T
	open   DamageLogOpener
	seed   uint64
	rng    *rand.Rand
	mem    *vfs.MemFS
	driver *logDriver
	names  []string
}

func (r *damageRun) build() {
	r.mem = vfs.NewCrashableMem()
	log := r.reopen(r.mem, "new")
	d := newLogDriver(rand.New(rand.NewPCG(r.seed, 6)), log)
	r.driver = d
	for range 50 + r.rng.IntN(300) {
		d.step()
	}
	d.settle()
	// Damage of the very last drain cannot be told from a torn tail: put more
	// than a segment behind what is checked, of which any part may be there.
	for range 4 {
		a := &storage.Append{Group: 1, Entries: entries(1, d.lastOf(1)+1, d.lastOf(1)+1, d.term, 5000)}
		d.heads.apply(a)
		d.pending = append(d.pending, a)
		d.log.Submit(a)
		d.log.Drain()
	}
	if tick, ok := log.(ticker); ok {
		d.now += time.Minute
		tick.Tick(d.now)
		d.log.Drain()
	}
	if err := log.Close(); err != nil {
		r.t.Fatal(err)
	}
	names, err := r.mem.List(logDir)
	if err != nil {
		r.t.Fatal(err)
	}
	r.names = names
}

func (r *damageRun) reopen(fs vfs.FS, at string) storage.LogStore {
	log, damaged, err := r.open(fs, logDir)
	if err != nil || damaged {
		r.t.Fatalf("seed %d, %s: damaged %v, %v", r.seed, at, damaged, err)
	}
	return log
}

// damage damages a copy of the log, and reports whether a group was hit.
func (r *damageRun) damage() bool {
	fs := r.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r.rng})
	at := r.hit(fs)
	log, damaged, err := r.open(fs, logDir)
	if err != nil {
		if !errors.Is(err, storage.ErrDamaged) {
			r.t.Fatalf("%s: open: %v", at, err)
		}
		return true
	}
	hit := r.check(log, damaged, at)
	// A restart changes nothing, nor do new records.
	for id := range hit {
		b, _ := log.Bounds(id)
		log.Submit(&storage.Append{
			Group: id, State: storage.HardState{Term: 99}, HasState: true,
			Entries: entries(id, b.Last+1, b.Last+2, 99, 10),
		})
	}
	log.Drain()
	if err := log.Close(); err != nil {
		r.t.Fatal(err)
	}
	log, _, err = r.open(fs, logDir)
	if err != nil {
		r.t.Fatalf("%s: open again: %v", at, err)
	}
	for id := range hit {
		if b, ok := log.Bounds(id); !ok || !b.Damaged {
			r.t.Fatalf("%s: group %d is whole after a restart: %+v", at, id, b)
		}
	}
	if err := log.Close(); err != nil {
		r.t.Fatal(err)
	}
	return len(hit) > 0
}

// hit changes a file in one of the ways disks do.
func (r *damageRun) hit(fs *vfs.MemFS) string {
	name := fs.PathJoin(logDir, r.names[r.rng.IntN(len(r.names))])
	data, err := fs.UnsafeGetFileDataBuffer(name)
	if err != nil {
		r.t.Fatal(err)
	}
	at := fmt.Sprintf("seed %d, %s", r.seed, name)
	if len(data) == 0 {
		return at
	}
	off := r.rng.IntN(len(data))
	switch n := r.rng.IntN(20); {
	case n < 14:
		data[off] ^= 1 << r.rng.IntN(8)
		return fmt.Sprintf("%s: bit flipped at %d", at, off)
	case n < 16:
		off = off &^ 511
		clear(data[off:min(off+512, len(data))])
		return fmt.Sprintf("%s: sector %d zeroed", at, off)
	case n < 18:
		off = off &^ 4095
		for i := off; i < min(off+4096, len(data)); i++ {
			data[i] = byte(r.rng.Uint32())
		}
		return fmt.Sprintf("%s: page %d scrambled", at, off)
	case n < 19:
		other, err := fs.UnsafeGetFileDataBuffer(fs.PathJoin(logDir, r.names[r.rng.IntN(len(r.names))]))
		if err != nil {
			r.t.Fatal(err)
		}
		off = off &^ 4095
		copy(data[off:min(off+4096, len(data))], other[min(off, len(other)):])
		return fmt.Sprintf("%s: page %d of another file", at, off)
	default:
		if err := fs.Remove(name); err != nil {
			r.t.Fatal(err)
		}
		return at + ": removed"
	}
}

// check returns the groups said to be damaged.
func (r *damageRun) check(log storage.LogStore, damaged bool, at string) map[uint64]bool {
	d := r.driver
	hit, found := map[uint64]bool{}, map[uint64]storage.GroupState{}
	for _, g := range log.Groups() {
		found[g.Group] = g
		if g.Damaged {
			hit[g.Group] = true
		}
	}
	if len(hit) > 0 && !damaged {
		r.t.Fatalf("%s: damaged groups without damage", at)
	}
	for id := uint64(1); id <= modelGroups; id++ {
		g, ok := found[id]
		if ok && g.Damaged {
			r.checkDamaged(log, g, at)
			continue
		}
		if !ok && damaged {
			continue
		}
		if err := d.checkGroup(log, id, found); err != nil {
			r.t.Fatalf("%s: damage %v, but group %d should be whole: %v", at, damaged, id, err)
		}
	}
	return hit
}

// checkDamaged checks that what a damaged group gives was written so.
func (r *damageRun) checkDamaged(log storage.LogStore, g storage.GroupState, at string) {
	for i := g.First; i <= g.Last; i++ {
		es, err := log.Entries(nil, g.Group, i, i+1, 1)
		if err != nil {
			if !errors.Is(err, storage.ErrDamaged) {
				r.t.Fatalf("%s: group %d, entry %d: %v", at, g.Group, i, err)
			}
			continue
		}
		e := es[0]
		wantSame(r.t, es, entries(g.Group, e.Index, e.Index, e.Term, len(e.Data)))
	}
}
