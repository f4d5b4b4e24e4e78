package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// wireVersion is that of every frame here; the first byte of a hello. Streams
// of another version are closed.
const wireVersion = 1

// Types of frames. Those below typeAnswer go from the client to the server, the
// others back; numbers are not used twice.
const (
	typeHello = transport.FirstType + iota
	typeRevision
	typeBatch
	typeAttach
	typeConsume
	typeCancel
	typeGrant
	typeStop
	typeSettle
	typeAsk
	typeInspect
	typeBrowse
	typeRead
	typePropose
	typePost
)

const (
	typeAnswer = transport.FirstType + 64 + iota
	typeDeliver
	typeCancelled
	typeReply
	typeSettled
	typeLead
	typeNotLead
	typeAttached
	typeStopped
)

// ErrFrame is wrapped by every error of a decoder.
var ErrFrame = errors.New("remote: malformed frame")

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrFrame, what) }

// A Target is what a frame is for: the shard of that id, or memory: the queues
// in the memory of the server's node.
type Target uint64

// Memory is the target of the queues in the memory of a node. Who leads them is
// its incarnation, which is their term.
const Memory Target = 0

// String names the target in logs.
func (t Target) String() string {
	if t == Memory {
		return "memory"
	}
	return "shard " + strconv.FormatUint(uint64(t), 10)
}

func appendTarget(dst []byte, t Target) []byte { return binary.AppendUvarint(dst, uint64(t)) }

// A reader decodes one frame, which it aliases. After an error everything it
// returns is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.bad, r.b = true, nil
}

func (r *reader) u() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) u32() uint32 {
	v := r.u()
	if v > math.MaxUint32 {
		r.fail()
		return 0
	}
	return uint32(v)
}

func (r *reader) u16() uint16 {
	v := r.u()
	if v > math.MaxUint16 {
		r.fail()
		return 0
	}
	return uint16(v)
}

func (r *reader) i() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) i32() int32 {
	v := r.i()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail()
		return 0
	}
	return int32(v)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

// flags reads a byte of which only the bits of known may be set.
func (r *reader) flags(known byte) byte {
	v := r.byte()
	if v&^known != 0 {
		r.fail()
		return 0
	}
	return v
}

// bytes reads a length and so many bytes.
func (r *reader) bytes() []byte {
	n := r.u()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count reads how many things follow, each of which takes at least size bytes
// of what arrived: nothing grows by what a frame only says.
func (r *reader) count(size int) int {
	n := r.u()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) target() Target { return Target(r.u()) }

// end returns the error of the frame, which must have nothing left.
func (r *reader) end(what string) error {
	if r.bad {
		return malformed(what)
	}
	if len(r.b) > 0 {
		return fmt.Errorf("%w: %s: %d bytes too many", ErrFrame, what, len(r.b))
	}
	return nil
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func bit(b bool, v byte) byte {
	if b {
		return v
	}
	return 0
}

// A hello is the first frame of a stream.
type hello struct {
	incarnation queue.Incarnation
	revision    uint64 // of the client's View
}

func appendHello(dst []byte, h hello) []byte {
	u := binary.AppendUvarint
	return u(u(u(append(dst, wireVersion), h.incarnation.Node), h.incarnation.Number), h.revision)
}

func parseHello(b []byte) (h hello, err error) {
	r := reader{b: b}
	if v := r.byte(); !r.bad && v != wireVersion {
		return h, fmt.Errorf("%w: version %d, this build knows %d", ErrFrame, v, wireVersion)
	}
	h.incarnation.Node, h.incarnation.Number, h.revision = r.u(), r.u(), r.u()
	return h, r.end("hello")
}

// parseNumber parses a frame that is one number: revision, read.
func parseNumber(b []byte, what string) (uint64, error) {
	r := reader{b: b}
	v := r.u()
	return v, r.end(what)
}

// A lead says that the sender leads a target from a term on.
type lead struct {
	target Target
	term   uint64
}

func appendLead(dst []byte, l lead) []byte {
	return binary.AppendUvarint(appendTarget(dst, l.target), l.term)
}

func parseLead(b []byte) (l lead, err error) {
	r := reader{b: b}
	l.target, l.term = r.target(), r.u()
	return l, r.end("lead")
}

// Codes of errors that a shard answers with.
const (
	codeOK uint8 = iota
	codeGone
	codeUnavailable
	codeExclusive
	codeInUse
	codeNotEmpty
	codeRefused
	codeUnknown
	codeOther
	codes
)

// codeOf returns the code of an error of a shard.
func codeOf(err error) uint8 {
	switch {
	case err == nil:
		return codeOK
	case errors.Is(err, shard.ErrGone):
		return codeGone
	case errors.Is(err, shard.ErrUnavailable):
		return codeUnavailable
	case errors.Is(err, shard.ErrExclusive):
		return codeExclusive
	case errors.Is(err, shard.ErrInUse):
		return codeInUse
	case errors.Is(err, shard.ErrNotEmpty):
		return codeNotEmpty
	case errors.Is(err, shard.ErrRefused):
		return codeRefused
	case errors.Is(err, shard.ErrUnknown):
		return codeUnknown
	}
	return codeOther
}

// errOther is what a client learns of an error that has no code; the leader's
// log has it.
var errOther = errors.New("remote: the leader of the shard failed")

func errorOf(code uint8) error {
	switch code {
	case codeOK:
		return nil
	case codeGone:
		return shard.ErrGone
	case codeUnavailable:
		return shard.ErrUnavailable
	case codeExclusive:
		return shard.ErrExclusive
	case codeInUse:
		return shard.ErrInUse
	case codeNotEmpty:
		return shard.ErrNotEmpty
	case codeRefused:
		return shard.ErrRefused
	case codeUnknown:
		return shard.ErrUnknown
	}
	return errOther
}
