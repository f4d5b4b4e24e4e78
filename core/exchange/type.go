package exchange

import (
	"fmt"

	"github.com/warrenmq/warren/core/message"
)

// A Type is how an exchange routes.
type Type uint8

// The types. The numbers are written to disk.
const (
	Direct         Type = iota + 1 // binding key equal to the routing key
	Fanout                         // every binding
	Topic                          // binding key is a pattern of words
	Headers                        // binding arguments compared with the headers
	ConsistentHash                 // one binding, by a hash; binding keys are weights
	ModulusHash                    // one binding, by a hash modulo their number
	Random                         // any one binding
	LocalRandom                    // any one binding to a queue of the node itself
	types                          // the first number that is none
)

// ParseType returns the type with a name.
func ParseType(name string) (Type, bool) {
	for t := Direct; t < types; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return 0, false
}

// Known reports whether t is a type.
func (t Type) Known() bool { return t >= Direct && t < types }

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
	case ConsistentHash:
		return "x-consistent-hash"
	case ModulusHash:
		return "x-modulus-hash"
	case Random:
		return "x-random"
	case LocalRandom:
		return "x-local-random"
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

// CheckBinding reports whether an exchange of type t may have a binding: a
// *MatchError, a *WeightError, or an error that wraps message.ErrValue.
func CheckBinding(t Type, key string, args message.Table) error {
	if err := args.Check(); err != nil {
		return fmt.Errorf("exchange: binding arguments: %w", err)
	}
	switch t {
	case Headers:
		if v, ok := args.Lookup(matchArg); ok {
			if _, ok := parseMode(v); !ok {
				return &MatchError{Value: v}
			}
		}
	case ConsistentHash:
		if _, err := weightOf(key); err != nil {
			return err
		}
	}
	return nil
}
