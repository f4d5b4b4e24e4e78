// Package overlay is a file system in which everything can be changed and nothing
// is: what is written stands in memory, over another file system that is only
// read. With it a step that can not be taken back is tried first.
//
// It owns what was written and forgets it with Close. It locks files of the file
// system below, for who tries is to keep others away like who does. It starts no
// goroutine; its methods may be called from any.
package overlay

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// An FS is a vfs.FS. Close gives up what it has open of the one below.
type FS struct {
	lower vfs.FS

	mu struct {
		sync.Mutex
		files map[string]*inode // those in use, or changed, by clean path
		dirs  map[string]bool   // made here
		gone  map[string]bool   // of the file system below: not to be seen, with all that is in it
		below []io.Closer       // what is open of it
	}
}

var _ vfs.FS = (*FS)(nil)

// New returns a file system over another, which nobody else may change meanwhile.
func New(lower vfs.FS) *FS {
	f := &FS{lower: lower}
	f.mu.files, f.mu.dirs, f.mu.gone = map[string]*inode{}, map[string]bool{}, map[string]bool{}
	return f
}

// Close closes what is open below. Nothing may be used any more.
func (f *FS) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, c := range f.mu.below {
		errs = append(errs, c.Close())
	}
	f.mu.below = nil
	clear(f.mu.files)
	return errors.Join(errs...)
}

func missing(op, name string) error {
	return &iofs.PathError{Op: op, Path: name, Err: iofs.ErrNotExist}
}

// hidden reports whether what the file system below has under a path is not to be
// seen. f.mu is held.
func (f *FS) hidden(path string) bool {
	for {
		if f.mu.gone[path] {
			return true
		}
		parent := f.lower.PathDir(path)
		if parent == path {
			return false
		}
		path = parent
	}
}

// stat says what is under a clean path. f.mu is held.
func (f *FS) stat(path string) (vfs.FileInfo, error) {
	if x := f.mu.files[path]; x != nil {
		return x.info(f.lower.PathBase(path)), nil
	}
	if f.mu.dirs[path] {
		return info{name: f.lower.PathBase(path), dir: true}, nil
	}
	if f.hidden(path) {
		return nil, missing("stat", path)
	}
	return f.lower.Stat(path)
}

// find returns the file under a clean path. f.mu is held.
func (f *FS) find(path string) (*inode, error) {
	if x := f.mu.files[path]; x != nil {
		return x, nil
	}
	in, err := f.stat(path)
	if err != nil {
		return nil, err
	}
	if in.IsDir() {
		return nil, &iofs.PathError{Op: "open", Path: path, Err: errors.New("is a directory")}
	}
	below, err := f.lower.Open(path)
	if err != nil {
		return nil, err
	}
	f.mu.below = append(f.mu.below, below)
	x := &inode{below: below, was: in.Size()}
	x.mu.size = in.Size()
	f.mu.files[path] = x
	return x, nil
}

// make puts a new file under a clean path. f.mu is held.
func (f *FS) make(path string) (*inode, error) {
	if in, err := f.stat(f.lower.PathDir(path)); err != nil || !in.IsDir() {
		return nil, errors.Join(missing("create", path), err)
	}
	f.drop(path)
	x := &inode{}
	f.mu.files[path] = x
	return x, nil
}

// drop lets a name go; who has the file open keeps it. f.mu is held.
func (f *FS) drop(path string) {
	delete(f.mu.files, path)
	delete(f.mu.dirs, path)
	f.mu.gone[path] = true
}

// Create implements vfs.FS.
func (f *FS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, err := f.make(f.lower.PathJoin(name))
	if err != nil {
		return nil, err
	}
	return &handle{x: x, name: f.lower.PathBase(name)}, nil
}

// Link implements vfs.FS.
func (f *FS) Link(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	to = f.lower.PathJoin(to)
	x, err := f.find(f.lower.PathJoin(from))
	if err != nil {
		return err
	}
	if _, err := f.stat(to); err == nil {
		return &iofs.PathError{Op: "link", Path: to, Err: iofs.ErrExist}
	}
	f.mu.files[to] = x
	return nil
}

// Open implements vfs.FS.
func (f *FS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, err := f.find(f.lower.PathJoin(name))
	if err != nil {
		return nil, err
	}
	h := &handle{x: x, name: f.lower.PathBase(name)}
	for _, o := range opts {
		o.Apply(h)
	}
	return h, nil
}

