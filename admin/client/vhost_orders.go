package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Requests of the orders about vhosts.
type (
	// NewVHost is a vhost to be made.
	NewVHost = admin.NewVHost
	// VHostTags are a vhost's tags.
	VHostTags = admin.VHostTags
	// VHostName names a vhost.
	VHostName = admin.VHostName
)

// AddVHost implements admin.VHostOrders.
func (c *Client) AddVHost(ctx context.Context, q NewVHost) (Done, error) {
	return act[NewVHost, Done](ctx, c, "/api/v1/vhosts/add", q)
}

// SetVHostTags implements admin.VHostOrders.
func (c *Client) SetVHostTags(ctx context.Context, q VHostTags) (Done, error) {
	return act[VHostTags, Done](ctx, c, "/api/v1/vhosts/tags", q)
}

// DeleteVHost implements admin.VHostOrders.
func (c *Client) DeleteVHost(ctx context.Context, q VHostName) (Done, error) {
	return act[VHostName, Done](ctx, c, "/api/v1/vhosts/delete", q)
}
