package broker

import (
	"errors"
	"fmt"
)

// A Kind is what went wrong, in terms every protocol can map to a code of its
// own.
type Kind uint8

// Kinds of Error.
const (
	// Internal is a fault of ours.
	Internal Kind = iota
	// NotFound: the vhost, exchange or queue does not exist.
	NotFound
	// Mismatch: it exists, but not as it was asked for; Arg, Received and
	// Current say where.
	Mismatch
	// Invalid: an argument can not be accepted; Detail says why.
	Invalid
	// Denied: the authoriser said no; Op says to what.
	Denied
	// Locked: the queue is exclusive to another connection.
	Locked
	// ExclusiveUse: an exclusive consumer is in the way.
	ExclusiveUse
	// Reserved: the name, or the operation on this resource, is the broker's own.
	Reserved
	// InUse and NotEmpty: a conditional delete whose condition does not hold.
	InUse
	NotEmpty
	// TooLarge: over a limit that Detail names.
	TooLarge
	// OverLimit: a limit on the number of things; Detail names it.
	OverLimit
	// Unavailable: no leader, no quorum, or stopping; try again.
	Unavailable
	// Partial: a part of a transaction was refused.
	Partial
)

// String returns the kind in words.
func (k Kind) String() string {
	return [...]string{
		"internal", "not found", "mismatch", "invalid", "denied", "locked", "in exclusive use",
		"reserved", "in use", "not empty", "too large", "limit", "unavailable", "partial transaction",
	}[k]
}

// A Resource is the kind of thing an Error is about.
type Resource string

// Resources.
const (
	VHostResource    Resource = "vhost"
	ExchangeResource Resource = "exchange"
	QueueResource    Resource = "queue"

	PolicyResource    Resource = "policy"
	ParameterResource Resource = "parameter"
	UserResource      Resource = "user"
)

// An Error is what a broker operation fails with. Protocols translate Kind by
// one table and word the rest themselves.
type Error struct {
	Kind     Kind
	Resource Resource
	Name     string
	VHost    string
	User     string
	Op       string // configure, write, read; or what was attempted
	// Arg, Received and Current are set for Mismatch. HasReceived and
	// HasCurrent are false for an argument that one side lacks.
	Arg, Received, Current    string
	HasReceived, HasCurrent   bool
	ReceivedType, CurrentType string
	// Property says that Arg is no argument but a property of a declaration,
	// QueueType that queues of this type have no such argument.
	Property  bool
	QueueType string
	// Topic is the routing key that was refused, if OnTopic.
	Topic   string
	OnTopic bool
	Detail  string
	Err     error
}

func (e *Error) Error() string {
	s := e.Kind.String()
	if e.Resource != "" {
		s = fmt.Sprintf("%s '%s' in vhost '%s': %s", e.Resource, e.Name, e.VHost, s)
	}
	if e.Op != "" {
		s += " (" + e.Op + ")"
	}
	if e.Arg != "" {
		s += fmt.Sprintf(": %s: received '%s', current '%s'", e.Arg, e.Received, e.Current)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of a broker error, Internal for any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
