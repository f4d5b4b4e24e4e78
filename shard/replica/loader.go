package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
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
	recent [recentEntries]struct {
		group uint64
		entry storage.Entry
	}
	turn int
	ents []storage.Entry
}

const (
	recentEntries = 16
	// readAhead is how many bytes of entries one read of the log takes.
	readAhead = 1 << 20
)

type job struct {
	group  uint64
	bodies []queue.Body
	done   func(blobs [][]byte)
	run    func() error
}

// NewLoader returns a loader. fatal is called when acknowledged data can not
// be read.
func NewLoader(log storage.LogStore, state storage.State, fatal func(error)) *Loader {
	return &Loader{log: log, state: state, fatal: fatal, wake: make(chan struct{}, 1)}
}

// Bodies reads bodies of a group and calls done, on the loader's goroutine.
func (l *Loader) Bodies(group uint64, bodies []queue.Body, done func(blobs [][]byte)) {
	l.add(job{group: group, bodies: bodies, done: done})
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
	for i, b := range j.bodies {
		blob, err := l.body(j.group, b)
		if err != nil {
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
func (l *Loader) body(group uint64, b queue.Body) ([]byte, error) {
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
	var k [32]byte
	v, err := l.state.Get(nil, bodyKey(k[:0], group, keyBody, b.Index, b.Off))
	if err != nil {
		return nil, err
	}
	return decodeBody(v, b.Len)
}

func (l *Loader) entry(group, index uint64) ([]byte, error) {
	for i := range l.recent {
		if r := &l.recent[i]; r.group == group && r.entry.Index == index && r.entry.Data != nil {
			return r.entry.Data, nil
		}
	}
	gs, ok := l.log.Bounds(group)
	if !ok || index < gs.First {
		return nil, storage.ErrCompacted
	}
	ents, err := l.log.Entries(l.ents[:0], group, index, min(index+recentEntries/2, gs.Last+1), readAhead)
	if err != nil {
		return nil, err
	}
	for _, e := range ents {
		l.recent[l.turn] = struct {
			group uint64
			entry storage.Entry
		}{group, e}
		l.turn = (l.turn + 1) % recentEntries
	}
	clear(ents[1:])
	l.ents = ents[:0]
	return ents[0].Data, nil
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
