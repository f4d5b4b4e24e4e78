// Package seglog is the durable log of a node: one sequence of records for all
// its groups, in recycled segment files, behind storage.LogStore.
//
// It owns the files of its directory and the index that finds an entry in
// them. It never interprets an entry's data, never decides what may be given
// up, and never goes on after a failed write or sync.
//
// Goroutines: Submit, Compact, Tick and the readers may be called from any.
// Drain is the writer; it runs in one goroutine at a time, which is Run's in
// production. Prepare makes and removes files ahead of need; it runs in one
// goroutine at a time as well, a second one of Run's. The package starts no
// other goroutine and knows no clock: time comes in through Tick.
//
// DESIGN.md says why it is as it is, docs/format-log.md what is on the disk.
package seglog

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/storage"
)

// A Log implements storage.LogStore.
type Log struct {
	opts Options
	salt uint32
	// found is what recovery found.
	found   []storage.GroupState
	damages []*Damage

	wake        chan struct{} // one slot: Drain has work
	prepareWake chan struct{} // one slot: Prepare has work
	now         atomic.Int64  // the last Tick's
	broken      atomic.Bool   // a write or sync failed

	queueMu sync.Mutex
	queue   []*storage.Append

	// mu guards the index (groups, their bounds, rings and states) and the
	// lists of segments. Readers hold it to look up, never to read a file.
	mu        sync.RWMutex
	groups    map[uint64]*group
	truncated []*group   // whose Compact is not recorded yet
	held      []*segment // sequences without gap; the last is, or was, written to
	free      []*segment // given up; for reuse, or to be removed, once unread
	nextSlot  int
	recent    recentCache
	drains    uint64
	logged    uint64
	syncs     atomic.Uint64

	w writer
	p preparer
}

var _ storage.LogStore = (*Log)(nil)

// Groups returns what recovery found, ordered by group.
func (l *Log) Groups() []storage.GroupState { return slices.Clone(l.found) }

// Damages returns the places in which recovery found acknowledged data lost.
// A group of which nothing is left at all is in no list of groups: where there
// is damage, the caller has to compare with what it knows should exist.
func (l *Log) Damages() []*Damage { return slices.Clone(l.damages) }

// GroupBytes returns how many bytes of the log a group still needs.
func (l *Log) GroupBytes(group uint64) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if g := l.groups[group]; g != nil {
		return g.bytes
	}
	return 0
}

// Submit queues an append. It never blocks. After a failure it drops it.
func (l *Log) Submit(a *storage.Append) {
	l.queueMu.Lock()
	if !l.broken.Load() {
		l.queue = append(l.queue, a)
	}
	l.queueMu.Unlock()
	signal(l.wake)
}

// Tick tells the log the time, as time since any fixed moment, a few times a
// second. It lets the writer notice that nothing happened for a while.
func (l *Log) Tick(now time.Duration) {
	l.now.Store(int64(now))
	l.mu.Lock()
	l.rested(now)
	l.mu.Unlock()
	signal(l.wake)
}

// Run drains until stop is closed and everything queued is written and synced.
func (l *Log) Run(stop <-chan struct{}) {
	done := make(chan struct{})
	var prepared sync.WaitGroup
	prepared.Go(func() { l.runPrepare(done) })
	defer prepared.Wait()
	defer close(done)
	for {
		select {
		case <-l.wake:
			l.Drain()
		case <-stop:
			for l.queued() {
				l.Drain()
			}
			l.settle()
			return
		}
	}
}

func (l *Log) runPrepare(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-l.prepareWake:
		}
		for l.Prepare() {
			select {
			case <-done:
				return
			default:
			}
		}
	}
}

func (l *Log) queued() bool {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	return len(l.queue) > 0
}

// Close ends the use of the log, after Run has returned. What was written and
// not synced is synced; appends still queued are lost, and never Done.
func (l *Log) Close() error {
	var errs []error
	if l.w.active != nil && l.w.dirty && !l.broken.Load() {
		errs = append(errs, l.w.active.sync())
	}
	l.broken.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	errs = append(errs, l.closeFiles())
	return errors.Join(errs...)
}

func (l *Log) closeFiles() error {
	var errs []error
	all := slices.Concat(l.held, l.free)
	if l.p.filling != nil {
		all = append(all, l.p.filling)
	}
	for _, s := range all {
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

// segment returns the held segment with a sequence.
func (l *Log) segment(seq uint64) *segment { return l.held[seq-l.held[0].seq] }

func (l *Log) lastHeld() *segment {
	if len(l.held) == 0 {
		return nil
	}
	return l.held[len(l.held)-1]
}

func (l *Log) fatal(err error) {
	l.queueMu.Lock()
	first := !l.broken.Swap(true)
	l.queue = nil
	l.queueMu.Unlock()
	if first {
		l.opts.Fatal(err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
