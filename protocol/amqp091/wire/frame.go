package wire

import (
	"encoding/binary"
	"strconv"
)

const (
	// FrameOverhead is what a frame costs besides its payload.
	FrameOverhead = 8
	// FrameMinSize is the limit that holds before the limit is negotiated, and
	// the least that is held against a peer.
	FrameMinSize = 8192
	// FrameFloor is the least frame-max a peer may ask for: nothing larger is
	// sent to it then.
	FrameFloor = 4096
	// DefaultFrameMax is what RabbitMQ proposes.
	DefaultFrameMax = 131072

	frameEnd   = 0xCE
	headerSize = 7
	// sizeFudge is how much a frame may exceed the limit: some clients count
	// the frame's own eight bytes and some do not.
	sizeFudge = 8
)

// A Frame is one frame of a connection. Payload is a view of the buffer it was
// found in.
type Frame struct {
	Type    byte
	Channel uint16
	Payload []byte
}

// ScanFrame takes the frame at the head of buf. n is the number of bytes the
// frame occupies; n == 0 without an error means that buf ends within the frame.
// The size is judged as soon as it can be read, before the payload is there. A
// frameMax below FrameMinSize counts as FrameMinSize. The error is a
// *FrameError.
func ScanFrame(buf []byte, frameMax uint32) (f Frame, n int, err error) {
	if len(buf) < headerSize {
		return Frame{}, 0, nil
	}
	size := binary.BigEndian.Uint32(buf[3:])
	limit := max(frameMax, FrameMinSize) - FrameOverhead
	if uint64(size) > uint64(limit)+sizeFudge {
		return Frame{}, 0, tooLarge(buf, size, limit)
	}
	end := headerSize + int(size)
	if len(buf) <= end {
		return Frame{}, 0, nil
	}
	f = Frame{Type: buf[0], Channel: binary.BigEndian.Uint16(buf[1:]), Payload: buf[headerSize:end:end]}
	if buf[end] != frameEnd {
		return Frame{}, 0, frameError(f, "{invalid_frame_end_marker,"+strconv.Itoa(int(buf[end]))+"}")
	}
	switch f.Type {
	case FrameMethod, FrameHeader, FrameBody:
		return f, end + 1, nil
	case FrameHeartbeat:
		if size == 0 {
			return f, end + 1, nil
		}
	}
	return Frame{}, 0, frameError(f, "unknown_frame")
}

// FrameLen returns how many bytes the frame at the head of buf occupies in
// all, or 0 when buf is too short to tell. It judges nothing: call it to size a
// read buffer after ScanFrame asked for more.
func FrameLen(buf []byte) int {
	if len(buf) < headerSize {
		return 0
	}
	return int(binary.BigEndian.Uint32(buf[3:])) + FrameOverhead
}

// A FrameError says that the byte stream is no longer a sequence of frames. The
// connection is lost: RabbitMQ sends connection.close 501 and hangs up about a
// second later without waiting for the answer.
type FrameError struct {
	Frame   Frame  // with at most the first 16 bytes of the payload, copied
	Reason  string // as an Erlang term, for instance {frame_too_large,9000,8184}
	clipped bool
}

// Error returns the text as RabbitMQ prints it, without the code's name.
func (e *FrameError) Error() string {
	return "type " + strconv.Itoa(int(e.Frame.Type)) + ", " + snippetTitle(e.clipped) +
		" octets = " + erlangBinary(e.Frame.Payload) + ": " + e.Reason
}

// Reply returns the error to close the connection with.
func (e *FrameError) Reply() *Error {
	return &Error{Code: CodeFrameError, Text: e.Error()}
}

func tooLarge(buf []byte, size, limit uint32) *FrameError {
	f := Frame{Type: buf[0], Channel: binary.BigEndian.Uint16(buf[1:])}
	return frameError(f, "{frame_too_large,"+strconv.FormatUint(uint64(size), 10)+","+strconv.FormatUint(uint64(limit), 10)+"}")
}

func frameError(f Frame, reason string) *FrameError {
	e := &FrameError{Reason: reason}
	f.Payload, e.clipped = snippet(f.Payload)
	e.Frame = f
	return e
}

// UnexpectedFrame returns the error for a frame that is sound but may not come
// now: a body without a header, a heartbeat on a channel.
func UnexpectedFrame(f Frame) *Error {
	part, clipped := snippet(f.Payload)
	return &Error{
		Code: CodeUnexpectedFrame,
		Text: "type " + strconv.Itoa(int(f.Type)) + ", " + snippetTitle(clipped) + " octets = " + erlangBinary(part),
	}
}

// snippet copies what of a payload may be shown.
func snippet(payload []byte) (part []byte, clipped bool) {
	const shown = 16
	if len(payload) > shown {
		return append([]byte(nil), payload[:shown]...), true
	}
	return append([]byte(nil), payload...), false
}

func snippetTitle(clipped bool) string {
	if clipped {
		return "first 16"
	}
	return "all"
}

// openFrame appends a frame's header with the size left open and returns where
// the frame starts.
func openFrame(dst []byte, typ byte, channel uint16) ([]byte, int) {
	at := len(dst)
	return append(dst, typ, byte(channel>>8), byte(channel), 0, 0, 0, 0), at
}

// closeFrame fills in the size of the frame that started at at and ends it.
func closeFrame(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at+3:], uint32(len(dst)-at-headerSize))
	return append(dst, frameEnd)
}
