package auth

import (
	"errors"
	"fmt"
	"strings"
)

// ErrorKind says what went wrong, for front-ends to pick their code.
type ErrorKind uint8

// The kinds of an Error.
const (
	// Denied: the user is known and may not do this.
	Denied ErrorKind = iota + 1
	// NoVHost: there is no such vhost.
	NoVHost
	// Refused: the login failed. The peer must not learn why.
	Refused
	// Busy: too many logins are being checked; a later attempt may succeed.
	Busy
	// Malformed: the peer's SASL bytes are not what the mechanism asks for.
	Malformed
	// NoMechanism: the mechanism is unknown or not offered.
	NoMechanism
)

// An Error is what every function of this package returns, but for the errors
// of a context. Which fields are set depends on Kind.
type Error struct {
	Kind ErrorKind
	User string
	// VHost, Op, Resource and Name say what was denied. Op is zero when it was
	// the vhost as a whole.
	VHost    string
	Op       Operation
	Resource Kind
	Name     string
	// Topic is the routing key; meaningful if OnTopic.
	Topic   string
	OnTopic bool
	// Mechanism is the SASL mechanism, where one was named.
	Mechanism string
	// Why is the cause, for the log alone.
	Why string
}

// Error returns RabbitMQ's words for what was denied. Of a login that was
// refused it tells the cause: it is for the log, not for the peer.
func (e *Error) Error() string {
	switch e.Kind {
	case Denied:
		return e.denied()
	case NoVHost:
		return fmt.Sprintf("vhost %s not found", e.VHost)
	case Refused:
		return fmt.Sprintf("user '%s' - %s", e.User, e.Why)
	case Busy:
		return "too many logins are being checked"
	case NoMechanism:
		return fmt.Sprintf("unknown authentication mechanism '%s'", e.Mechanism)
	default:
		return "malformed response: " + e.Why
	}
}

func (e *Error) denied() string {
	if e.Op == 0 {
		return fmt.Sprintf("access to vhost '%s' refused for user '%s'", e.VHost, e.User)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s access to ", e.Op)
	if e.OnTopic {
		fmt.Fprintf(&b, "topic '%s' in ", e.Topic)
	}
	fmt.Fprintf(&b, "%s '%s' in vhost '%s' refused for user '%s'", e.Resource, e.Name, e.VHost, e.User)
	return b.String()
}

// KindOf returns the kind of an Error somewhere in err's chain, or 0.
func KindOf(err error) ErrorKind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return 0
}

func refused(user, why string) error { return &Error{Kind: Refused, User: user, Why: why} }
