package listener

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/warrenmq/warren/protocol"
)

// A conn is what a frontend gets: the budget, TLS over it if there is any, and
// the sniffed bytes in front. Its capabilities are those of package protocol.
type conn struct {
	net.Conn         // the budget itself, or TLS over it
	base     *budget // the lowest layer
	gate     *Gate
	prefix   []byte      // sniffed and not yet read again; owned by the reader
	serving  func() bool // nil: always
	leaving  atomic.Bool // Farewell was called
}

// fenced reports whether the node may not serve this client now. What was read is
// as good as never sent then, and what is to be written is not.
func (c *conn) fenced() bool { return c.serving != nil && !c.serving() && !c.leaving.Load() }

// Farewell lets the goodbye through; see protocol.Farewell.
func (c *conn) Farewell() { c.leaving.Store(true) }

// Write writes if the node may serve.
func (c *conn) Write(p []byte) (int, error) {
	if c.fenced() {
		return 0, protocol.ErrFenced
	}
	return c.Conn.Write(p)
}

// Read reads the sniffed bytes first.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.prefix) == 0 {
		n, err := c.Conn.Read(p)
		if n > 0 && c.fenced() {
			return 0, protocol.ErrFenced
		}
		return n, err
	}
	n := copy(p, c.prefix)
	if c.prefix = c.prefix[n:]; len(c.prefix) == 0 {
		c.prefix = nil
	}
	return n, nil
}

// unread puts back what was read too far.
func (c *conn) unread(b []byte) {
	if c.prefix = append(b[:len(b):len(b)], c.prefix...); len(c.prefix) == 0 {
		c.prefix = nil
	}
}

// Authenticated lifts the budget; see protocol.Authenticated.
func (c *conn) Authenticated() {
	if c.base.lift() {
		c.gate.loggedIn(c.base)
	}
}

// CloseWrite says that nothing more will be written, while reads go on.
func (c *conn) CloseWrite() error {
	half := c.Conn
	if half == net.Conn(c.base) {
		half = c.base.Conn
	}
	if half, ok := half.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return fmt.Errorf("half close: %w", errors.ErrUnsupported)
}

// WriteBuffers gathers; see protocol.WriteBuffers.
func (c *conn) WriteBuffers(b *net.Buffers) (int64, error) {
	if c.fenced() {
		return 0, protocol.ErrFenced
	}
	if _, ok := c.Conn.(*tls.Conn); ok {
		scratch := c.gate.records.Get().(*[recordSize]byte)
		defer c.gate.records.Put(scratch)
		return writeRecords(c.Conn, b, scratch[:])
	}
	return b.WriteTo(c.base.Conn) // writev on a TCP socket
}

// recordSize is the most a TLS record carries.
const recordSize = 16 << 10

// writeRecords writes b in full TLS records, for a record and its system call
// cost the same whether they carry 8 bytes or 16 KiB. It lets go of b's slices
// as it goes.
func writeRecords(w net.Conn, b *net.Buffers, scratch []byte) (total int64, err error) {
	for len(*b) > 0 && err == nil {
		record := (*b)[0]
		if len(*b) > 1 && len(record) < len(scratch) {
			record = scratch[:gather(scratch, *b)]
		}
		var n int
		n, err = w.Write(record)
		total += int64(n)
		consume(b, n)
	}
	return total, err
}

// gather copies as much of b as fits into dst.
func gather(dst []byte, b net.Buffers) (n int) {
	for _, s := range b {
		if n += copy(dst[n:], s); n == len(dst) {
			break
		}
	}
	return n
}

// consume drops the first n bytes of b, and empty slices in front.
func consume(b *net.Buffers, n int) {
	for len(*b) > 0 {
		if first := (*b)[0]; n < len(first) {
			(*b)[0] = first[n:]
			return
		}
		n -= len((*b)[0])
		(*b)[0] = nil
		*b = (*b)[1:]
	}
}
