package listener

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// errBudget is what a connection reads once it has used up the bytes it may
// send before login.
var errBudget = errors.New("more bytes before login than allowed")

// A budget is the lowest layer of a connection, below TLS and every codec. Until
// the peer has logged in it lets few bytes in, and nothing after a deadline that
// nobody above can push out. Afterwards it is a plain net.Conn that keeps count
// of nothing.
type budget struct {
	net.Conn
	left    atomic.Int64 // bytes that may still be read before login
	lifted  atomic.Bool
	evicted atomic.Bool // closed by the gate to make room
	served  atomic.Bool // a frontend has it
	until   time.Time   // immutable: the end of the time before login

	// What the layers above asked for, taken up when the budget is lifted.
	mu struct {
		sync.Mutex
		read, write time.Time
	}

	half halfOpen // owned by the gate
}

func newBudget(c net.Conn, bytes int, until time.Time) (*budget, error) {
	b := &budget{Conn: c, until: until}
	b.left.Store(int64(bytes))
	return b, c.SetDeadline(until)
}

// Read reads within the budget.
func (b *budget) Read(p []byte) (int, error) {
	if b.lifted.Load() {
		return b.Conn.Read(p)
	}
	left := b.left.Load()
	if left <= 0 {
		return 0, errBudget
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := b.Conn.Read(p)
	b.left.Add(-int64(n))
	return n, err
}

// lift ends the budget. It reports whether this call did.
func (b *budget) lift() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lifted.Load() {
		return false
	}
	// A deadline that cannot be set belongs to a closed socket; the next read
	// tells.
	_ = b.Conn.SetReadDeadline(b.mu.read)
	_ = b.Conn.SetWriteDeadline(b.mu.write)
	b.lifted.Store(true)
	return true
}

// SetDeadline sets both deadlines, before login no later than the budget's end.
func (b *budget) SetDeadline(t time.Time) error {
	return errors.Join(b.SetReadDeadline(t), b.SetWriteDeadline(t))
}

// SetReadDeadline sets the read deadline, before login no later than the
// budget's end.
func (b *budget) SetReadDeadline(t time.Time) error {
	if b.lifted.Load() {
		return b.Conn.SetReadDeadline(t)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lifted.Load() {
		return b.Conn.SetReadDeadline(t)
	}
	b.mu.read = t
	return b.Conn.SetReadDeadline(b.earlier(t))
}

// SetWriteDeadline sets the write deadline, before login no later than the
// budget's end.
func (b *budget) SetWriteDeadline(t time.Time) error {
	if b.lifted.Load() {
		return b.Conn.SetWriteDeadline(t)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lifted.Load() {
		return b.Conn.SetWriteDeadline(t)
	}
	b.mu.write = t
	return b.Conn.SetWriteDeadline(b.earlier(t))
}

func (b *budget) earlier(t time.Time) time.Time {
	if t.IsZero() || t.After(b.until) {
		return b.until
	}
	return t
}
