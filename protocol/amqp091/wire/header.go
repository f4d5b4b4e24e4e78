package wire

import (
	"encoding/binary"
	"strconv"
)

// A ContentHeader is the payload of a header frame:
//
//	0       2        4           12               14
//	+-------+--------+-----------+----------------+-----------------+
//	| class | weight | body size | property flags | property values |
//	+-------+--------+-----------+----------------+-----------------+
type ContentHeader struct {
	BodySize uint64 // as declared: compare it with the limit first
	Props    Props  // a view of the payload
}

// DecodeHeader decodes a content header of class basic and checks its
// properties, so that everybody who later holds them can trust them. The error
// is an *Error.
func DecodeHeader(payload []byte) (ContentHeader, error) {
	const fixed = 12
	if len(payload) < fixed {
		return ContentHeader{}, frameError(Frame{Type: FrameHeader, Payload: payload}, "unknown_frame").Reply()
	}
	class, weight := binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])
	if class != ClassBasic || weight != 0 {
		return ContentHeader{}, foreignHeader(class, weight)
	}
	props := Props(payload[fixed:len(payload):len(payload)])
	if err := props.Validate(); err != nil {
		return ContentHeader{}, err
	}
	return ContentHeader{BodySize: binary.BigEndian.Uint64(payload[4:]), Props: props}, nil
}

func foreignHeader(class, weight uint16) *Error {
	text := "expected content header for class " + strconv.Itoa(int(ClassBasic)) + ", got "
	if weight == 0 {
		text += "one for class " + strconv.Itoa(int(class)) + " instead"
	} else {
		text += "non content header frame instead"
	}
	return &Error{Code: CodeUnexpectedFrame, Text: text}
}
