package client

import "github.com/warrenmq/warren/admin"

// Error is how the node says that an operation failed; see package admin.
type Error = admin.Error

// Kinds and things of an Error that callers of this package look at.
const (
	Internal    = admin.Internal
	Invalid     = admin.Invalid
	NotFound    = admin.NotFound
	Exists      = admin.Exists
	InUse       = admin.InUse
	NotEmpty    = admin.NotEmpty
	Denied      = admin.Denied
	Unavailable = admin.Unavailable
	Timeout     = admin.Timeout
	Unsupported = admin.Unsupported
	AppStopped  = admin.AppStopped
	AppRunning  = admin.AppRunning

	VHostThing      = admin.VHostThing
	UserThing       = admin.UserThing
	PermissionThing = admin.PermissionThing
	QueueThing      = admin.QueueThing
	NodeThing       = admin.NodeThing
	ExchangeThing   = admin.ExchangeThing
	ConnectionThing = admin.ConnectionThing
	PolicyThing     = admin.PolicyThing
	ParameterThing  = admin.ParameterThing
)

// KindOf returns the kind of an operation's error.
func KindOf(err error) admin.Kind { return admin.KindOf(err) }

// Values of several resources.
type (
	// Argument is a named value.
	Argument = admin.Argument
	// Value is a typed value.
	Value = admin.Value
)
