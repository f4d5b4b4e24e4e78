package storage_test

import (
	"bytes"
	"errors"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/storage"
)

// ids gives the node id 0102..., then the cluster id 1112...
func ids() *bytes.Reader {
	return bytes.NewReader([]byte{
		1, 2, 3, 4, 5, 6, 7, 8,
		0, 0, 0, 0, 0, 0, 0, 0, // not an id
		0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
	})
}

const nodeJSON = `{
  "format": 1,
  "node": "0102030405060708",
  "cluster": "1112131415161718",
  "generation": 0,
  "epoch": 1
}
`

func open(t *testing.T, fs vfs.FS, path string) *storage.Dir {
	t.Helper()
	d, err := storage.OpenDir(fs, path, storage.DirOptions{Rand: ids(), PID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shut(t *testing.T, d *storage.Dir) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDirIsMadeOnceAndFoundAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "var", "warren")
	fs := storage.PrivateFS()
	d := open(t, fs, path)
	want := storage.Node{Format: 1, Node: 0x0102030405060708, Cluster: 0x1112131415161718, Epoch: 1}
	if !d.Fresh() || d.Node() != want || d.Path() != path {
		t.Fatalf("fresh %v, %+v", d.Fresh(), d.Node())
	}
	text, err := os.ReadFile(filepath.Join(path, "node.json"))
	if err != nil || string(text) != nodeJSON {
		t.Fatalf("node.json: %s, %v", text, err)
	}
	if d.LogPath() != filepath.Join(path, "e1", "log") || d.StatePath() != filepath.Join(path, "e1", "state") {
		t.Fatalf("%s, %s", d.LogPath(), d.StatePath())
	}
	want.Cluster, want.Generation = 77, 2
	if err := d.SetNode(want); err != nil {
		t.Fatal(err)
	}
	shut(t, d)

	d = open(t, fs, path)
	if d.Fresh() || d.Node() != want {
		t.Fatalf("found fresh %v, %+v", d.Fresh(), d.Node())
	}
	f, err := fs.OpenReadWrite(filepath.Join(d.LogPath(), "1.seg"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	shut(t, d)
	seen := 0
	err = filepath.WalkDir(path, func(name string, e iofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := e.Info()
		want := iofs.FileMode(0o600)
		if e.IsDir() {
			want = iofs.ModeDir | 0o700
		}
		if i.Mode() != want {
			t.Errorf("%s has mode %v", name, i.Mode())
		}
		seen++
		return err
	})
	if err != nil || seen != 8 {
		t.Fatalf("%d files and directories, %v", seen, err)
	}
}

func TestDirHasOneHolder(t *testing.T) {
	path := t.TempDir()
	fs := storage.PrivateFS()
	first := open(t, fs, path)
	for range 2 { // a refused attempt takes nothing from the holder
		_, err := storage.OpenDir(fs, path, storage.DirOptions{Rand: ids(), PID: 4712})
		want := "storage: data directory is in use: " + path + " is held by process 4711"
		if !errors.Is(err, storage.ErrInUse) || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	}
	shut(t, first)
	shut(t, open(t, fs, path))
}

func TestDirRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, fs vfs.FS)
		want string
	}{
		{
			"newer format",
			func(t *testing.T, fs vfs.FS) { put(t, fs, "d/node.json", `{"format": 2, "shape": "new"}`) },
			"storage: node.json in d: the directory has format 2, this version knows format 1 only",
		},
		{
			"no format",
			func(t *testing.T, fs vfs.FS) { put(t, fs, "d/node.json", `{"node": "0102030405060708"}`) },
			"storage: node.json in d: it names no format",
		},
		{
			"empty file",
			func(t *testing.T, fs vfs.FS) { put(t, fs, "d/node.json", "") },
			"storage: node.json in d: not readable: unexpected end of JSON input",
		},
		{
			"bad id",
			func(t *testing.T, fs vfs.FS) {
				put(t, fs, "d/node.json", strings.Replace(nodeJSON, "0102030405060708", "0000000000000000", 1))
			},
			`storage: node.json in d: not readable: storage: "0000000000000000" is not an id`,
		},
		{
			"missing id",
			func(t *testing.T, fs vfs.FS) { put(t, fs, "d/node.json", `{"format": 1, "epoch": 1}`) },
			"storage: node.json in d: an id or the epoch is missing",
		},
		{
			"unknown field",
			func(t *testing.T, fs vfs.FS) {
				put(t, fs, "d/node.json", strings.Replace(nodeJSON, "epoch", "epic", 1))
			},
			`storage: node.json in d: not readable: json: unknown field "epic"`,
		},
		{
			"data without node.json",
			func(t *testing.T, fs vfs.FS) {
				if err := fs.MkdirAll("d/e1/log", 0o700); err != nil {
					t.Fatal(err)
				}
				put(t, fs, "d/e1/log/1.seg", "records")
			},
			"storage: d/e1/log holds data, but its node.json is missing from d",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			if err := fs.MkdirAll("d", 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(t, fs)
			for range 2 { // the lock is given back
				_, err := storage.OpenDir(fs, "d", storage.DirOptions{Rand: ids()})
				if err == nil || err.Error() != c.want {
					t.Fatalf("got %v", err)
				}
			}
		})
	}
}

