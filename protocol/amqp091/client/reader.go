package client

import (
	"net"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

const (
	readStart = 16 << 10
	// readMost is how far the buffer grows for speed; a frame that is larger
	// grows it further, up to the negotiated limit.
	readMost = 256 << 10
)

// A frameReader holds what was read and not yet consumed. Frames are views of
// its buffer, good until the next fill.
type frameReader struct {
	conn     net.Conn
	buf      []byte
	from, to int // buf[from:to] is unread
	limit    uint32
}

// next returns the next frame at hand, false when there is none.
func (r *frameReader) next() (f wire.Frame, ok bool, err error) {
	f, n, err := wire.ScanFrame(r.buf[r.from:r.to], r.limit)
	if err != nil {
		return wire.Frame{}, false, broken(err)
	}
	r.from += n
	return f, n > 0, nil
}

// fill reads once. It drops all views.
func (r *frameReader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, readStart)
	}
	r.to = copy(r.buf, r.buf[r.from:r.to])
	r.from = 0
	if r.to == len(r.buf) {
		// Only a frame that is larger than the buffer fills it to the brim,
		// and its size was already judged.
		r.grow(2 * len(r.buf))
	}
	n, err := r.conn.Read(r.buf[r.to:])
	r.to += n
	if r.to == len(r.buf) && len(r.buf) < readMost {
		r.grow(2 * len(r.buf)) // the server is faster than we are
	}
	if n > 0 {
		return nil // an error comes back with the next read
	}
	return err
}

// grow moves to a larger buffer. Views of the old one stay good.
func (r *frameReader) grow(size int) {
	buf := make([]byte, size)
	r.to = copy(buf, r.buf[r.from:r.to])
	r.from = 0
	r.buf = buf
}

// wait returns the next frame, reading as often as it takes.
func (r *frameReader) wait() (wire.Frame, error) {
	for {
		f, ok, err := r.next()
		if ok || err != nil {
			return f, err
		}
		if err := r.fill(); err != nil {
			return wire.Frame{}, err
		}
	}
}
