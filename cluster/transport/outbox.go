package transport

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// Lanes of an outbox; a lower one goes first.
const (
	laneBeat = iota
	laneUrgent
	laneBulky
	lanes
)

const (
	copyBelow  = 16 << 10  // a body that is smaller is copied behind its head
	chunkText  = 48 << 10  // a chunk's own bytes, about
	chunkBytes = 256 << 10 // with the bodies it points to, about
)

// A chunk is some whole frames on their way to the socket.
type chunk struct {
	text []byte // heads and small bodies
	refs []ref  // large bodies, in order
	size int    // of both together
}

// A ref is a body that stands before text[at].
type ref struct {
	at   int
	body []byte
}

// begin starts a frame and returns its place for end.
func (c *chunk) begin(typ byte) int {
	at := len(c.text)
	c.text = append(c.text, 0, 0, 0, 0, typ)
	return at
}

// body appends to the frame: by copy or by reference.
func (c *chunk) body(b []byte) {
	if len(b) < copyBelow {
		c.text = append(c.text, b...)
		return
	}
	c.refs = append(c.refs, ref{len(c.text), b})
}

// end completes the frame. It returns its size on the wire.
func (c *chunk) end(at, refsBefore int) int {
	n := len(c.text) - at
	for _, r := range c.refs[refsBefore:] {
		n += len(r.body)
	}
	binary.BigEndian.PutUint32(c.text[at:], uint32(n-4)) //nolint:gosec // checked against maxFrame before
	c.size += n
	return n
}

func (c *chunk) reset() {
	clear(c.refs)
	c.text, c.refs, c.size = c.text[:0], c.refs[:0], 0
}

// full reports whether the next frame should begin another chunk.
func (c *chunk) full() bool { return c.size >= chunkBytes || len(c.text) >= chunkText }

// An outbox holds what waits for one socket. Senders append under its lock, one
// writer takes.
type outbox struct {
	pool   *chunkPool
	wake   chan struct{} // one token: there is something, or it was closed
	queued atomic.Int64  // bytes, those being written included

	mu struct {
		sync.Mutex
		lanes  [lanes]lane
		late   clock.Timer // of later; nil: never was one
		due    bool        // later was called, and its time is not over
		closed bool
	}
}

// A chunkPool keeps chunks that no outbox uses, until the collector wants them.
type chunkPool struct{ pool sync.Pool }

func (p *chunkPool) get() *chunk {
	if c, ok := p.pool.Get().(*chunk); ok {
		return c
	}
	return &chunk{text: make([]byte, 0, chunkText+copyBelow)}
}

func (p *chunkPool) put(c *chunk) {
	if cap(c.text) > 2*chunkText {
		return
	}
	c.reset()
	p.pool.Put(c)
}

// A lane is a queue of chunks: frames are appended to the last.
type lane struct {
	chunks []*chunk
	bytes  int
}

func newOutbox(p *chunkPool) *outbox { return &outbox{pool: p, wake: make(chan struct{}, 1)} }

// last returns the chunk to append to. o.mu is held.
func (o *outbox) last(l int) *chunk {
	q := &o.mu.lanes[l]
	if n := len(q.chunks); n > 0 && !q.chunks[n-1].full() {
		return q.chunks[n-1]
	}
	c := o.pool.get()
	q.chunks = append(q.chunks, c)
	return c
}

// count notes an appended frame. o.mu is held.
func (o *outbox) count(l, size int) {
	o.mu.lanes[l].bytes += size
	o.queued.Add(int64(size))
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// lingerFor is how long a heartbeat waits for those of other groups, if nobody
// calls soon: an idle node says all of them with one write to each peer, and each
// is woken by it once.
const lingerFor = 10 * time.Millisecond

// later wakes the writer in a while, unless that is to happen anyway. o.mu is held.
func (o *outbox) later(c clock.Clock) {
	switch {
	case o.mu.due:
		return
	case o.mu.late == nil:
		o.mu.late = c.AfterFunc(lingerFor, o.soon)
	default:
		o.mu.late.Reset(lingerFor)
	}
	o.mu.due = true
}

// soon wakes the writer for what lingers.
func (o *outbox) soon() {
	o.mu.Lock()
	due := o.mu.due
	if due {
		o.mu.due = false
		o.mu.late.Stop()
	}
	o.mu.Unlock()
	if due {
		o.signal()
	}
}

// take removes the first chunk of the first lane that has one.
func (o *outbox) take() *chunk {
	o.mu.Lock()
	defer o.mu.Unlock()
	for l := range o.mu.lanes {
		q := &o.mu.lanes[l]
		if len(q.chunks) == 0 {
			continue
		}
		c := q.chunks[0]
		n := copy(q.chunks, q.chunks[1:])
		q.chunks[n] = nil
		q.chunks = q.chunks[:n]
		q.bytes -= c.size
		return c
	}
	return nil
}

// written gives back a chunk that is with the socket.
func (o *outbox) written(c *chunk) {
	o.queued.Add(-int64(c.size))
	o.pool.put(c)
}

// drop empties the outbox.
func (o *outbox) drop() {
	for {
		c := o.take()
		if c == nil {
			return
		}
		o.written(c)
	}
}

// close makes every later Send fail and drops what is there.
func (o *outbox) close() {
	o.mu.Lock()
	o.mu.closed = true
	o.mu.Unlock()
	o.drop()
	o.signal()
}
