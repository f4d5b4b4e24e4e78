package client

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Errors of a connection or a channel that was not ended by the server.
var (
	// ErrClosed is what is left after our own Close.
	ErrClosed = errors.New("client: closed")
	// ErrSilent means that nothing was heard for two heartbeats.
	ErrSilent = errors.New("client: the server fell silent")
)

// An Error is a close that the server sent.
type Error struct {
	Code    wire.ReplyCode
	Text    string  // with the code's name in front, as the server sent it
	Method  wire.ID // what it is about, or 0
	Channel uint16  // 0 when the connection was closed
}

// Error says who closed what and why.
func (e *Error) Error() string {
	what := "connection"
	if e.Channel != 0 {
		what = fmt.Sprintf("channel %d", e.Channel)
	}
	if e.Method != 0 {
		return fmt.Sprintf("client: server closed %s: %d %q after %v", what, uint16(e.Code), e.Text, e.Method)
	}
	return fmt.Sprintf("client: server closed %s: %d %q", what, uint16(e.Code), e.Text)
}

// A violation is something the server may not do. It ends the connection.
type violation struct{ cause *wire.Error }

func (v *violation) Error() string { return "client: server broke the protocol: " + v.cause.Error() }
func (v *violation) Unwrap() error { return v.cause }

func violate(code wire.ReplyCode, format string, args ...any) *violation {
	return &violation{&wire.Error{Code: code, Text: fmt.Sprintf(format, args...)}}
}

// broken makes what the codec says about the server's bytes a violation.
func broken(err error) error {
	if err == nil {
		return nil
	}
	var fe *wire.FrameError
	if errors.As(err, &fe) {
		return &violation{fe.Reply()}
	}
	var we *wire.Error
	if errors.As(err, &we) {
		return &violation{we}
	}
	return err
}
