package wire

import (
	"encoding/binary"
	"fmt"
)

// An ID is a method's class id and method id.
type ID uint32

// MakeID joins the two numbers of a method.
func MakeID(class, method uint16) ID { return ID(class)<<16 | ID(method) }

// Class returns the class id.
func (id ID) Class() uint16 { return uint16(id >> 16) }

// Method returns the method id within its class.
func (id ID) Method() uint16 { return uint16(id) }

// Known reports whether the method is one of ours.
func (id ID) Known() bool { return methodName(id) != "" }

// HasContent reports whether a content header follows the method.
func (id ID) HasContent() bool { return hasContent(id) }

// Sync reports whether the sender of the method waits for an answer.
func (id ID) Sync() bool { return isSync(id) }

// String returns the name, for instance basic.publish.
func (id ID) String() string {
	if s := methodName(id); s != "" {
		return s
	}
	return fmt.Sprintf("method %d.%d", id.Class(), id.Method())
}

// A Method is the payload of a method frame.
type Method interface {
	ID() ID
	// Append appends the payload, class and method id included. It panics
	// when a short string is longer than 255 bytes: see Validate.
	Append(dst []byte) []byte
	// AppendFrame appends the whole frame.
	AppendFrame(dst []byte, channel uint16) []byte
	// Decode reads what follows the ids. Its error is an *Error.
	Decode(args []byte) error
	// Validate reports a string that does not fit. Who takes strings from
	// people calls it before Append.
	Validate() error
}

// SplitMethod takes the ids from a method frame's payload. Its error is an
// *Error.
func SplitMethod(payload []byte) (id ID, args []byte, err error) {
	if len(payload) < 4 {
		return 0, nil, frameError(Frame{Type: FrameMethod, Payload: payload}, "unknown_frame").Reply()
	}
	return ID(binary.BigEndian.Uint32(payload)), payload[4:], nil
}

// DecodeMethod decodes any method. Hot paths switch over SplitMethod's id and
// decode into a value of their own instead.
func DecodeMethod(payload []byte) (Method, error) {
	id, args, err := SplitMethod(payload)
	if err != nil {
		return nil, err
	}
	m := newMethod(id)
	if m == nil {
		return nil, &Error{Code: CodeCommandInvalid, Text: "unimplemented method", Method: id}
	}
	if err := m.Decode(args); err != nil {
		return nil, err
	}
	return m, nil
}

func appendID(dst []byte, id ID) []byte {
	return append(dst, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func tooLong(id ID, field string) error {
	return &Error{Code: CodeSyntaxError, Text: field + " is longer than 255 bytes", Method: id}
}
