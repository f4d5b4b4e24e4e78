package state

import (
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/clock"
)

// disk stands between Pebble and the file system for three reasons.
//
// Pebble tries a failed flush again at once and without end. While the disk is
// full, the retry, which begins by creating a file, waits a moment here.
//
// Pebble names its current manifest by creating a marker file, and syncs the
// directory after that for marker and manifest together. A file system that
// writes directory entries in any order could keep the marker and lose the
// manifest; here the directory is synced before a marker is made, too.
//
// And Pebble would let everybody enter its directory.
type disk struct {
	vfs.FS
	clock   clock.Clock
	stopped chan struct{}

	mu struct {
		sync.Mutex
		isFull bool
		since  time.Duration // of the last report
	}
}

func newDisk(fs vfs.FS, c clock.Clock) *disk {
	return &disk{FS: fs, clock: c, stopped: make(chan struct{})}
}

// Create implements vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	d.pause()
	if strings.HasPrefix(d.PathBase(name), "marker.") {
		if err := d.syncDir(d.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return d.FS.Create(name, category)
}

// MkdirAll makes directories that only their owner can enter. Pebble calls it
// and, unlike a caller of its own, syncs the parents after it.
func (d *disk) MkdirAll(dir string, _ os.FileMode) error { return d.FS.MkdirAll(dir, 0o700) }

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

func (d *disk) syncDir(name string) error {
	dir, err := d.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// full notes that a write found no space. It returns true when the last such
// report is a minute old, for the log.
func (d *disk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.isFull = true
	now := d.clock.Mono()
	if d.mu.since != 0 && now-d.mu.since < time.Minute {
		return false
	}
	d.mu.since = max(now, 1)
	return true
}

func (d *disk) pause() {
	d.mu.Lock()
	wait := d.mu.isFull
	d.mu.isFull = false
	d.mu.Unlock()
	if !wait {
		return
	}
	t := d.clock.NewTimer(fullDiskRetry)
	defer t.Stop()
	select {
	case <-t.C():
	case <-d.stopped:
	}
}

func (d *disk) stop() { close(d.stopped) }
