// Package checkpoint decides when the state of a node's shards goes to the
// state store so that the log can let segments go, and carries a round out.
//
// A round takes a cut of every shard that logged something, writes the bodies
// that must outlive the log, then each shard's cut in one atomic batch with the
// index it stands at, and ends with one flush. A flush may land any prefix of
// what was written, so the order is the safety: orphaned bodies are harmless, a
// cut without its bodies is not. Only then is the log told to compact.
//
// The state store changes nowhere else. One goroutine runs the rounds (Run);
// Step is its step function for a simulator. Nothing is called under a lock.
package checkpoint

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
)

// A Source is a shard, or the catalog, as a round sees it.
type Source interface {
	// Group is the source's Raft group.
	Group() uint64
	// Progress returns the index applied and the index of the last cut, and
	// about how many bytes of records changed in between.
	Progress() (applied, cut uint64, dirty int)
	// Cut asks for a copy-on-write cut. ready is called with it, from the
	// source's turn; with nil if the source is gone.
	Cut(ready func(Cut))
}

// A Cut is the state of a source at one index. Its methods are called by the
// round's goroutine, in this order, while the source goes on.
type Cut interface {
	Index() uint64
	// Bodies writes the bodies born up to Index that have no copy yet. It may
	// commit batches of its own from newBatch as it goes.
	Bodies(newBatch func() storage.Batch) error
	// State adds everything else to the batch, the index included.
	State(b storage.Batch) error
	// Durable says that the cut is on disk.
	Durable()
}

// Options of New. Zero values mean the defaults.
type Options struct {
	Log    storage.LogStore
	State  storage.State
	Logger *slog.Logger
	// LogBytes since the oldest needed record start a round; default 256 MiB.
	LogBytes uint64
	// DirtyBytes of changed records start a round; default 32 MiB.
	DirtyBytes int
	// Idle is how long nothing may be logged before a round is run for less
	// than LogBytes; default 5 s.
	Idle time.Duration
	// Rest is the least time between two rounds that nobody forced, so that a
	// group that keeps the log from shrinking does not keep the node writing;
	// a round that took longer rests as long as it took. Default 250 ms.
	Rest time.Duration
	// Fatal ends the process: after a failed write the store is not to be used.
	Fatal func(error)
}

// Rounds runs checkpoint rounds over a set of sources.
type Rounds struct {
	o    Options
	wake chan struct{}

	mu struct {
		sync.Mutex
		sources map[uint64]Source
		order   []uint64
		waiting int // cuts asked for and not yet there
		cuts    []Cut
		open    bool     // a round is open
		want    bool     // a round was asked for
		done    []func() // of those who asked
		ends    []func() // of those whose round is open
	}

	// Owned by the goroutine of Step.
	lastLogged uint64
	lastChange time.Duration
	began      time.Duration
	ended      bool // a round ended in the last step
	restUntil  time.Duration
	failed     bool
	once       bool   // a round has begun in this life
	loggedThen uint64 // what had been logged when the last one did

	covered atomic.Uint64 // of what was logged in this life, what a round has made durable
}

// New returns the rounds of one node.
func New(o Options) *Rounds {
	if o.LogBytes == 0 {
		o.LogBytes = 256 << 20
	}
	if o.DirtyBytes == 0 {
		o.DirtyBytes = 32 << 20
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Second
	}
	if o.Rest == 0 {
		o.Rest = 250 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Rounds{o: o, wake: make(chan struct{}, 1)}
	r.mu.sources = map[uint64]Source{}
	return r
}

// Add registers a source.
func (r *Rounds) Add(s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.mu.sources[s.Group()]; !ok {
		r.mu.order = append(r.mu.order, s.Group())
	}
	r.mu.sources[s.Group()] = s
}

// Remove takes a source out, if it is the one of its group, and calls gone when no
// round has to do with it any more: then nothing of it is written to the state
// store. The source has to answer until then.
func (r *Rounds) Remove(s Source, gone func()) {
	r.mu.Lock()
	if g := s.Group(); r.mu.sources[g] == s {
		delete(r.mu.sources, g)
		r.mu.order = slices.DeleteFunc(r.mu.order, func(o uint64) bool { return o == g })
	}
	open := r.mu.open
	if open {
		r.mu.ends = append(r.mu.ends, gone)
	}
	r.mu.Unlock()
	if !open {
		gone()
	}
}

// Force asks for a round of everything that changed; done, which may be nil, is
// called after it.
func (r *Rounds) Force(done func()) {
	r.mu.Lock()
	r.mu.want = true
	if done != nil {
		r.mu.done = append(r.mu.done, done)
	}
	r.mu.Unlock()
	r.signal()
}

// Behind returns how many bytes were logged since the beginning of the last round
// that has ended: what the next has to work off. What a group keeps that no round
// reaches does not count.
func (r *Rounds) Behind() uint64 { return r.o.Log.Stats().Logged - r.covered.Load() }

func (r *Rounds) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run steps the rounds until stop is closed. A round that waits for its cuts
// then is given up, which is what a crash would do to it; one that is being
// written is finished first.
func (r *Rounds) Run(stop <-chan struct{}, mono func() time.Duration) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		case <-r.wake:
		}
		r.Step(mono())
	}
}

