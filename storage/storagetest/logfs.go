package storagetest

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A hookFS calls a hook before every operation that changes something. An error
// of the hook is the operation's. A write is split where the hook says, so that
// a crash can fall into its middle.
type hookFS struct {
	vfs.FS
	before func(op string) error
	// split returns how much of a write of n bytes to do before the hook is
	// called a second time; n for no split.
	split func(n int) int
	// hasten says whether a removal is durable at once. MemFS brings a removed
	// file back unless its directory was synced; a disk may or may not.
	hasten func() bool
	// short makes a failing write take half of its bytes, without an error.
	short bool
}

func (f *hookFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.before("create"); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.Create(name, c))
}

func (f *hookFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	if err := f.before("open"); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.OpenReadWrite(name, c, o...))
}

func (f *hookFS) OpenDir(name string) (vfs.File, error) { return f.wrap(f.FS.OpenDir(name)) }

func (f *hookFS) Remove(name string) error {
	if err := f.before("remove"); err != nil {
		return err
	}
	if err := f.FS.Remove(name); err != nil || f.hasten == nil || !f.hasten() {
		return err
	}
	dir, err := f.FS.OpenDir(f.FS.PathDir(name))
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return err
	}
	return dir.Close()
}

func (f *hookFS) Rename(from, to string) error {
	if err := f.before("rename"); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *hookFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.before("reuse"); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.ReuseForWrite(from, to, c))
}

func (f *hookFS) MkdirAll(name string, perm os.FileMode) error {
	if err := f.before("mkdir"); err != nil {
		return err
	}
	return f.FS.MkdirAll(name, perm)
}

func (f *hookFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &hookFile{File: file, fs: f}, nil
}

type hookFile struct {
	vfs.File
	fs *hookFS
}

func (f *hookFile) Write(p []byte) (int, error) {
	if err := f.fs.before("write"); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *hookFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.before("write"); err != nil {
		if f.fs.short {
			return f.File.WriteAt(p[:len(p)/2], off)
		}
		return 0, err
	}
	if f.fs.split != nil {
		if k := f.fs.split(len(p)); k < len(p) {
			if n, err := f.File.WriteAt(p[:k], off); err != nil {
				return n, err
			}
			if err := f.fs.before("torn write"); err != nil {
				return k, err
			}
		}
	}
	return f.File.WriteAt(p, off)
}

func (f *hookFile) Sync() error {
	if err := f.fs.before("sync"); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *hookFile) SyncData() error {
	if err := f.fs.before("sync"); err != nil {
		return err
	}
	return f.File.SyncData()
}
