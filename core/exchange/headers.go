package exchange

import (
	"strings"

	"github.com/warrenmq/warren/core/message"
)

const matchArg = "x-match"

// Fields gives a message's headers to a match. A message.Table is one.
type Fields interface {
	// AppendFields appends the headers to dst.
	AppendFields(dst []message.Field) []message.Field
}

// A mode is the meaning of x-match.
type mode struct {
	any   bool // one pair suffices
	withX bool // arguments that begin with x- count too
}

func parseMode(v message.Value) (mode, bool) {
	if v.Kind() != message.String && v.Kind() != message.Symbol {
		return mode{}, false
	}
	switch string(v.Bytes()) {
	case "all":
		return mode{}, true
	case "any":
		return mode{any: true}, true
	case "all-with-x":
		return mode{withX: true}, true
	case "any-with-x":
		return mode{any: true, withX: true}, true
	}
	return mode{}, false
}

// A matching is the destinations of all bindings with the same arguments.
type matching struct {
	*condition
	dests destSet
}

// A condition is a binding's arguments made ready for comparison. It is immutable.
type condition struct {
	any   bool
	pairs []message.Field
}

func newCondition(args message.Table) *condition {
	m := mode{}
	if v, ok := args.Lookup(matchArg); ok {
		m, _ = parseMode(v)
	}
	out := &condition{any: m.any}
	for name, v := range args.All() {
		if name == matchArg || !m.withX && strings.HasPrefix(name, "x-") {
			continue
		}
		out.pairs = append(out.pairs, message.Field{Name: []byte(name), Value: v})
	}
	return out
}

// match reports whether headers fit: for any, one pair; for all, each of them.
func (m *condition) match(headers []message.Field) bool {
	for i := range m.pairs {
		if fits(&m.pairs[i], headers) == m.any {
			return m.any
		}
	}
	return !m.any
}

// fits looks a pair up among headers. A pair without value asks for presence.
func fits(pair *message.Field, headers []message.Field) bool {
	for i := range headers {
		if string(headers[i].Name) == string(pair.Name) {
			return pair.Value.Kind() == message.Null || pair.Value.Equal(headers[i].Value)
		}
	}
	return false
}
