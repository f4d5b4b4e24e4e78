package state

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/internal/clock"
)

// Options of OpenPebble.
type Options struct {
	// FS holds the files. Required.
	FS vfs.FS
	// Dir is the directory; it is made when missing. Required.
	Dir string
	// MemoryBytes is what memtables and block cache may take together.
	// Default 384 MiB, at least 4 MiB.
	MemoryBytes uint64
	// SlowDisk is how long a write may take before it is reported in the log.
	// Default 5 s; negative switches the watch off.
	SlowDisk time.Duration
	// Clock paces retries on a full disk. Default the machine's.
	Clock clock.Clock
	// Logger gets life cycle and trouble. Default none.
	Logger *slog.Logger
	// Damaged is told of each file of the store that turns out to be damaged, with
	// storage.ErrDamaged, whoever met it: a reader, who gets the error as well, or a
	// compaction, which leaves the file as it is and tries again. It may be called by
	// any goroutine, under the store's locks: it must not wait nor call the store.
	Damaged func(err error)
	// Fatal is called when the store can no longer keep its word: a failed
	// sync, a manifest that cannot be written. It must end the process and not
	// return; should it return, or be nil, the store panics.
	Fatal func(err error)
}

const (
	defaultMemory = 384 << 20
	minMemory     = 4 << 20
	maxMemtable   = 256 << 20
	maxCache      = 64 << 20
	// stopMemtables is how many memtables may be full before commits wait.
	stopMemtables = 4
	// fullDiskRetry is the pause between attempts to write to a full disk.
	fullDiskRetry = time.Second
)

func (o Options) withDefaults() Options {
	if o.MemoryBytes == 0 {
		o.MemoryBytes = defaultMemory
	}
	if o.SlowDisk == 0 {
		o.SlowDisk = 5 * time.Second
	}
	if o.Clock == nil {
		o.Clock = clock.NewReal()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports all faults at once.
func (o Options) Validate() error {
	var errs []error
	if o.FS == nil {
		errs = append(errs, errors.New("no FS"))
	}
	if o.Dir == "" {
		errs = append(errs, errors.New("no Dir"))
	}
	if o.MemoryBytes != 0 && o.MemoryBytes < minMemory {
		errs = append(errs, fmt.Errorf("MemoryBytes %d is below %d", o.MemoryBytes, minMemory))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("state: options: %w", err)
	}
	return nil
}

// memtable is a sixth of the memory: four of them may be full, a fifth sixth
// is the cache's, the rest is left for open tables and compactions.
func (o Options) memtable() uint64 { return min(o.MemoryBytes/6, maxMemtable) }

func (o Options) cache() int64 { return int64(min(o.MemoryBytes/6, maxCache)) }
