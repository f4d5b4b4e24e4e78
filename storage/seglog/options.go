package seglog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options are the settings of a log. FS and Dir must be set.
type Options struct {
	// FS holds the log; Dir is its directory, which is created if missing.
	FS  vfs.FS
	Dir string
	// ClusterID and NodeID stand in every segment: a log with segments of
	// another cluster or node is refused.
	ClusterID [16]byte
	NodeID    uint64
	// SegmentSize is the size of a segment file in bytes. Default 64 MiB. A
	// record that fits into no segment of this size gets one of its own.
	SegmentSize int64
	// MaxFree is how many segments that nobody needs are kept for reuse however
	// long; the rest is deleted. Default 2, at least 1.
	MaxFree int
	// FreeRest is how long the rest waits to be used again before it is deleted,
	// as told to Tick: under load several segments become free at once and are
	// soon wanted again, and to fill a new one costs as much as to log into it.
	// Default 3 s; negative: it does not wait.
	FreeRest time.Duration
	// GatherSize bounds the buffer in which a drain is gathered: a larger drain
	// is written in several pieces, under one sync. Default 1 MiB.
	GatherSize int
	// CacheBytes bounds the data of the newest entries that is held in memory
	// and shared with readers. Default 16 MiB; negative: none.
	CacheBytes int64
	// IdleMark is the idle time, as told to Tick, after which what is still
	// unsynced is synced and a SYNCED mark is written. Default 1 s.
	IdleMark time.Duration
	// Rand gives the salt of a new log, which keeps bytes that a client chose
	// from passing for records. Zero salt if nil.
	Rand io.Reader
	// Logger gets what recovery found. Discarded if nil.
	Logger *slog.Logger
	// NoSpace is called by the writer when it found no space for what it has to
	// write. It makes or awaits some and returns true to have it tried again;
	// with false, or without it, the log fails.
	NoSpace func(error) bool
	// Fatal is called once, when a write or a sync failed; no Done is called
	// afterwards. The process has to end: whether the data is on disk is
	// unknown, and asking the disk again would not tell. Panics if nil.
	Fatal func(error)
}

// Bounds of what Options may ask for. Offsets in a segment have 32 bits.
const (
	minSegmentSize = 2 * segmentHeaderSize
	maxSegmentSize = 1 << 31
)

func (o Options) withDefaults() Options {
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	if o.MaxFree == 0 {
		o.MaxFree = 2
	}
	if o.FreeRest == 0 {
		o.FreeRest = 3 * time.Second
	}
	if o.GatherSize == 0 {
		o.GatherSize = 1 << 20
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	if o.IdleMark == 0 {
		o.IdleMark = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) { panic(err) }
	}
	return o
}

// Validate reports all faults of the options at once.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.FS == nil {
		errs = append(errs, errors.New("seglog: FS is not set"))
	}
	if o.Dir == "" {
		errs = append(errs, errors.New("seglog: Dir is not set"))
	}
	if o.SegmentSize < minSegmentSize || o.SegmentSize > maxSegmentSize || o.SegmentSize%4096 != 0 {
		errs = append(errs, fmt.Errorf("seglog: SegmentSize %d is not a multiple of 4096 in [%d, %d]",
			o.SegmentSize, minSegmentSize, maxSegmentSize))
	}
	if o.GatherSize < 4096 {
		errs = append(errs, fmt.Errorf("seglog: GatherSize %d is below 4096", o.GatherSize))
	}
	if o.MaxFree < 1 {
		errs = append(errs, fmt.Errorf("seglog: MaxFree %d is below 1", o.MaxFree))
	}
	if o.IdleMark < 0 {
		errs = append(errs, fmt.Errorf("seglog: IdleMark %v is negative", o.IdleMark))
	}
	return errors.Join(errs...)
}
