package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Requests of the orders about users.
type (
	// NewUser is a user to be made.
	NewUser = admin.NewUser
	// UserPassword is a user with a password.
	UserPassword = admin.UserPassword
	// UserTags are a user's tags.
	UserTags = admin.UserTags
	// UserName names a user.
	UserName = admin.UserName
	// Done is the answer of an order that has nothing to say.
	Done = admin.Done
)

// bare is a UserPassword on its way to the node: the only place where one is
// written out.
type bare struct {
	Name     string   `json:"name"`
	Password string   `json:"password"`
	Tags     []string `json:"tags,omitempty"`
}

// AddUser implements admin.UserOrders.
func (c *Client) AddUser(ctx context.Context, q NewUser) (Done, error) {
	return act[bare, Done](ctx, c, "/api/v1/users/add", bare{q.Name, q.Password.Reveal(), q.Tags})
}

// ChangePassword implements admin.UserOrders.
func (c *Client) ChangePassword(ctx context.Context, q UserPassword) (Done, error) {
	return act[bare, Done](ctx, c, "/api/v1/users/password", bare{Name: q.Name, Password: q.Password.Reveal()})
}

// Authenticate implements admin.UserOrders.
func (c *Client) Authenticate(ctx context.Context, q UserPassword) (Done, error) {
	return act[bare, Done](ctx, c, "/api/v1/users/authenticate", bare{Name: q.Name, Password: q.Password.Reveal()})
}

// SetUserTags implements admin.UserOrders.
func (c *Client) SetUserTags(ctx context.Context, q UserTags) (Done, error) {
	return act[UserTags, Done](ctx, c, "/api/v1/users/tags", q)
}

// DeleteUser implements admin.UserOrders.
func (c *Client) DeleteUser(ctx context.Context, q UserName) (Done, error) {
	return act[UserName, Done](ctx, c, "/api/v1/users/delete", q)
}
