package transport

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("transport: cut short, or too long")

// A scan reads a payload from its front. After a fault everything it returns is
// zero and bad is set.
type scan struct {
	b   []byte
	bad bool
}

func (s *scan) fault() {
	s.b, s.bad = nil, true
}

func (s *scan) uvarint() uint64 {
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		s.fault()
		return 0
	}
	s.b = s.b[n:]
	return v
}

func (s *scan) byte() byte {
	if len(s.b) == 0 {
		s.fault()
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return v
}

func (s *scan) u16() uint16 {
	b := s.take(2)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func (s *scan) u64() uint64 {
	b := s.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// take returns the next n bytes, in place.
func (s *scan) take(n int) []byte {
	if n < 0 || n > len(s.b) {
		s.fault()
		return nil
	}
	v := s.b[:n:n]
	s.b = s.b[n:]
	return v
}

// bytes returns a counted piece of at most limit bytes, in place.
func (s *scan) bytes(limit int) []byte {
	n := s.uvarint()
	if n > uint64(min(limit, len(s.b))) { //nolint:gosec // not negative
		s.fault()
		return nil
	}
	return s.take(int(n)) //nolint:gosec // within len(s.b)
}

func (s *scan) text(limit int) string { return string(s.bytes(limit)) }

// count returns how many elements follow, each of which takes at least size
// bytes: what was not sent is not made room for.
func (s *scan) count(size int) int {
	n := s.uvarint()
	if n > uint64(len(s.b)/size) { //nolint:gosec // not negative
		s.fault()
		return 0
	}
	return int(n) //nolint:gosec // within len(s.b)
}

// end returns an error unless everything was read without a fault.
func (s *scan) end() error {
	if s.bad || len(s.b) > 0 {
		return errShort
	}
	return nil
}
