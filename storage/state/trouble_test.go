package state_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
)

const dieAtSync = "WARREN_TEST_DIE_AT_SYNC"

// dieAtSyncChild is the process that TestAFailedSyncEndsTheProcess starts.
func dieAtSyncChild() {
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) && strings.HasSuffix(op.Path, ".sst") {
			return syscall.EIO
		}
		return nil
	})
	o := state.Options{FS: errorfs.Wrap(vfs.NewMem(), inject), Dir: "state", SlowDisk: -1}
	if os.Getenv(dieAtSync) == "exit" {
		o.Fatal = func(err error) {
			fmt.Println(err)
			os.Exit(3)
		}
	}
	s, err := state.OpenPebble(o)
	if err != nil {
		panic(err)
	}
	b := s.NewBatch()
	b.Set([]byte("a"), []byte("1"))
	if err := b.Commit(); err != nil {
		panic(err)
	}
	fmt.Println("flushed:", s.Flush())
	os.Exit(0)
}

func TestAFailedSyncEndsTheProcess(t *testing.T) {
	for how, status := range map[string]int{"exit": 3, "panic": 2} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), dieAtSync+"="+how)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != status {
			t.Fatalf("%s: %v\n%s", how, err, out)
		}
		if !strings.Contains(string(out), "state: flush or compaction: input/output error") {
			t.Fatalf("%s: no word of the cause:\n%s", how, out)
		}
	}
}

// TestAFullDiskIsWaitedFor fills the disk under a Flush and frees it again.
func TestAFullDiskIsWaitedFor(t *testing.T) {
	var full atomic.Bool
	var tries atomic.Int32
	inject := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".sst") {
			tries.Add(1)
			return syscall.ENOSPC
		}
		return nil
	})
	c := clock.NewManual(time.Unix(0, 0))
	open := func() *state.Pebble {
		s, err := state.OpenPebble(state.Options{
			FS: errorfs.Wrap(vfs.NewMem(), inject), Dir: "state", Clock: c, SlowDisk: -1,
			Fatal: func(err error) { panic(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	full.Store(true)
	set(t, s, "a", "1")
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush() }()
	for try := range int32(3) {
		c.BlockUntil(1)
		if n := tries.Load(); n != try+1 {
			t.Fatalf("%d attempts before second %d", n, try)
		}
		full.Store(try < 2)
		c.Advance(time.Second)
	}
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// A Close does not wait for space, and a Flush it overtakes says so.
	s = open()
	full.Store(true)
	set(t, s, "a", "1")
	go func() { flushed <- s.Flush() }()
	c.BlockUntil(1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-flushed; !errors.Is(err, state.ErrClosed) {
		t.Fatalf("flush: %v", err)
	}
}

// TestDamageIsReported flips a byte of a table under a closed store.
func TestDamageIsReported(t *testing.T) {
	fs := vfs.NewMem()
	s := openPebble(t, fs)
	set(t, s, "a", strings.Repeat("value ", 1000))
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	spoilTables(t, fs)
	var told []error
	s, err := state.OpenPebble(state.Options{
		FS: fs, Dir: "data/state", MemoryBytes: small, SlowDisk: -1,
		Damaged: func(err error) { told = append(told, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(nil, []byte("a"))
	if !errors.Is(err, storage.ErrDamaged) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), ".sst") {
		t.Errorf("get: %v", err)
	}
	it, err := s.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if it.Next() {
		t.Error("the iterator returned damaged data")
	}
	if err := it.Close(); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("iterate: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !errors.Is(told[0], storage.ErrDamaged) || !strings.Contains(told[0].Error(), ".sst") {
		t.Errorf("told %v, want the file once", told)
	}
}

// TestCompactionTellsOfDamage has nobody but a compaction read what is damaged.
func TestCompactionTellsOfDamage(t *testing.T) {
	fs := vfs.NewMem()
	told := make(chan error, 16)
	s, err := state.OpenPebble(state.Options{
		FS: fs, Dir: "data/state", MemoryBytes: small, SlowDisk: -1,
		Damaged: func(err error) { told <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 1000 { // the ninth flush has the tables compacted
		set(t, s, "a", strings.Repeat("value ", 1000))
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			spoilTables(t, fs)
		}
		select {
		case err = <-told:
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	if !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("told %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// spoilTables changes a byte of every table.
func spoilTables(t *testing.T, fs *vfs.MemFS) {
	t.Helper()
	names, err := fs.List("data/state")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		f, err := fs.OpenReadWrite("data/state/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("X"), 500); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
