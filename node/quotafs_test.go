package node

import (
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A quotaFS is a disk of a size. Somebody else may take space on it.
type quotaFS struct {
	vfs.FS

	mu struct {
		sync.Mutex
		size, others int64
		files        map[string]*quotaFile
		refused      int // writes that found no space
	}
}

// A quotaFile is what a file takes. It is guarded by the disk's mu.
type quotaFile struct{ bytes int64 }

func newQuotaFS(fs vfs.FS, size int64) *quotaFS {
	q := &quotaFS{FS: fs}
	q.mu.size, q.mu.files = size, map[string]*quotaFile{}
	return q
}

func (q *quotaFS) free() int64 {
	free := q.mu.size - q.mu.others
	for _, f := range q.mu.files {
		free -= f.bytes
	}
	return free
}

// take has others take so much that free bytes are left.
func (q *quotaFS) leave(free int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.others += q.free() - free
}

func (q *quotaFS) refused() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.refused
}

// grow has a file take up to so many bytes.
func (q *quotaFS) grow(f *quotaFile, to int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if more := to - f.bytes; more > 0 {
		if more > q.free() {
			q.mu.refused++
			return syscall.ENOSPC
		}
		f.bytes = to
	}
	return nil
}

func (q *quotaFS) Unwrap() vfs.FS { return q.FS }

func (q *quotaFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: uint64(max(0, q.free())), TotalBytes: uint64(q.mu.size)}, nil
}

func (q *quotaFS) opened(name string, f vfs.File, fresh bool) vfs.File {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.files[name] == nil || fresh {
		q.mu.files[name] = &quotaFile{}
	}
	return &quotaHandle{File: f, fs: q, f: q.mu.files[name]}
}

func (q *quotaFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return q.opened(name, f, true), nil
}

func (q *quotaFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := q.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return q.opened(name, f, false), nil
}

func (q *quotaFS) Remove(name string) error {
	if err := q.FS.Remove(name); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.mu.files, name)
	return nil
}

func (q *quotaFS) Rename(from, to string) error {
	if err := q.FS.Rename(from, to); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.files[to] = q.mu.files[from]
	if q.mu.files[to] == nil {
		q.mu.files[to] = &quotaFile{}
	}
	delete(q.mu.files, from)
	return nil
}

type quotaHandle struct {
	vfs.File
	fs *quotaFS
	f  *quotaFile
	at int64 // where Write goes on
}

func (h *quotaHandle) Write(b []byte) (int, error) {
	if err := h.fs.grow(h.f, h.at+int64(len(b))); err != nil {
		return 0, err
	}
	n, err := h.File.Write(b)
	h.at += int64(n)
	return n, err
}

func (h *quotaHandle) WriteAt(b []byte, off int64) (int, error) {
	if err := h.fs.grow(h.f, off+int64(len(b))); err != nil {
		return 0, err
	}
	return h.File.WriteAt(b, off)
}

func (h *quotaHandle) Preallocate(off, length int64) error { return h.fs.grow(h.f, off+length) }
