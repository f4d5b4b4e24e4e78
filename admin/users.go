package admin

import (
	"context"
	"iter"
)

// Users are what there is to ask about users and what they may do.
type Users interface {
	// Users lists the users by name.
	Users(ctx context.Context, q UserQuery) iter.Seq2[User, error]
	// Permissions lists permissions by user and vhost.
	Permissions(ctx context.Context, q PermissionQuery) iter.Seq2[Permission, error]
	// TopicPermissions lists the limits on routing keys.
	TopicPermissions(ctx context.Context, q PermissionQuery) iter.Seq2[TopicPermission, error]
}

// UserQuery asks for all users.
type UserQuery struct{}

// PermissionQuery names a vhost or a user, or neither for everything. What is
// named has to exist.
type PermissionQuery struct {
	VHost string `json:"vhost,omitempty"`
	User  string `json:"user,omitempty"`
}

// User is an account.
type User struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}

// Permission says what a user may do in a vhost, in patterns of names.
type Permission struct {
	User      string `json:"user"`
	VHost     string `json:"vhost"`
	Configure string `json:"configure"`
	Write     string `json:"write"`
	Read      string `json:"read"`
}

// TopicPermission limits the routing keys of an exchange for a user.
type TopicPermission struct {
	User     string `json:"user"`
	VHost    string `json:"vhost"`
	Exchange string `json:"exchange"`
	Write    string `json:"write"`
	Read     string `json:"read"`
}
