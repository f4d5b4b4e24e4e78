package node

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A crashFS keeps, at every sync, what a loss of power would leave.
type crashFS struct {
	vfs.FS
	mu     sync.Mutex
	points []vfs.FS
}

func (c *crashFS) point() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points = append(c.points, c.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{}))
}

type crashFile struct {
	vfs.File
	c *crashFS
}

func (f crashFile) Sync() error     { f.c.point(); return f.File.Sync() }
func (f crashFile) SyncData() error { f.c.point(); return f.File.SyncData() }

func (c *crashFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return crashFile{f, c}, nil
}

func (c *crashFS) Create(name string, w vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.Create(name, w))
}

func (c *crashFS) OpenReadWrite(name string, w vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return c.wrap(c.FS.OpenReadWrite(name, w, o...))
}

func (c *crashFS) OpenDir(name string) (vfs.File, error) { return c.wrap(c.FS.OpenDir(name)) }

func (c *crashFS) ReuseForWrite(from, to string, w vfs.DiskWriteCategory) (vfs.File, error) {
	return c.wrap(c.FS.ReuseForWrite(from, to, w))
}
