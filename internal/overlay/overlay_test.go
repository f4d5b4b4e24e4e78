package overlay_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/warrenmq/warren/internal/overlay"
)

// dump is everything in a file system, by path.
func dump(t rapid.TB, fs vfs.FS) map[string]string {
	all := map[string]string{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatalf("list %s: %v", dir, err)
		}
		for _, name := range names {
			path := fs.PathJoin(dir, name)
			in, err := fs.Stat(path)
			if err != nil {
				t.Fatalf("stat %s: %v", path, err)
			}
			if in.IsDir() {
				all[path] = "a directory"
				walk(path)
				continue
			}
			b := content(t, fs, path)
			if in.Size() != int64(len(b)) || in.Name() != name {
				t.Fatalf("%s: %s of %d bytes, holds %d", path, in.Name(), in.Size(), len(b))
			}
			all[path] = string(b)
		}
	}
	walk("/")
	return all
}

func content(t rapid.TB, fs vfs.FS, path string) []byte {
	f, err := fs.Open(path)
	if err != nil {
		t.Fatalf("open %s: %v", path, err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	part := make([]byte, 10)
	if n, err := f.ReadAt(part, int64(len(b)/2)); err != nil && err != io.EOF || !bytes.Equal(part[:n], b[len(b)/2:][:n]) {
		t.Fatalf("read %s in the middle: %q, %v", path, part[:n], err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes files in a file system, some of them of more than a page.
func fill(t rapid.TB, fs vfs.FS) {
	for _, dir := range []string{"/a", "/b/c"} {
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for k, size := range []int{0, 10, 100_000} {
			f, err := fs.Create(fs.PathJoin(dir, fmt.Sprint("f", k)), vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(bytes.Repeat([]byte(dir), size)[:size]); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An overlay does what a file system does, and the one below stays as it is.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		below, model := vfs.NewMem(), vfs.NewMem()
		fill(t, below)
		fill(t, model)
		before := dump(t, below)
		over := overlay.New(below)
		path := rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"/a", "/b", "/b/c", "/d"}).Draw(t, "dir") + "/" +
				rapid.SampledFrom([]string{"f0", "f1", "f2", "f3"}).Draw(t, "name")
		})
		// both does something in both, and has them agree on whether it can be done.
		both := func(what string, f func(fs vfs.FS) error) {
			a, b := f(over), f(model)
			if (a == nil) != (b == nil) {
				t.Fatalf("%s: %v, and should be %v", what, a, b)
			}
		}
		isFile := func(p string) bool {
			in, err := model.Stat(p)
			return err == nil && !in.IsDir()
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				p, text := path.Draw(t, "path"), rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "text")
				both("create "+p, func(fs vfs.FS) error {
					f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
					if err != nil {
						return err
					}
					_, err = f.Write(slices.Clone(text))
					return err
				})
			},
			"overwrite": func(t *rapid.T) {
				p := path.Draw(t, "path")
				off, text := rapid.Int64Range(0, 120_000).Draw(t, "off"), rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "text")
				if in, err := model.Stat(p); err != nil || in.Size() < off {
					t.Skip("not within the file") // MemFS does not fill holes
				}
				both("overwrite "+p, func(fs vfs.FS) error {
					f, err := fs.OpenReadWrite(p, vfs.WriteCategoryUnspecified)
					if err != nil {
						return err
					}
					_, err = f.WriteAt(slices.Clone(text), off)
					return err
				})
			},
			"remove": func(t *rapid.T) {
				p := path.Draw(t, "path")
				both("remove "+p, func(fs vfs.FS) error { return fs.Remove(p) })
			},
			"remove all": func(t *rapid.T) {
				dir := rapid.SampledFrom([]string{"/b/c", "/d"}).Draw(t, "dir")
				both("remove all of "+dir, func(fs vfs.FS) error {
					if _, err := fs.Stat(dir); err != nil {
						return nil
					}
					return fs.RemoveAll(dir)
				})
			},
			"mkdir": func(*rapid.T) {
				both("mkdir", func(fs vfs.FS) error { return fs.MkdirAll("/d", 0o700) })
			},
			"rename": func(t *rapid.T) {
				from, to := path.Draw(t, "from"), path.Draw(t, "to")
				if _, err := model.Stat(model.PathDir(to)); !isFile(from) || from == to || err != nil {
					t.Skip("not a file and another place")
				}
				both("rename "+from+" to "+to, func(fs vfs.FS) error { return fs.Rename(from, to) })
			},
			"link": func(t *rapid.T) {
				from, to := path.Draw(t, "from"), path.Draw(t, "to")
				if _, err := model.Stat(model.PathDir(to)); !isFile(from) || err != nil {
					t.Skip("not a file and another place")
				}
				both("link "+from+" to "+to, func(fs vfs.FS) error { return fs.Link(from, to) })
			},
			"": func(t *rapid.T) {
				got, want := dump(t, over), dump(t, model)
				for p := range want {
					if got[p] != want[p] {
						t.Fatalf("%s: %d bytes, want %d", p, len(got[p]), len(want[p]))
					}
				}
				if len(got) != len(want) {
					t.Fatalf("%d paths, want %d", len(got), len(want))
				}
			},
		})
		if err := over.Close(); err != nil {
			t.Fatal(err)
		}
		after := dump(t, below)
		for p := range before {
			if after[p] != before[p] {
				t.Fatalf("%s was changed below", p)
			}
		}
		if len(after) != len(before) {
			t.Fatalf("%d paths below, were %d", len(after), len(before))
		}
	})
}

// A directory goes with all that is in it.
func TestRenameDirectory(t *testing.T) {
	below := vfs.NewMem()
	fill(t, below)
	over := overlay.New(below)
	want := dump(t, below)
	if err := over.Rename("/b", "/moved"); err != nil {
		t.Fatal(err)
	}
	got := dump(t, over)
	for p, text := range want {
		if rest, ok := bytes.CutPrefix([]byte(p), []byte("/b")); ok {
			p = "/moved" + string(rest)
		}
		if got[p] != text {
			t.Errorf("%s is lost", p)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d paths, want %d", len(got), len(want))
	}
	if err := over.Close(); err != nil {
		t.Fatal(err)
	}
}
