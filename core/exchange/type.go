package exchange

import (
	"fmt"

	"github.com/warrenmq/warren/core/message"
)

// A Type is how an exchange routes.
type Type uint8

// The types. The numbers are written to disk.
const (
	Direct  Type = iota + 1 // binding key equal to the routing key
	Fanout                  // every binding
	Topic                   // binding key is a pattern of words
	Headers                 // binding arguments compared with the headers
)

// ParseType returns the type with a name.
func ParseType(name string) (Type, bool) {
	for t := Direct; t <= Headers; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

// String returns the name that protocols use.
func (t Type) String() string {
	switch t {
	case Direct:
		return "direct"
	case Fanout:
		return "fanout"
	case Topic:
		return "topic"
	case Headers:
		return "headers"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// A MatchError says that a binding's x-match is none that we know.
type MatchError struct {
	Value message.Value
}

func (e *MatchError) Error() string {
	if text, ok := e.Value.Text(); ok {
		return fmt.Sprintf("exchange: x-match is %q; expected all, any, all-with-x or any-with-x", text)
	}
	return "exchange: x-match is not a string"
}

// CheckArgs reports whether a binding of an exchange of type t may have the
// arguments: a *MatchError, or an error that wraps message.ErrValue.
func CheckArgs(t Type, args message.Table) error {
	if err := args.Check(); err != nil {
		return fmt.Errorf("exchange: binding arguments: %w", err)
	}
	if t != Headers {
		return nil
	}
	if v, ok := args.Lookup(matchArg); ok {
		if _, ok := parseMode(v); !ok {
			return &MatchError{Value: v}
		}
	}
	return nil
}
