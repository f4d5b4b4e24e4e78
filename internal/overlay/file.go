package overlay

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pageSize is how much of a file comes into memory when a byte of it is written.
const pageSize = 32 << 10

// An inode is a file: pages that were written, over what is below.
type inode struct {
	below vfs.File // nil: there is nothing
	was   int64    // size of that

	mu struct {
		sync.Mutex
		size  int64
		pages map[int64][]byte
	}
}

func (x *inode) readAt(p []byte, off int64) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if off >= x.mu.size {
		return 0, io.EOF
	}
	if left := x.mu.size - off; int64(len(p)) > left {
		p, err = p[:left], io.EOF
	}
	for n < len(p) {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(pageSize-at%pageSize))]
		if page := x.mu.pages[at/pageSize]; page != nil {
			copy(part, page[at%pageSize:])
		} else if e := x.readBelow(part, at); e != nil {
			return n, e
		}
		n += len(part)
	}
	return n, err
}

// readBelow fills p with what is below, zeroes where there is nothing.
func (x *inode) readBelow(p []byte, off int64) error {
	clear(p)
	if off >= x.was {
		return nil
	}
	p = p[:min(int64(len(p)), x.was-off)]
	_, err := x.below.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the file below: %w", err)
	}
	return nil
}

func (x *inode) writeAt(p []byte, off int64) (n int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		page := x.mu.pages[at/pageSize]
		if page == nil {
			page = make([]byte, pageSize)
			if err := x.readBelow(page, at-at%pageSize); err != nil {
				return n, err
			}
			if x.mu.pages == nil {
				x.mu.pages = map[int64][]byte{}
			}
			x.mu.pages[at/pageSize] = page
		}
		n += copy(page[at%pageSize:], p[n:])
		x.mu.size = max(x.mu.size, off+int64(n))
	}
	return n, nil
}

func (x *inode) info(name string) vfs.FileInfo {
	x.mu.Lock()
	defer x.mu.Unlock()
	return info{name: name, size: x.mu.size}
}

// An info implements vfs.FileInfo.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) IsDir() bool            { return i.dir }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i info) Mode() iofs.FileMode {
	if i.dir {
		return iofs.ModeDir | 0o700
	}
	return 0o600
}

// A handle is an open file.
type handle struct {
	x    *inode
	name string
	dir  bool
	at   int64 // of Read and Write
}

var _ vfs.File = (*handle)(nil)

// Close implements vfs.File.
func (h *handle) Close() error { return nil }

// Read implements vfs.File.
func (h *handle) Read(p []byte) (int, error) {
	n, err := h.x.readAt(p, h.at)
	h.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// ReadAt implements vfs.File.
func (h *handle) ReadAt(p []byte, off int64) (int, error) { return h.x.readAt(p, off) }

// Write implements vfs.File.
func (h *handle) Write(p []byte) (int, error) {
	n, err := h.x.writeAt(p, h.at)
	h.at += int64(n)
	return n, err
}

// WriteAt implements vfs.File.
func (h *handle) WriteAt(p []byte, off int64) (int, error) { return h.x.writeAt(p, off) }

// Preallocate implements vfs.File.
func (h *handle) Preallocate(int64, int64) error { return nil }

// Stat implements vfs.File.
func (h *handle) Stat() (vfs.FileInfo, error) {
	if h.dir {
		return info{name: h.name, dir: true}, nil
	}
	return h.x.info(h.name), nil
}

// Sync implements vfs.File.
func (h *handle) Sync() error { return nil }

// SyncTo implements vfs.File.
func (h *handle) SyncTo(int64) (bool, error) { return !h.dir, nil }

// SyncData implements vfs.File.
func (h *handle) SyncData() error { return nil }

// Prefetch implements vfs.File.
func (h *handle) Prefetch(int64, int64) error { return nil }

// Fd implements vfs.File.
func (h *handle) Fd() uintptr { return vfs.InvalidFd }
