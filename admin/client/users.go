package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// User is one user.
	User = admin.User
	// UserQuery asks for all users.
	UserQuery = admin.UserQuery
	// Permission is what a user may do in a vhost.
	Permission = admin.Permission
	// TopicPermission limits routing keys.
	TopicPermission = admin.TopicPermission
	// PermissionQuery names a vhost or a user.
	PermissionQuery = admin.PermissionQuery
)

// Users implements admin.Users.
func (c *Client) Users(ctx context.Context, q UserQuery) iter.Seq2[User, error] {
	return list[UserQuery, User](ctx, c, "/api/v1/users", q)
}

// Permissions implements admin.Users.
func (c *Client) Permissions(ctx context.Context, q PermissionQuery) iter.Seq2[Permission, error] {
	return list[PermissionQuery, Permission](ctx, c, "/api/v1/permissions", q)
}

// TopicPermissions implements admin.Users.
func (c *Client) TopicPermissions(ctx context.Context, q PermissionQuery) iter.Seq2[TopicPermission, error] {
	return list[PermissionQuery, TopicPermission](ctx, c, "/api/v1/topic-permissions", q)
}
