package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Requests of the orders about permissions.
type (
	// PermissionOf says whose permission is meant.
	PermissionOf = admin.PermissionOf
	// NewPermission is three patterns.
	NewPermission = admin.NewPermission
	// TopicPermissionOf says whose permission is meant.
	TopicPermissionOf = admin.TopicPermissionOf
	// NewTopicPermission is two patterns.
	NewTopicPermission = admin.NewTopicPermission
)

// SetPermission implements admin.PermissionOrders.
func (c *Client) SetPermission(ctx context.Context, q NewPermission) (Done, error) {
	return act[NewPermission, Done](ctx, c, "/api/v1/permissions/set", q)
}

// ClearPermission implements admin.PermissionOrders.
func (c *Client) ClearPermission(ctx context.Context, q PermissionOf) (Done, error) {
	return act[PermissionOf, Done](ctx, c, "/api/v1/permissions/clear", q)
}

// SetTopicPermission implements admin.PermissionOrders.
func (c *Client) SetTopicPermission(ctx context.Context, q NewTopicPermission) (Done, error) {
	return act[NewTopicPermission, Done](ctx, c, "/api/v1/topic-permissions/set", q)
}

// ClearTopicPermission implements admin.PermissionOrders.
func (c *Client) ClearTopicPermission(ctx context.Context, q TopicPermissionOf) (Done, error) {
	return act[TopicPermissionOf, Done](ctx, c, "/api/v1/topic-permissions/clear", q)
}
