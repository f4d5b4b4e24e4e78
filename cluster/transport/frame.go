package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame on the wire:
//
//	+-----------+------+---------------+
//	| length u32| type | head and body |   big endian; the length counts the type
//	+-----------+------+---------------+
const (
	frameHead = 5
	maxFrame  = 256 << 20

	chunkSize = 64 << 10 // of what is read at once; frames in it share it
	bigFrame  = 16 << 10 // a frame from here on gets a buffer of its own
	growStep  = 4 << 20  // what is made ready for a frame before its bytes came
)

// Types below 32 are the transport's own, in every class.
const (
	typePing byte = 1 + iota
	typeHello
	typeWelcome
	typeRefusal
	typeRaft
	typeBeat
	typeChunk
	typeHead
	typeEnd
	typeAbort
	typeJoinHello
	typeJoinCluster
	typeJoinProof
	typeJoinRequest
	typeJoinAdmission
	typeRenew
	typeRenewed
	typeProbe
	typeProbed

	// FirstType is the lowest type of a data stream's frames.
	FirstType byte = 32
)

// A Frame is what a data stream carries. The receiver gets head and body as
// one, in Body, and owns it; it shares memory with at most 64 KiB of its
// neighbours.
type Frame struct {
	Type uint8 // from FirstType on
	// Head is copied when it is sent, so the sender reuses it. Body is kept
	// until it is written: it must never change.
	Head, Body []byte
}

var errFrame = errors.New("transport: not a frame")

// A frameReader cuts a byte stream into frames. Small ones that came together
// share a buffer.
type frameReader struct {
	r          io.Reader
	limit      int // of a frame's length
	buf        []byte
	start, end int  // what was read and not yet cut
	lent       bool // frames of buf are with somebody

	reuse bool // a big frame is done with when the next one is read
	big   []byte
}

func newFrameReader(r io.Reader, limit int) *frameReader { return &frameReader{r: r, limit: limit} }

// read waits for at least one frame and appends all that are complete.
func (f *frameReader) read(fs []Frame) ([]Frame, error) {
	have := len(fs)
	for {
		var need int
		var err error
		if fs, need, err = f.cut(fs); err != nil {
			return fs, err
		}
		if len(fs) > have {
			return fs, nil
		}
		if need >= bigFrame {
			return f.readBig(fs, need)
		}
		f.room(max(need, frameHead))
		n, err := f.r.Read(f.buf[f.end:])
		f.end += n
		if n == 0 && err != nil {
			return fs, f.ended(err)
		}
	}
}

// ended tells an end between frames from one within.
func (f *frameReader) ended(err error) error {
	if errors.Is(err, io.EOF) && f.end > f.start {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cut appends the frames that are complete. need is how long the next one is,
// with its head, or 0 if its head is not there.
func (f *frameReader) cut(fs []Frame) (_ []Frame, need int, err error) {
	for f.end-f.start >= frameHead {
		at := f.buf[f.start:f.end]
		n := int(binary.BigEndian.Uint32(at))
		if n < 1 || n > f.limit {
			return fs, 0, fmt.Errorf("%w: length %d, at most %d", errFrame, n, f.limit)
		}
		if len(at) < 4+n {
			return fs, 4 + n, nil
		}
		fs = append(fs, Frame{Type: at[4], Body: at[frameHead : 4+n : 4+n]})
		f.start += 4 + n
	}
	return fs, 0, nil
}

// room sees to it that the frame of need bytes that begins at start fits.
func (f *frameReader) room(need int) {
	rest := f.end - f.start
	switch {
	case f.buf == nil:
		f.buf = make([]byte, chunkSize)
	case len(f.buf)-f.start >= need && len(f.buf) > f.end:
	case f.lent:
		fresh := make([]byte, chunkSize)
		copy(fresh, f.buf[f.start:f.end])
		f.buf, f.start, f.end, f.lent = fresh, 0, rest, false
	default:
		copy(f.buf, f.buf[f.start:f.end])
		f.start, f.end = 0, rest
	}
}

// readBig reads one frame into a buffer of its own, which grows with what came.
func (f *frameReader) readBig(fs []Frame, need int) ([]Frame, error) {
	typ := f.buf[f.start+4]
	have := f.buf[f.start+frameHead : f.end]
	want := need - frameHead
	body := f.big[:min(want, cap(f.big))]
	if len(body) < min(want, growStep) {
		body = make([]byte, min(want, growStep))
	}
	n := copy(body, have)
	f.start = f.end
	for n < want {
		if n == len(body) {
			body = append(body, make([]byte, min(want-n, n))...)
		}
		m, err := io.ReadFull(f.r, body[n:])
		n += m
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fs, err
		}
	}
	if f.reuse {
		f.big = body
	}
	return append(fs, Frame{Type: typ, Body: body[:want:want]}), nil
}

// lend says that somebody holds on to what was returned: its memory is theirs.
// Else it is used again.
func (f *frameReader) lend() { f.lent = true }

// readOne reads exactly one frame of a handshake.
func readOne(r io.Reader, want byte, limit int) ([]byte, error) {
	_, body, err := readEither(r, want, want, limit)
	return body, err
}

// readEither reads a frame of one of two types.
func readEither(r io.Reader, want, or byte, limit int) (typ byte, body []byte, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n < 1 || n > limit {
		return 0, nil, fmt.Errorf("%w: length %d, at most %d", errFrame, n, limit)
	}
	body = make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, err
	}
	switch head[4] {
	case want, or:
		return head[4], body, nil
	case typeRefusal:
		return 0, nil, parseRefusal(body)
	}
	return 0, nil, fmt.Errorf("%w: type %d, want %d", errFrame, head[4], want)
}

// writeOne writes one frame of a handshake.
func writeOne(w io.Writer, typ byte, body []byte) error {
	b := make([]byte, 0, frameHead+len(body))
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(body))) //nolint:gosec // handshakes are small
	b = append(b, typ)
	if _, err := w.Write(append(b, body...)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
