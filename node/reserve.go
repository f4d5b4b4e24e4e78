package node

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reserveName is a file in the data directory that is there to be deleted.
const reserveName = "reserve"

// A reserve is space on the disk that nobody else can take: two segments of the
// log and a memtable. When the disk is full it is given up, so that
// acknowledgements and checkpoints, which make room, still find some.
type reserve struct {
	fs    vfs.FS
	dir   string
	bytes int64
	held  bool
	known bool // whether there is one from an earlier life was looked at
}

// keep makes the reserve when there is plenty besides, and gives it up when
// there is next to nothing. free is what is free beside it.
func (r *reserve) keep(free, limit int64) error {
	if !r.known { // of an earlier life nobody knows how much is there
		r.known = true
		if err := r.remove(); err != nil {
			return err
		}
	}
	switch {
	case r.held && free < r.bytes/4:
		_, err := r.give()
		return err
	case !r.held && free >= limit+2*r.bytes:
		return r.make()
	}
	return nil
}

// give gives the reserve up, and reports whether there was one.
func (r *reserve) give() (bool, error) {
	if !r.held {
		return false, nil
	}
	r.held = false
	return true, r.remove()
}

func (r *reserve) path() string { return r.fs.PathJoin(r.dir, reserveName) }

func (r *reserve) remove() error {
	if err := r.fs.Remove(r.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the reserve: %w", err)
	}
	return nil
}

// make allocates the reserve. It is not synced: after a crash it is made anew.
func (r *reserve) make() error {
	f, err := r.fs.Create(r.path(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	err = errors.Join(f.Preallocate(0, r.bytes), f.Close())
	switch {
	case err == nil:
		r.held = true
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return r.remove() // later
	}
	r.held = true // a file system that can not: its limit is all there is
	return fmt.Errorf("make the reserve: %w", err)
}