func TestDirPassesTroubleOn(t *testing.T) {
	_, err := storage.OpenDir(vfs.NewMem(), "d", storage.DirOptions{Rand: iotest.ErrReader(errors.New("no entropy"))})
	if err == nil || err.Error() != "storage: choose an id: no entropy" {
		t.Fatalf("got %v", err)
	}
	fs := vfs.NewMem()
	d := open(t, fs, "d")
	if err := d.SetNode(storage.Node{Format: 1, Node: 1}); err == nil || d.Node().Cluster == 0 {
		t.Fatalf("an incomplete node: %v", err)
	}
	full := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	if _, err := storage.OpenDir(full, "d", storage.DirOptions{Rand: ids()}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
}

// TestDirSurvivesPowerCuts cuts the power at every operation of making a
// directory and of changing its node: it always opens, with the old or the new.
func TestDirSurvivesPowerCuts(t *testing.T) {
	for _, percent := range []int{0, 50, 100} {
		rng := rand.New(rand.NewPCG(uint64(percent), 7))
		for at := 0; ; at++ {
			fs := vfs.NewCrashableMem()
			var mu sync.Mutex
			var after *vfs.MemFS
			ops, changed, done := 0, false, false
			var promised storage.Node
			inject := errorfs.InjectorFunc(func(errorfs.Op) error {
				mu.Lock()
				defer mu.Unlock()
				if ops == at {
					after = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
					done = changed
				}
				ops++
				return nil
			})
			d := open(t, errorfs.Wrap(fs, inject), "var/warren")
			old := d.Node()
			promised = old
			promised.Generation = 9
			opened := ops
			if err := d.SetNode(promised); err != nil {
				t.Fatal(err)
			}
			changed = true
			put(t, errorfs.Wrap(fs, inject), "var/warren/more", "after SetNode")
			if after == nil {
				if at < 20 {
					t.Fatalf("only %d operations", at)
				}
				break
			}
			again, err := storage.OpenDir(after, "var/warren", storage.DirOptions{Rand: rngReader{rng}})
			if err != nil {
				t.Fatalf("%d %%, cut at operation %d: %v", percent, at, err)
			}
			switch n := again.Node(); {
			case done && n != promised:
				t.Fatalf("cut at operation %d: SetNode had returned, found %+v", at, n)
			case at >= opened && n != old && n != promised:
				t.Fatalf("cut at operation %d: OpenDir had returned, found %+v", at, n)
			}
			shut(t, again)
		}
	}
}

type rngReader struct{ *rand.Rand }

func (r rngReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}
