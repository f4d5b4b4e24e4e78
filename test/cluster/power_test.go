//go:build chaos

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/node"
)

// A node whose power can be cut is this program again: the broker as it is shipped
// but for its command line, on a disk in memory that knows what was synced. It is
// read from a directory at the start and written there at the end, with as much of
// what was not synced as a loss of power leaves.
//
//	SIGHUP   syncs fail from now on
//	SIGUSR1  no sync ends any more; the file frozen says so
//	SIGUSR2  the power goes
//
// The variable is a poweredNode.
const powered = "CHAOS_POWERED"

type poweredNode struct {
	Name, Data, Image, Host, Cookie string
	Join                            []string
}

// noPower is the status of a node whose power was cut.
const noPower = 137

// A memoryDisk is such a disk.
type memoryDisk struct {
	vfs.FS
	mem   *vfs.MemFS
	image string // where it lies while the power is off

	power sync.RWMutex // held by syncs; whoever locks it stops them
	fails atomic.Bool
}

// runPowered is the program of a node.
func runPowered(described string) int {
	var p poweredNode
	if err := json.Unmarshal([]byte(described), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	d := &memoryDisk{mem: vfs.NewCrashableMem(), image: p.Image}
	d.FS = d.mem
	if err := d.load(); err != nil {
		fmt.Fprintln(os.Stderr, "read the disk:", err)
		return 1
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	go d.obey(signals) // ends with the program
	status := 0
	if err := d.run(p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	d.end(status)
	return status
}

// run runs the node until it is told to stop.
func (d *memoryDisk) run(p poweredNode) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // ends with the program: who started it is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	n, err := node.New(node.Options{
		Name: p.Name, DataDir: p.Data, FS: d, Shards: 1, SegmentBytes: 2 << 20,
		// The disk is in the memory that the watermark is about.
		Memory:    node.Memory{Budget: 128 << 20, Entries: 32 << 20, Memtable: 8 << 20, Cache: 8 << 20, HighWatermark: 4 << 30},
		Listen:    []node.Listen{{Protocol: "amqp", Addr: p.Host + ":5672"}},
		Cluster:   node.Cluster{Addr: p.Host + ":25672", Join: p.Join, Cookie: secret.New(p.Cookie)},
		FirstUser: node.FirstUser{Name: "chaos", Password: secret.New("chaos")},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Exit:      d.end,
	})
	if err != nil {
		return err
	}
	go func() { // ends with the program
		<-n.Ready()
		text, err := json.Marshal(n.Addrs())
		if err == nil {
			err = os.WriteFile(filepath.Join(p.Data, "ports.json"), text, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return n.Run(ctx)
}

// obey cuts the power when it is told to.
func (d *memoryDisk) obey(signals <-chan os.Signal) {
	for s := range signals {
		switch s {
		case syscall.SIGHUP:
			d.fails.Store(true)
			continue
		case syscall.SIGUSR1:
			d.power.Lock() // for ever
			if err := os.WriteFile(d.image+".frozen", nil, 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			continue
		}
		d.write(rand.IntN(3)*50, noPower)
	}
}

// end is an end in order, or one that the node chose: the machine keeps its power.
func (d *memoryDisk) end(status int) {
	d.power.Lock()
	unsynced := 100
	if d.fails.Load() {
		unsynced = rand.IntN(3) * 50
	}
	d.write(unsynced, status)
}

// write writes what is left of the disk, and ends the process.
func (d *memoryDisk) write(unsynced, status int) {
	left := d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))})
	if err := d.store(left); err != nil {
		fmt.Fprintln(os.Stderr, "write the disk:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// load reads the image, all of it synced.
func (d *memoryDisk) load() error {
	return filepath.WalkDir(d.image, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the first start
		}
		if err != nil {
			return err
		}
		name := filepath.Join("/", path[len(d.image):])
		if name == "/" {
			return nil
		}
		if e.IsDir() {
			return errors.Join(d.mem.MkdirAll(name, 0o700), d.syncDir(name), d.syncDir(filepath.Dir(name)))
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := d.mem.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		return errors.Join(err, f.Sync(), f.Close(), d.syncDir(filepath.Dir(name)))
	})
}

func (d *memoryDisk) syncDir(name string) error {
	f, err := d.mem.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// store writes a disk as the image.
func (d *memoryDisk) store(left *vfs.MemFS) error {
	if err := os.RemoveAll(d.image); err != nil {
		return err
	}
	return copyOut(left, "/", d.image)
}

func copyOut(from *vfs.MemFS, name, to string) error {
	info, err := from.Stat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		names, err := from.List(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		for _, n := range names {
			if err := copyOut(from, filepath.Join(name, n), filepath.Join(to, n)); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := from.Open(name)
	if err != nil {
		return err
	}
	text := make([]byte, info.Size())
	if len(text) > 0 {
		_, err = f.ReadAt(text, 0)
	}
	return errors.Join(err, f.Close(), os.WriteFile(to, text, 0o600))
}

// A poweredFile does not sync without power.
type poweredFile struct {
	vfs.File
	d *memoryDisk
}

func (f poweredFile) Sync() error {
	f.d.power.RLock()
	defer f.d.power.RUnlock()
	if f.d.fails.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

func (f poweredFile) SyncData() error {
	f.d.power.RLock()
	defer f.d.power.RUnlock()
	if f.d.fails.Load() {
		return syscall.EIO
	}
	return f.File.SyncData()
}

func (f poweredFile) SyncTo(n int64) (bool, error) {
	f.d.power.RLock()
	defer f.d.power.RUnlock()
	if f.d.fails.Load() {
		return false, syscall.EIO
	}
	return f.File.SyncTo(n)
}

func (d *memoryDisk) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return poweredFile{f, d}, nil
}

func (d *memoryDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.Create(name, c))
}

func (d *memoryDisk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.FS.OpenReadWrite(name, c, o...))
}

func (d *memoryDisk) OpenDir(name string) (vfs.File, error) { return d.wrap(d.FS.OpenDir(name)) }

func (d *memoryDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(from, to, c))
}

// powered describes the node for runPowered.
func (m *member) powered() string {
	m.c.t.Helper()
	cookie, err := os.ReadFile(m.c.cookie())
	if err != nil {
		m.c.t.Fatal(err)
	}
	if err := os.MkdirAll(m.data(), 0o700); err != nil {
		m.c.t.Fatal(err)
	}
	text, err := json.Marshal(poweredNode{
		Name: m.name(), Data: m.data(), Image: m.image(), Host: address(m.number), Cookie: string(cookie[:len(cookie)-1]), Join: m.join(),
	})
	if err != nil {
		m.c.t.Fatal(err)
	}
	return powered + "=" + string(text)
}

// image is where the disk of a node lies while its power is off.
func (m *member) image() string { return filepath.Join(m.dir, "image") }

// powerCut takes the power from all nodes at one moment, or from some: all stop to
// sync before the first of them is lost.
func powerCut(r *round, d time.Duration) {
	ms := r.shuffled()
	if r.chance.IntN(4) == 0 {
		ms = ms[:1+r.chance.IntN(len(ms))]
	}
	healed := r.hurting("without power:", ms...)
	if r.chance.IntN(3) == 0 {
		r.failSyncs(ms[0])
		ms = ms[1:]
	}
	for _, m := range ms {
		m.mean()
		m.signal(syscall.SIGUSR1)
	}
	r.await("the syncs of all to stop", func() bool {
		for _, m := range ms {
			if _, err := os.Stat(m.image() + ".frozen"); err != nil {
				return false
			}
		}
		return true
	})
	for _, m := range ms {
		m.signal(syscall.SIGUSR2)
	}
	for _, m := range ms {
		<-m.ended
		if status := m.cmd.ProcessState.ExitCode(); status != noPower {
			r.t.Fatalf("%s ended with status %d without power:\n%s", m.name(), status, m.tail())
		}
		if err := os.Remove(m.image() + ".frozen"); err != nil {
			r.t.Fatal(err)
		}
	}
	<-time.After(time.Duration(r.chance.Int64N(int64(d)/4 + 1)))
	for _, m := range r.members() {
		if !m.running() {
			m.launch()
		}
	}
	for _, m := range r.members() {
		m.await()
	}
	healed()
}

// failSyncs has the syncs of a node fail, which ends it before anything is confirmed
// by them.
func (r *round) failSyncs(m *member) {
	r.t.Logf("  after the syncs of %s failed", m.name())
	m.mean()
	m.signal(syscall.SIGHUP)
	select {
	case <-m.ended:
		if status := m.cmd.ProcessState.ExitCode(); status != 74 {
			r.t.Errorf("%s ended with status %d after a sync that failed:\n%s", m.name(), status, m.tail())
		}
	case <-time.After(20 * time.Second):
		r.t.Errorf("%s lives 20 s after its syncs began to fail", m.name())
		m.kill()
	}
}
