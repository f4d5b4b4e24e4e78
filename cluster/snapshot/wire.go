package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/warrenmq/warren/internal/step"
)

// A transfer is asked for by its head:
//
//	version u8 | group u64 | session u64 | after…
//
// after is the key behind which it goes on, empty for the beginning. What comes
// back is, until there are no more, length of the key, key, length of the value,
// value; then a zero and how many there were. Lengths and numbers are varints.
// Whoever asked says with one byte that it has made all of it durable.
const (
	wireVersion = 1
	headSize    = 17

	maxKey   = 64 << 10
	maxValue = 512 << 20

	taken = 1 // the byte at the end
)

var errWire = errors.New("snapshot: malformed transfer")

type head struct {
	group, session uint64
	after          []byte
}

func (h *head) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, wireVersion), h.group)
	return append(binary.BigEndian.AppendUint64(dst, h.session), h.after...)
}

func parseHead(b []byte) (h head, err error) {
	if len(b) < headSize || len(b) > headSize+maxKey {
		return h, fmt.Errorf("%w: a head of %d bytes", errWire, len(b))
	}
	if b[0] != wireVersion {
		return h, fmt.Errorf("%w: version %d, this build knows %d", errWire, b[0], wireVersion)
	}
	h.group, h.session = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	if len(b) > headSize {
		h.after = b[headSize:]
	}
	return h, nil
}

// A writer writes records.
type writer struct {
	w   *bufio.Writer
	n   uint64
	buf [binary.MaxVarintLen64]byte
}

func (w *writer) uvarint(v uint64) error {
	if _, err := w.w.Write(binary.AppendUvarint(w.buf[:0], v)); err != nil {
		return fmt.Errorf("snapshot: write: %w", err)
	}
	return nil
}

func (w *writer) put(key, value []byte) error {
	w.n++
	step.At(step.SnapshotSent)
	for _, b := range [...][]byte{key, value} {
		if err := w.uvarint(uint64(len(b))); err != nil {
			return err
		}
		if _, err := w.w.Write(b); err != nil {
			return fmt.Errorf("snapshot: write: %w", err)
		}
	}
	return nil
}

func (w *writer) end() error {
	if err := w.uvarint(0); err != nil {
		return err
	}
	if err := w.uvarint(w.n); err != nil {
		return err
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("snapshot: write: %w", err)
	}
	return nil
}

// A reader reads records; what it returns is valid until the next.
type reader struct {
	r          *bufio.Reader
	n          uint64
	key, value []byte
}

// next returns io.EOF behind the last record of a whole transfer.
func (r *reader) next() (key, value []byte, err error) {
	n, err := binary.ReadUvarint(r.r)
	switch {
	case err != nil:
		return nil, nil, broken(err)
	case n == 0:
		if n, err = binary.ReadUvarint(r.r); err != nil {
			return nil, nil, broken(err)
		}
		if n != r.n {
			return nil, nil, fmt.Errorf("%w: %d records came, %d were sent", errWire, r.n, n)
		}
		return nil, nil, io.EOF
	}
	if r.key, err = r.bytes(r.key[:0], n, maxKey); err != nil {
		return nil, nil, err
	}
	if n, err = binary.ReadUvarint(r.r); err != nil {
		return nil, nil, broken(err)
	}
	if r.value, err = r.bytes(r.value[:0], n, maxValue); err != nil {
		return nil, nil, err
	}
	r.n++
	return r.key, r.value, nil
}

// bytes reads n bytes. The buffer grows with what has come, not with what is
// announced.
func (r *reader) bytes(dst []byte, n, most uint64) ([]byte, error) {
	if n > most {
		return dst, fmt.Errorf("%w: %d bytes, at most %d", errWire, n, most)
	}
	const step = 1 << 20
	for n > 0 {
		k := min(n, step)
		at := len(dst)
		dst = append(dst, make([]byte, k)...)
		if _, err := io.ReadFull(r.r, dst[at:]); err != nil {
			return dst, broken(err)
		}
		n -= k
	}
	return dst, nil
}

// broken says that a transfer ended before its end.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
