package state

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// events is Pebble's logger and listener. Pebble calls it from any goroutine,
// often under its own lock: nothing here waits or calls back.
type events struct {
	log     *slog.Logger
	fatal   func(error)
	damaged func(error)
	full    func() bool // the disk is full; true when that is news
	told    sync.Map    // files that were said to be damaged
}

func (e *events) Infof(format string, args ...any) {
	e.log.Debug("pebble says", "text", fmt.Sprintf(format, args...))
}

func (e *events) Errorf(format string, args ...any) {
	e.log.Error("pebble reports an error", "text", fmt.Sprintf(format, args...))
}

// Fatalf does not return: Pebble does not expect to go on after it.
func (e *events) Fatalf(format string, args ...any) {
	e.die(fmt.Errorf("state: "+format, args...))
}

func (e *events) die(err error) {
	e.log.Error("the state store cannot go on", "err", err)
	if e.fatal != nil {
		e.fatal(err)
	}
	panic(err)
}

func (e *events) listener() *pebble.EventListener {
	l := &pebble.EventListener{
		BackgroundError: e.backgroundError,
		DataCorruption:  e.dataCorruption,
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			e.log.Warn("commits to the state store wait", "reason", i.Reason)
		},
		WriteStallEnd: func() { e.log.Info("commits to the state store go on") },
		PossibleAPIMisuse: func(i pebble.PossibleAPIMisuseInfo) {
			e.log.Error("the state store may be misused", "kind", i.Kind.String())
		},
	}
	l.EnsureDefaults(e)
	return l
}

// dataCorruption hears of each read that meets damage, a compaction's too; that one
// is tried again and again.
func (e *events) dataCorruption(i pebble.DataCorruptionInfo) {
	if _, old := e.told.LoadOrStore(i.Path, true); old {
		return
	}
	e.log.Error("a file of the state store is damaged", "path", i.Path, "err", i.Details.Error()) // without a stack
	if e.damaged != nil {
		e.damaged(damagedFile(&i))
	}
}

// backgroundError hears of each failed flush and compaction; Pebble tries them
// again. That is right for a full disk, where nothing was lost and space comes
// back, and for a damaged table, which Pebble fences off for a while, whose readers
// get the error, and of which dataCorruption told. After any other error, such as a
// failed sync, nobody knows what the disk holds: the process ends and recovers from
// what is synced.
func (e *events) backgroundError(err error) {
	switch {
	case errors.Is(err, pebble.ErrCancelledCompaction):
	case vfs.IsNoSpaceError(err):
		if e.full() {
			e.log.Warn("the disk is full, the state store waits for space", "err", err)
		}
	case pebble.IsCorruptionError(err):
		e.log.Debug("a compaction of the state store met damage", "err", err)
	default:
		e.die(fmt.Errorf("state: flush or compaction: %w", err))
	}
}

func (e *events) diskSlow(i vfs.DiskSlowInfo) {
	e.log.Warn("the disk is slow", "op", i.OpType.String(), "path", i.Path, "dur", i.Duration)
}
