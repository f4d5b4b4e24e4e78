package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Status is what a node answers to Status.
	Status = admin.Status
	// Shard is one shard of a Status.
	Shard = admin.Shard
	// Identity names a node.
	Identity = admin.Identity
)

// Status implements admin.Statuses.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[struct{}, Status](ctx, c, "/api/v1/status", struct{}{})
}

// Identity implements admin.Statuses.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return ask[struct{}, Identity](ctx, c, "/api/v1/identity", struct{}{})
}
