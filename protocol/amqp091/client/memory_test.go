package client

import (
	"errors"
	"io"
	"net"
	"time"
)

// stream is a connection that yields prepared bytes, again and again if it is
// told to, and swallows what is written.
type stream struct {
	net.Conn // nil: nothing else is called
	data     []byte
	rest     []byte
	rounds   int // how often data is still to come
}

func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.rounds == 0 {
			return 0, io.EOF
		}
		s.rounds--
		s.rest = s.data
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (*stream) Write(b []byte) (int, error)      { return len(b), nil }
func (*stream) Close() error                     { return nil }
func (*stream) SetReadDeadline(time.Time) error  { return nil }
func (*stream) SetWriteDeadline(time.Time) error { return nil }

// halfDead fails all writes and can be read only after one.
type halfDead struct {
	net.Conn
	reads []byte
	wrote chan struct{}
	dead  bool
}

func (h *halfDead) Write([]byte) (int, error) {
	if !h.dead {
		h.dead = true
		close(h.wrote)
	}
	return 0, errors.New("broken pipe")
}

func (h *halfDead) Read(b []byte) (int, error) {
	<-h.wrote
	n := copy(b, h.reads)
	h.reads = h.reads[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (*halfDead) Close() error                     { return nil }
func (*halfDead) SetDeadline(time.Time) error      { return nil }
func (*halfDead) SetReadDeadline(time.Time) error  { return nil }
func (*halfDead) SetWriteDeadline(time.Time) error { return nil }