// OpenReadWrite implements vfs.FS.
func (f *FS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.lower.PathJoin(name)
	x, err := f.find(path)
	if errors.Is(err, iofs.ErrNotExist) {
		x, err = f.make(path)
	}
	if err != nil {
		return nil, err
	}
	return &handle{x: x, name: f.lower.PathBase(name)}, nil
}

// OpenDir implements vfs.FS.
func (f *FS) OpenDir(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.lower.PathJoin(name)
	in, err := f.stat(path)
	switch {
	case err != nil:
		return nil, err
	case !in.IsDir():
		return nil, &iofs.PathError{Op: "open", Path: name, Err: errors.New("not a directory")}
	}
	return &handle{x: &inode{}, name: in.Name(), dir: true}, nil
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.lower.PathJoin(name)
	in, err := f.stat(path)
	if err != nil {
		return err
	}
	if in.IsDir() {
		names, err := f.list(path)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			return &iofs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
		}
	}
	f.drop(path)
	return nil
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := f.lower.PathJoin(name)
	within := f.lower.PathJoin(path, "x")
	within = within[:len(within)-1]
	for p := range f.mu.files {
		if strings.HasPrefix(p, within) {
			delete(f.mu.files, p)
		}
	}
	for p := range f.mu.dirs {
		if strings.HasPrefix(p, within) {
			delete(f.mu.dirs, p)
		}
	}
	f.drop(path)
	return nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rename(f.lower.PathJoin(from), f.lower.PathJoin(to))
}

func (f *FS) rename(from, to string) error {
	in, err := f.stat(from)
	if err != nil {
		return err
	}
	if !in.IsDir() {
		x, err := f.find(from)
		if err != nil {
			return err
		}
		f.drop(to)
		f.drop(from)
		f.mu.files[to] = x
		return nil
	}
	names, err := f.list(from)
	if err != nil {
		return err
	}
	f.mu.dirs[to] = true
	for _, name := range names {
		if err := f.rename(f.lower.PathJoin(from, name), f.lower.PathJoin(to, name)); err != nil {
			return err
		}
	}
	f.drop(from)
	return nil
}

// ReuseForWrite implements vfs.FS.
func (f *FS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.Rename(from, to); err != nil {
		return nil, err
	}
	return f.OpenReadWrite(to, c)
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string, _ os.FileMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for path := f.lower.PathJoin(dir); ; path = f.lower.PathDir(path) {
		if in, err := f.stat(path); err == nil {
			if !in.IsDir() {
				return &iofs.PathError{Op: "mkdir", Path: path, Err: errors.New("not a directory")}
			}
			return nil
		} else if !errors.Is(err, iofs.ErrNotExist) {
			return err
		}
		f.mu.dirs[path] = true
		if f.lower.PathDir(path) == path {
			return nil
		}
	}
}

// Lock implements vfs.FS: the lock is one of the file system below.
func (f *FS) Lock(name string) (io.Closer, error) { return f.lower.Lock(name) }

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list(f.lower.PathJoin(dir))
}

func (f *FS) list(dir string) ([]string, error) {
	if in, err := f.stat(dir); err != nil {
		return nil, err
	} else if !in.IsDir() {
		return nil, &iofs.PathError{Op: "list", Path: dir, Err: errors.New("not a directory")}
	}
	var names []string
	if !f.hidden(dir) {
		all, err := f.lower.List(dir)
		if err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return nil, fmt.Errorf("list %s: %w", dir, err)
		}
		for _, name := range all {
			if !f.mu.gone[f.lower.PathJoin(dir, name)] {
				names = append(names, name)
			}
		}
	}
	add := func(path string) {
		if name := f.lower.PathBase(path); f.lower.PathDir(path) == dir && path != dir && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for path := range f.mu.files {
		add(path)
	}
	for path := range f.mu.dirs {
		add(path)
	}
	slices.Sort(names)
	return names, nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (vfs.FileInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stat(f.lower.PathJoin(name))
}

// PathBase implements vfs.FS.
func (f *FS) PathBase(path string) string { return f.lower.PathBase(path) }

// PathJoin implements vfs.FS.
func (f *FS) PathJoin(elem ...string) string { return f.lower.PathJoin(elem...) }

// PathDir implements vfs.FS.
func (f *FS) PathDir(path string) string { return f.lower.PathDir(path) }

// GetDiskUsage implements vfs.FS.
func (f *FS) GetDiskUsage(path string) (vfs.DiskUsage, error) { return f.lower.GetDiskUsage(path) }

// Unwrap implements vfs.FS: nobody is to go around this one.
func (f *FS) Unwrap() vfs.FS { return nil }
