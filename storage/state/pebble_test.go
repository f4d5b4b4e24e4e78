package state_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(dieAtSync) != "" {
		dieAtSyncChild()
	}
	goleak.VerifyTestMain(m)
}

// small keeps memtables small, so that they fill and flush on their own.
const small = 4 << 20

func openPebble(t testing.TB, fs vfs.FS) *state.Pebble {
	t.Helper()
	s, err := state.OpenPebble(state.Options{
		FS: fs, Dir: "data/state", MemoryBytes: small, SlowDisk: -1,
		Fatal: func(err error) { panic(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPebbleContract(t *testing.T) {
	storagetest.RunState(t, func(t testing.TB) storage.State { return openPebble(t, vfs.NewMem()) })
}

type pebbleDisk struct {
	fs   *vfs.MemFS
	open *state.Pebble
}

func (d *pebbleDisk) Open(t testing.TB) storage.State {
	d.open = openPebble(t, d.fs)
	return d.open
}

func (d *pebbleDisk) Crash(t testing.TB, draw func(int) int) {
	after := d.fs.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: []int{0, 50, 100}[draw(3)],
		RNG:                 rand.New(rand.NewPCG(uint64(draw(1000)), 0)),
	})
	if err := d.open.Close(); err != nil {
		t.Fatal(err)
	}
	d.fs = after
}

func TestPebbleCrash(t *testing.T) {
	storagetest.RunStateCrash(t, func() storagetest.StateDisk {
		return &pebbleDisk{fs: vfs.NewCrashableMem()}
	})
}

func TestPebbleOnARealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	open := func() *state.Pebble {
		s, err := state.OpenPebble(state.Options{FS: vfs.Default, Dir: dir, MemoryBytes: small})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	set(t, s, "a", "1")
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := state.OpenPebble(state.Options{FS: vfs.Default, Dir: dir}); err == nil {
		t.Fatal("opened twice")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	if got := dump(t, s); got != "a=1" {
		t.Fatalf("after reopening: %q", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(dir); err != nil || i.Mode().Perm() != 0o700 {
		t.Fatalf("the directory is %v, %v", i.Mode(), err)
	}
}

func TestStats(t *testing.T) {
	s := openPebble(t, vfs.NewMem())
	set(t, s, "a", string(make([]byte, 100_000)))
	before := s.Stats()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	after := s.Stats()
	if before.MemtableBytes < 100_000 || before.Tables != 0 || after.Tables != 1 || after.L0Sublevels != 1 ||
		after.Flushes != 1 || after.DiskBytes < before.DiskBytes+100_000 {
		t.Errorf("%+v, then %+v", before, after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsSayAllThatIsWrong(t *testing.T) {
	_, err := state.OpenPebble(state.Options{MemoryBytes: 1})
	want := "state: options: no FS\nno Dir\nMemoryBytes 1 is below 4194304"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkPebble(b *testing.B) {
	n := 0
	benchmark(b, func() storage.State {
		n++
		s, err := state.OpenPebble(state.Options{FS: vfs.Default, Dir: filepath.Join(b.TempDir(), fmt.Sprint(n))})
		if err != nil {
			b.Fatal(err)
		}
		return s
	})
}
