package auth

import (
	"slices"

	"github.com/warrenmq/warren/internal/secret"
)

// A Directory is an immutable picture of users and permissions.
type Directory interface {
	User(name string) (User, bool)
	Permission(user, vhost string) (Permission, bool)
	// TopicPermission returns the rule for topics of one exchange; none means
	// that the exchange's own permission suffices.
	TopicPermission(user, vhost, exchange string) (TopicPermission, bool)
	// VHost reports whether there is such a vhost.
	VHost(name string) bool
	// PermissionRevision moves whenever anything moves that the methods above
	// return. It need not move with anything else.
	PermissionRevision() uint64
}

// A User is an account.
type User struct {
	Name string
	// Password is the record of NewRecord or ImportRabbitMQ; empty means that
	// no password logs in.
	Password secret.String
	Tags     Tags
	// Revision is different after each change of the user, and for a user of
	// the same name made later.
	Revision uint64
}

// A Permission holds three patterns for the names of exchanges and queues. The
// empty pattern matches no name but the empty one.
type Permission struct {
	Configure, Write, Read string
}

// A TopicPermission holds two patterns for routing keys, in which {username},
// {vhost} and {client_id} stand for the session's.
type TopicPermission struct {
	Write, Read string
}

// Tags say what a user may do outside the vhosts' objects. They never replace
// a permission.
type Tags []string

// The tags that mean something. Others are kept and mean nothing.
const (
	TagAdministrator = "administrator"
	TagMonitoring    = "monitoring"
	TagPolicyMaker   = "policymaker"
	TagManagement    = "management"
	TagImpersonator  = "impersonator"
)

// Administrator reports whether the user may change everything.
func (t Tags) Administrator() bool { return slices.Contains(t, TagAdministrator) }

// Monitoring reports whether the user may see nodes and all connections.
func (t Tags) Monitoring() bool {
	return t.Administrator() || slices.Contains(t, TagMonitoring)
}

// PolicyMaker reports whether the user may set policies and parameters.
func (t Tags) PolicyMaker() bool {
	return t.Administrator() || slices.Contains(t, TagPolicyMaker)
}

// Management reports whether the user may use the console and the HTTP API.
func (t Tags) Management() bool {
	return t.Monitoring() || t.PolicyMaker() || slices.Contains(t, TagManagement)
}

// Impersonator reports whether the user may publish under another's name. An
// administrator may not for being one.
func (t Tags) Impersonator() bool { return slices.Contains(t, TagImpersonator) }
