package admin

import (
	"context"

	"github.com/warrenmq/warren/internal/secret"
)

// UserOrders change users.
type UserOrders interface {
	AddUser(ctx context.Context, q NewUser) (Done, error)
	// ChangePassword sets a password; an empty one means that none logs in.
	ChangePassword(ctx context.Context, q UserPassword) (Done, error)
	// Authenticate checks a password as a login from this machine would.
	Authenticate(ctx context.Context, q UserPassword) (Done, error)
	SetUserTags(ctx context.Context, q UserTags) (Done, error)
	// DeleteUser removes a user and closes its connections.
	DeleteUser(ctx context.Context, q UserName) (Done, error)
}

// A UserName names a user.
type UserName struct {
	Name string `json:"name"`
}

// A NewUser is a user to be made.
type NewUser struct {
	UserPassword
	Tags []string `json:"tags,omitempty"`
}

// A UserPassword is a user with a password. It can be read from JSON, but not be
// written: then the password is masked.
type UserPassword struct {
	Name     string        `json:"name"`
	Password secret.String `json:"password"`
}

// UserTags are the tags a user is to have.
type UserTags struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}
