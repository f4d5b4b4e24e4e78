package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// A BulkHandler serves the transfers that other nodes ask for.
type BulkHandler interface {
	// Bulk serves one transfer on a goroutine of its own: head is what it is
	// asked for, the stream what is sent both ways. An error's text is told to
	// the peer; nil ends the answer. It must not close the Transport.
	Bulk(s *BulkStream, head []byte) error
}

const (
	bulkChunk = 1 << 20
	maxHead   = 64 << 10
	drainTime = 5 * time.Minute // that a peer may take to read the end of an answer
)

// A BulkStream is one transfer: what one side writes the other reads, up to an
// end that says the transfer is whole. Each chunk carries a checksum, so that
// what comes out is what was put in whatever lay between; writes are paced. One
// goroutine may read while one writes.
type BulkStream struct {
	peer uint64
	c    *conn
	pace *pacer
	once sync.Once

	// Owned by the reader.
	in    *frameReader
	fs    []Frame // read and not yet looked at
	rest  []byte  // of a chunk
	ended error   // what every later Read returns

	out struct {
		sync.Mutex
		head  [frameHead + 4]byte
		ended bool
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table, never written

// Bulk asks a peer for a transfer. ctx bounds the asking; the stream lives until
// it is closed.
func (t *Transport) Bulk(ctx context.Context, to uint64, head []byte) (*BulkStream, error) {
	p := t.peer(to)
	switch {
	case p == nil:
		return nil, fmt.Errorf("transport: bulk to node %016x: not a peer", to)
	case len(head) > maxHead:
		return nil, fmt.Errorf("transport: bulk to node %016x: a head of %d bytes", to, len(head))
	}
	c, err := t.dialOnce(ctx, p, ClassBulk)
	if err != nil {
		return nil, fmt.Errorf("transport: bulk to node %016x: %w", to, err)
	}
	s := newBulkStream(to, c, t.pace)
	if err := s.put(typeHead, head); err != nil {
		c.fail(ErrClosed)
		return nil, fmt.Errorf("transport: bulk to node %016x: %w", to, err)
	}
	closing := t.life().Done()
	if !t.wgGo(func() { s.ping(closing, t.opts.Idle/5) }) {
		c.fail(ErrClosed)
		return nil, ErrClosed
	}
	return s, nil
}

// dialOnce dials as long as the caller, the peer and the Transport are there.
func (t *Transport) dialOnce(ctx context.Context, p *peer, class Class) (*conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(p.ctx(), cancel) //nolint:contextcheck // the caller's and the peer's: the first to end counts
	defer stop()
	return t.dial(ctx, p, p.addr(), class)
}

// wgGo starts a goroutine unless the Transport is closed.
func (t *Transport) wgGo(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// takeBulk serves a transfer that a peer asked for.
func (t *Transport) takeBulk(c *conn, p *peer) error {
	s := newBulkStream(p.id, c, t.pace)
	var ping sync.WaitGroup
	ping.Go(func() { s.ping(t.life().Done(), t.opts.Idle/5) })
	defer ping.Wait()
	defer c.fail(errEnded)
	head, err := s.head()
	if err != nil {
		return err
	}
	if err := t.opts.Bulk.Bulk(s, head); err != nil {
		_ = s.put(typeAbort, []byte(err.Error()[:min(len(err.Error()), maxText)]))
		s.drain()
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	s.drain()
	return nil
}

func newBulkStream(peer uint64, c *conn, pace *pacer) *BulkStream {
	in := newFrameReader(c, bulkChunk+frameHead)
	in.reuse = true
	return &BulkStream{peer: peer, c: c, pace: pace, in: in}
}

// Peer returns the node on the other side.
func (s *BulkStream) Peer() uint64 { return s.peer }

// ping says that this side is there until the stream ends; it ends the stream
// when the Transport is closing.
func (s *BulkStream) ping(closing <-chan struct{}, every time.Duration) {
	tick := s.c.sock.clock.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C():
			if err := s.put(typePing, nil); err != nil {
				s.c.fail(err)
				return
			}
		case <-closing:
			s.c.fail(ErrClosed)
			return
		case <-s.c.sock.done:
			return
		}
	}
}

// put writes one frame.
func (s *BulkStream) put(typ byte, body []byte) error {
	s.out.Lock()
	defer s.out.Unlock()
	head := s.out.head[:frameHead]
	if typ == typeChunk {
		head = s.out.head[:]
		binary.BigEndian.PutUint32(head[frameHead:], crc32.Checksum(body, castagnoli))
	}
	binary.BigEndian.PutUint32(head, uint32(len(head)-4+len(body))) //nolint:gosec // a chunk at most
	head[4] = typ
	if _, err := s.c.Write(head); err != nil {
		return s.c.err(err)
	}
	if len(body) > 0 {
		if _, err := s.c.Write(body); err != nil {
			return s.c.err(err)
		}
	}
	if err := s.c.sock.flush(); err != nil {
		return s.c.err(err)
	}
	return nil
}

// Write sends p, in chunks, as fast as the pace allows.
func (s *BulkStream) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n := min(len(p)-sent, bulkChunk)
		if err := s.pace.wait(n, s.c.sock.done); err != nil {
			return sent, s.c.err(err)
		}
		if err := s.put(typeChunk, p[sent:sent+n]); err != nil {
			return sent, fmt.Errorf("transport: bulk: %w", err)
		}
		sent += n
	}
	return sent, nil
}

// CloseWrite tells the other side that it has everything.
func (s *BulkStream) CloseWrite() error {
	s.out.Lock()
	ended := s.out.ended
	s.out.ended = true
	s.out.Unlock()
	if ended {
		return nil
	}
	return s.put(typeEnd, nil)
}

// Close ends the transfer. Without a CloseWrite before it the other side knows
// that it does not have everything.
func (s *BulkStream) Close() error {
	s.once.Do(func() { s.c.fail(ErrClosed) })
	return nil
}

// Read returns what the other side wrote: io.EOF after its CloseWrite, and only
// then; what it says if it gave up.
func (s *BulkStream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.ended == nil {
			s.ended = s.next()
		}
		if s.ended != nil {
			return 0, s.ended
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// next makes the next chunk the rest, or returns why there is none.
func (s *BulkStream) next() error {
	for {
		f, err := s.frame()
		if err != nil {
			return err
		}
		switch f.Type {
		case typePing:
		case typeChunk:
			if len(f.Body) < 4 || crc32.Checksum(f.Body[4:], castagnoli) != binary.BigEndian.Uint32(f.Body) {
				return errors.New("transport: bulk: a chunk does not match its checksum")
			}
			s.rest = f.Body[4:]
			return nil
		case typeEnd:
			return io.EOF
		case typeAbort:
			return fmt.Errorf("transport: bulk: node %016x gave up: %s", s.peer, clean(string(f.Body[:min(len(f.Body), maxText)])))
		default:
			return fmt.Errorf("%w: type %d in a transfer", errFrame, f.Type)
		}
	}
}

func (s *BulkStream) frame() (Frame, error) {
	for len(s.fs) == 0 {
		var err error
		if s.fs, err = s.in.read(s.fs[:0]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return Frame{}, fmt.Errorf("transport: bulk: %w", s.c.err(err))
		}
	}
	f := s.fs[0]
	s.fs = s.fs[1:]
	return f, nil
}

// head returns the first frame, which says what is asked for.
func (s *BulkStream) head() ([]byte, error) {
	for {
		f, err := s.frame()
		switch {
		case err != nil:
			return nil, err
		case f.Type == typePing:
		case f.Type != typeHead || len(f.Body) > maxHead:
			return nil, fmt.Errorf("%w: type %d before the head of a transfer", errFrame, f.Type)
		default:
			return append([]byte(nil), f.Body...), nil
		}
	}
}

// drain reads until the other side closes, so that what it was told arrives.
func (s *BulkStream) drain() {
	expiry := s.c.sock.expire(drainTime)
	defer expiry.Stop()
	for {
		if _, err := s.frame(); err != nil {
			return
		}
	}
}

// SetBulkRate changes BulkBytesPerSecond; 0: not paced.
func (t *Transport) SetBulkRate(bytesPerSecond int) { t.pace.set(bytesPerSecond) }

// A pacer hands out bytes at a rate to whoever asks, in the order they ask.
type pacer struct {
	clock clock.Clock
	mu    struct {
		sync.Mutex
		rate int
		next time.Duration // when the next bytes are due, on the monotonic clock
	}
}

func newPacer(c clock.Clock, rate int) *pacer {
	p := &pacer{clock: c}
	p.mu.rate = rate
	return p
}

func (p *pacer) set(rate int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.rate = max(rate, 0)
	p.mu.next = 0
}

// wait takes n bytes and waits until they are due.
func (p *pacer) wait(n int, done <-chan struct{}) error {
	d := p.take(n)
	if d <= 0 {
		return nil
	}
	timer := p.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-done:
		return ErrClosed
	}
}

func (p *pacer) take(n int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.rate == 0 {
		return 0
	}
	now := p.clock.Mono()
	due := max(p.mu.next, now)
	p.mu.next = due + time.Duration(float64(n)/float64(p.mu.rate)*float64(time.Second))
	return due - now
}

// enterBulk counts a transfer that the peer asks for; it returns false if there
// are too many.
func (p *peer) enterBulk() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.bulks >= maxBulk {
		return false
	}
	p.mu.bulks++
	return true
}

func (p *peer) leaveBulk() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.bulks--
}
