package admin

import (
	"errors"
	"fmt"
)

// A Kind is what went wrong with an operation.
type Kind string

// Kinds of Error.
const (
	// Internal is a fault of the node's.
	Internal Kind = "internal"
	// Invalid: the request makes no sense; Text says why.
	Invalid Kind = "invalid"
	// NotFound: the Thing called Name does not exist.
	NotFound Kind = "not_found"
	// Exists: the Thing called Name exists already.
	Exists Kind = "exists"
	// InUse and NotEmpty: a conditional order whose condition does not hold.
	InUse    Kind = "in_use"
	NotEmpty Kind = "not_empty"
	// Denied: the credentials or rights do not suffice.
	Denied Kind = "denied"
	// Unavailable: no leader, no quorum, stopping; try again.
	Unavailable Kind = "unavailable"
	// Timeout: it took too long.
	Timeout Kind = "timeout"
	// Unsupported: this version does not do it; Text says why.
	Unsupported Kind = "unsupported"
	// AppStopped and AppRunning: what was asked needs the node to run, or not to.
	AppStopped Kind = "app_stopped"
	AppRunning Kind = "app_running"
)

// A Thing is the kind of object an Error is about.
type Thing string

// Things.
const (
	VHostThing      Thing = "vhost"
	UserThing       Thing = "user"
	PermissionThing Thing = "permission"
	QueueThing      Thing = "queue"
	ExchangeThing   Thing = "exchange"
	ConnectionThing Thing = "connection"
	PolicyThing     Thing = "policy"
	ParameterThing  Thing = "parameter"
	NodeThing       Thing = "node"
)

// An Error is what an operation fails with.
type Error struct {
	Kind  Kind   `json:"kind"`
	Thing Thing  `json:"thing,omitempty"`
	Name  string `json:"name,omitempty"`
	Text  string `json:"error"` // for people
}

func (e *Error) Error() string { return e.Text }

// NotFoundf says that a thing does not exist.
func NotFoundf(thing Thing, name string) *Error {
	return &Error{NotFound, thing, name, fmt.Sprintf("%s '%s' does not exist", thing, name)}
}

// Existsf says that a thing exists already.
func Existsf(thing Thing, name string) *Error {
	return &Error{Exists, thing, name, fmt.Sprintf("%s '%s' exists already", thing, name)}
}

// Invalidf says what is wrong with a request.
func Invalidf(format string, args ...any) *Error {
	return &Error{Kind: Invalid, Text: fmt.Sprintf(format, args...)}
}

// Unsupportedf says what this version does not do, and why.
func Unsupportedf(format string, args ...any) *Error {
	return &Error{Kind: Unsupported, Text: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of an operation's error, Internal for any other.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