// Step opens a round if one is due, or finishes the open one if all its cuts
// are there. now is monotonic.
func (r *Rounds) Step(now time.Duration) {
	if r.failed {
		return
	}
	if r.ended {
		r.ended = false
		r.restUntil = now + max(r.o.Rest, now-r.began)
	}
	r.mu.Lock()
	open, waiting := r.mu.open, r.mu.waiting
	r.mu.Unlock()
	switch {
	case open && waiting == 0:
		r.finish(now)
	case !open:
		if due := r.due(now); len(due) > 0 {
			r.begin(now, due)
		}
	}
}

// due returns the sources of the round that has to begin now, if any: those
// that applied something since their last cut. What was forced has ended when
// there are none.
func (r *Rounds) due(now time.Duration) []Source {
	st := r.o.Log.Stats()
	if st.Bytes != r.lastLogged {
		r.lastLogged, r.lastChange = st.Bytes, now
	}
	r.mu.Lock()
	forced := r.mu.want
	sources := make([]Source, 0, len(r.mu.order))
	for _, g := range r.mu.order {
		sources = append(sources, r.mu.sources[g])
	}
	r.mu.Unlock()
	var due []Source
	dirty := 0
	for _, s := range sources {
		applied, cut, d := s.Progress()
		dirty += d
		if applied > cut {
			due = append(due, s)
		}
	}
	if forced && len(due) == 0 {
		r.mu.Lock()
		done := r.mu.done
		r.mu.done, r.mu.want = nil, false
		r.mu.Unlock()
		for _, f := range done {
			f()
		}
	}
	// A round after which the log is as long as before was not the remedy: some
	// group that no round reaches, as a refused shard, keeps it. The next is due
	// when as much was logged again.
	more := func(least uint64) bool { return !r.once || st.Logged-r.loggedThen >= least }
	long := st.SinceOldest >= r.o.LogBytes && more(r.o.LogBytes)
	mostlyDead := st.Segments > 4 && st.OldestDead*4 >= st.OldestSize*3 && more(st.OldestSize)
	idle := st.Segments > 1 && now-r.lastChange >= r.o.Idle
	full := long || dirty >= r.o.DirtyBytes || mostlyDead || idle
	// A round may have taken long for want of space: what was logged meanwhile
	// does not wait for as long again.
	hurry := st.Logged-r.loggedThen >= 2*r.o.LogBytes
	if forced || full && (now >= r.restUntil || hurry) {
		return due
	}
	return nil
}

func (r *Rounds) begin(now time.Duration, due []Source) {
	r.began = now
	r.once, r.loggedThen = true, r.o.Log.Stats().Logged
	r.mu.Lock()
	due = slices.DeleteFunc(due, func(s Source) bool { return r.mu.sources[s.Group()] != s }) // removed meanwhile
	r.mu.open, r.mu.waiting, r.mu.cuts = true, len(due), nil
	if r.mu.want {
		r.mu.want = false
		r.mu.ends, r.mu.done = append(r.mu.ends, r.mu.done...), nil
	}
	r.mu.Unlock()
	step.At(step.CheckpointBegun)
	for _, s := range due {
		s.Cut(r.arrived)
	}
}

// arrived takes a cut, from the turn that made it.
func (r *Rounds) arrived(c Cut) {
	r.mu.Lock()
	r.mu.waiting--
	if c != nil {
		r.mu.cuts = append(r.mu.cuts, c)
	}
	last := r.mu.waiting == 0
	r.mu.Unlock()
	if last {
		r.signal()
	}
}

func (r *Rounds) finish(now time.Duration) {
	r.mu.Lock()
	cuts := r.mu.cuts
	r.mu.cuts = nil
	r.mu.Unlock()
	step.At(step.CheckpointCut)
	if err := r.write(cuts); err != nil {
		r.failed = true
		r.o.Fatal(fmt.Errorf("checkpoint round: %w", err))
		return
	}
	step.At(step.CheckpointDurable)
	for _, c := range cuts {
		c.Durable()
	}
	step.At(step.CheckpointEnded)
	r.covered.Store(r.loggedThen)
	r.mu.Lock()
	ends := r.mu.ends
	r.mu.open, r.mu.ends = false, nil
	r.mu.Unlock()
	r.ended = true // what it took is seen in the next step
	for _, f := range ends {
		f()
	}
	r.o.Logger.Debug("checkpoint round ended", "groups", len(cuts), "dur", now-r.began)
	r.signal() // a round may have been forced meanwhile
}

func (r *Rounds) write(cuts []Cut) error {
	for _, c := range cuts {
		if err := c.Bodies(r.o.State.NewBatch); err != nil {
			return fmt.Errorf("write bodies: %w", err)
		}
		step.At(step.CheckpointBodies)
	}
	for _, c := range cuts {
		b := r.o.State.NewBatch()
		if err := c.State(b); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
		if err := b.Commit(); err != nil {
			return fmt.Errorf("commit state: %w", err)
		}
		step.At(step.CheckpointState)
	}
	return r.o.State.Flush()
}
