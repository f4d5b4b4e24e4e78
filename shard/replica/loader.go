package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/storage"
)

// A Loader reads what left memory, for all shards of a node, so that no shard's
// turn ever waits for the disk: bodies, from the log while it holds them, else
// from the state store, and the records of cold pages. It owns one goroutine
// (Run); Step is its step function.
type Loader struct {
	log   storage.LogStore
	state storage.State
	fatal func(error)
	wake  chan struct{}

	mu struct {
		sync.Mutex
		jobs []job
	}

	// Owned by Step: the entries read last. One read of the log serves every
	// body that lies in the entry.
	recent []recentEntry
	last   uint64 // the index of the last body of the job
	bytes  int
	ents   []storage.Entry
}

type recentEntry struct {
	group uint64
	storage.Entry
}

const (
	// recentBytes bounds the entries kept, but for one that is larger.
	recentBytes = 4 << 20
	// readEntries and readAhead bound what one read of the log takes.
	readEntries = 16
	readAhead   = 1 << 20
)

type job struct {
	group  uint64
	slot   uint64 // where its state is
	bodies []queue.Body
	done   func(blobs [][]byte)
	run    func() error
}

// NewLoader returns a loader. fatal is called when acknowledged data can not
// be read.
func NewLoader(log storage.LogStore, state storage.State, fatal func(error)) *Loader {
	return &Loader{log: log, state: state, fatal: fatal, wake: make(chan struct{}, 1)}
}

// Bodies reads bodies of a group, whose state is in a slot, and calls done, on
// the loader's goroutine. A body that is nowhere is nil: its message may have
// gone meanwhile.
func (l *Loader) Bodies(group, slot uint64, bodies []queue.Body, done func(blobs [][]byte)) {
	l.add(job{group: group, slot: slot, bodies: bodies, done: done})
}

// Do runs f on the loader's goroutine.
func (l *Loader) Do(f func() error) { l.add(job{run: f}) }

func (l *Loader) add(j job) {
	l.mu.Lock()
	l.mu.jobs = append(l.mu.jobs, j)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Pending reports whether there is a job.
func (l *Loader) Pending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.jobs) > 0
}

// Run works until stop is closed.
func (l *Loader) Run(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-l.wake:
			for l.Step() {
			}
		}
	}
}

// Step does one job; it reports whether there was one.
func (l *Loader) Step() bool {
	l.mu.Lock()
	if len(l.mu.jobs) == 0 {
		l.mu.Unlock()
		return false
	}
	j := l.mu.jobs[0]
	l.mu.jobs = l.mu.jobs[1:]
	l.mu.Unlock()
	if j.run != nil {
		if err := j.run(); err != nil {
			l.fatal(err)
		}
		return true
	}
	blobs := make([][]byte, len(j.bodies))
	stored := storedBodies{state: l.state, slot: j.slot}
	defer stored.close()
	l.last = 0
	for _, b := range j.bodies {
		l.last = max(l.last, b.Index)
	}
	for i, b := range j.bodies {
		blob, err := l.body(j.group, b, &stored)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			l.fatal(fmt.Errorf("read body %d+%d of group %d: %w", b.Index, b.Off, j.group, err))
			return true
		}
		blobs[i] = blob
	}
	j.done(blobs)
	return true
}

// body reads one body. A body that is not in the log any more was copied to the
// state store before the log let it go, so the log is asked first and the state
// store after.
func (l *Loader) body(group uint64, b queue.Body, stored *storedBodies) ([]byte, error) {
	data, err := l.entry(group, b.Index)
	if err == nil {
		if uint64(b.Off)+uint64(b.Len) > uint64(len(data)) {
			return nil, fmt.Errorf("%w: body beyond its entry of %d bytes", storage.ErrDamaged, len(data))
		}
		return data[b.Off : b.Off+b.Len : b.Off+b.Len], nil
	}
	if !errors.Is(err, storage.ErrCompacted) {
		return nil, err
	}
	v, err := stored.get(b)
	if err != nil {
		return nil, err
	}
	return decodeBody(v, b.Len)
}

// storedBodies reads bodies of one job from the state store. They are asked for
// in about the order in which they lie there, so that most are one step of an
// iterator away from the one before.
type storedBodies struct {
	state storage.State
	slot  uint64
	it    storage.Iterator // nil until the first body
	on    bool             // it stands on an entry
	key   [32]byte
}

func (s *storedBodies) get(b queue.Body) ([]byte, error) {
	k := bodyKey(s.key[:0], s.slot, keyBody, b.Index, b.Off)
	if s.it == nil {
		var err error
		if s.it, err = s.state.Iter(key(nil, s.slot, keyBody), key(nil, s.slot, keyBody+1)); err != nil {
			return nil, err
		}
	}
	if s.on {
		s.on = s.it.Next()
	}
	if !s.on || !bytes.Equal(s.it.Key(), k) {
		s.on = s.it.SeekGE(k)
	}
	if s.on && bytes.Equal(s.it.Key(), k) {
		return append([]byte(nil), s.it.Value()...), nil
	}
	// Stored after the iterator was made, or not at all.
	return s.state.Get(nil, k)
}

// close ends the iterator. Its error is one of reading: what was read is checked
// by its length and kind, and what is missing was asked for again.
func (s *storedBodies) close() {
	if s.it != nil {
		_ = s.it.Close()
	}
}

func (l *Loader) entry(group, index uint64) ([]byte, error) {
	for i := range l.recent {
		if r := &l.recent[i]; r.group == group && r.Index == index {
			return r.Data, nil
		}
	}
	gs, ok := l.log.Bounds(group)
	if !ok || index < gs.First {
		return nil, storage.ErrCompacted
	}
	// The log may be compacted between the two calls; it says so. What is behind
	// the last that is asked for may not be committed, and be replaced yet.
	ents, err := l.log.Entries(l.ents[:0], group, index, min(index+readEntries, gs.Last+1, l.last+1), readAhead)
	if err != nil {
		return nil, err
	}
	if len(ents) == 0 || ents[0].Index != index {
		return nil, fmt.Errorf("%w: the log does not return entry %d", storage.ErrUnavailable, index)
	}
	for _, e := range ents {
		l.keep(group, e)
	}
	data := ents[0].Data
	clear(ents)
	l.ents = ents[:0]
	return data, nil
}

// keep remembers an entry and forgets the oldest ones beyond the bound.
func (l *Loader) keep(group uint64, e storage.Entry) {
	l.recent = append(l.recent, recentEntry{group, e})
	l.bytes += len(e.Data)
	n := 0
	for l.bytes > recentBytes && n < len(l.recent)-1 || len(l.recent)-n > 4*readEntries {
		l.bytes -= len(l.recent[n].Data)
		n++
	}
	l.recent = slices.Delete(l.recent, 0, n)
}

// A body in the state store is a kind byte and its bytes. The kind leaves room
// for bodies that stand elsewhere.
const bodyInline = 1

func appendBody(dst, blob []byte) []byte { return append(append(dst, bodyInline), blob...) }

func decodeBody(v []byte, n uint32) ([]byte, error) {
	if len(v) != int(n)+1 || v[0] != bodyInline {
		return nil, fmt.Errorf("%w: body of %d bytes stored as %d", storage.ErrDamaged, n, len(v))
	}
	return v[1:], nil
}

func appendCount(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }
