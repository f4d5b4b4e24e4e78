package transport

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// Why a connection ended, when this side decided it.
var (
	// ErrClosed says that this node closed the connection.
	ErrClosed = errors.New("transport: closed")
	// ErrSilent says that the peer said nothing, or took nothing, for too long.
	ErrSilent = errors.New("transport: the peer is silent")
	// ErrOverflow says that more waited for the peer than may.
	ErrOverflow = errors.New("transport: too much waits for the peer")
	// errBudget says that an unknown sent more than it may.
	errBudget = errors.New("transport: too many bytes before it is known who sends them")
)

// A conn is a TLS connection over a socket that it watches.
type conn struct {
	*tls.Conn
	sock *socket
}

// fail closes the connection; the first cause counts. Reads and writes under
// way return.
func (c *conn) fail(cause error) { c.sock.fail(cause) }

// err returns why the connection ended: this side's cause, or what happened.
func (c *conn) err(happened error) error {
	if cause := c.sock.cause.Load(); cause != nil {
		return *cause
	}
	return happened
}

// socket lies between TLS and the network. It reads and writes in large pieces,
// counts what an unknown sends, and closes itself when it stands still.
type socket struct {
	net.Conn
	clock clock.Clock
	done  chan struct{} // closed by fail
	cause atomic.Pointer[error]

	in       []byte // read and not yet given to TLS; the reader's alone
	inStart  int
	inEnd    int
	budget   atomic.Int64 // bytes an unknown may still send; negative: no bound
	reading  atomic.Int64 // since when a read waits, on the monotonic clock; 0: none does
	writing  atomic.Int64
	out      sync.Mutex // guards the following: TLS may write from its reader too
	pending  []byte     // written by TLS, not yet by us
	buffered bool       // writes wait for flush

	watch struct {
		sync.Mutex
		timer clock.Timer
	}
}

const socketBuffer = 64 << 10

func newSocket(nc net.Conn, c clock.Clock) *socket {
	s := &socket{Conn: nc, clock: c, done: make(chan struct{})}
	s.budget.Store(handshakeBytes)
	return s
}

// expire closes the socket after d unless the timer is stopped.
func (s *socket) expire(d time.Duration) clock.Timer {
	return s.clock.AfterFunc(d, func() { s.fail(ErrSilent) })
}

func (s *socket) fail(cause error) {
	if !s.cause.CompareAndSwap(nil, &cause) {
		return
	}
	close(s.done)
	s.Conn.Close()
	s.watch.Lock()
	defer s.watch.Unlock()
	if s.watch.timer != nil {
		s.watch.timer.Stop()
	}
}

// Read implements net.Conn for TLS.
func (s *socket) Read(p []byte) (int, error) {
	if s.inStart == s.inEnd {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.in[s.inStart:s.inEnd])
	s.inStart += n
	return n, nil
}

func (s *socket) fill() error {
	size := socketBuffer
	budget := s.budget.Load()
	if budget >= 0 {
		size = min(size, 4<<10)
	}
	if len(s.in) < size {
		s.in = make([]byte, size)
	}
	s.reading.Store(s.now())
	n, err := s.Conn.Read(s.in[:size])
	s.reading.Store(0)
	s.inStart, s.inEnd = 0, n
	if budget >= 0 && s.budget.Add(-int64(n)) < 0 {
		return errBudget
	}
	if n > 0 {
		return nil
	}
	return err
}

// now is never 0.
func (s *socket) now() int64 { return int64(s.clock.Mono()) | 1 }

// Write implements net.Conn for TLS: what it writes waits for flush, or for the
// buffer to be full.
func (s *socket) Write(p []byte) (int, error) {
	s.out.Lock()
	defer s.out.Unlock()
	if !s.buffered {
		return len(p), s.send(p)
	}
	if len(s.pending)+len(p) > socketBuffer {
		if err := s.flushLocked(); err != nil {
			return 0, err
		}
	}
	s.pending = append(s.pending, p...)
	return len(p), nil
}

func (s *socket) flush() error {
	s.out.Lock()
	defer s.out.Unlock()
	return s.flushLocked()
}

func (s *socket) flushLocked() error {
	if len(s.pending) == 0 {
		return nil
	}
	err := s.send(s.pending)
	s.pending = s.pending[:0]
	return err
}

func (s *socket) send(p []byte) error {
	s.writing.Store(s.now())
	_, err := s.Conn.Write(p)
	s.writing.Store(0)
	return err
}

// stand makes an established connection of the socket: no budget, buffered
// writes, and a timer that closes it when it stands still.
func (s *socket) stand(idle, stall time.Duration) {
	s.budget.Store(-1)
	s.out.Lock()
	s.pending = make([]byte, 0, socketBuffer)
	s.buffered = true
	s.out.Unlock()
	s.watchFor(idle, stall)
}

// watchFor looks at the socket four times in the shorter of the two times, until
// it is closed.
func (s *socket) watchFor(idle, stall time.Duration) {
	s.watch.Lock()
	defer s.watch.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	s.watch.timer = s.clock.AfterFunc(min(idle, stall)/4, func() {
		now := s.now()
		r, w := s.reading.Load(), s.writing.Load()
		if r != 0 && time.Duration(now-r) > idle || w != 0 && time.Duration(now-w) > stall {
			s.fail(ErrSilent)
			return
		}
		s.watchFor(idle, stall)
	})
}

// pump writes what the outbox gets, and a ping every now and then, until the
// connection ends. It is the connection's only writer. dry is called whenever
// nothing is left to write; it may be nil.
func (c *conn) pump(o *outbox, every time.Duration, dry func()) error {
	ping := c.sock.clock.NewTicker(every)
	defer ping.Stop()
	for {
		for ch := o.take(); ch != nil; ch = o.take() {
			err := c.writeChunk(ch)
			o.written(ch)
			if err != nil {
				return err
			}
		}
		if err := c.sock.flush(); err != nil {
			return err
		}
		if dry != nil {
			dry()
		}
		select {
		case <-o.wake:
		case <-ping.C():
			if err := writeOne(c.Conn, typePing, nil); err != nil {
				return err
			}
		case <-c.sock.done:
			return ErrClosed
		}
	}
}

func (c *conn) writeChunk(ch *chunk) error {
	from := 0
	for _, r := range ch.refs {
		if err := c.put(ch.text[from:r.at]); err != nil {
			return err
		}
		if err := c.put(r.body); err != nil {
			return err
		}
		from = r.at
	}
	return c.put(ch.text[from:])
}

func (c *conn) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := c.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// brokenByPeer reports whether a connection ended because the other side
// closed or reset it.
func brokenByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err)
}

func appendBytes(b, p []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(p)))
	return append(b, p...)
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
