package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Requests and values of limits.
type (
	// LimitsOf names a vhost or a user.
	LimitsOf = admin.LimitsOf
	// NewLimits are limits to be set.
	NewLimits = admin.NewLimits
	// LimitsList is what limits a vhost or user has.
	LimitsList = admin.LimitsList
)

// VHostLimits implements admin.Limits.
func (c *Client) VHostLimits(ctx context.Context, q LimitsOf) iter.Seq2[LimitsList, error] {
	return list[LimitsOf, LimitsList](ctx, c, "/api/v1/limits/vhosts", q)
}

// SetVHostLimits implements admin.Limits.
func (c *Client) SetVHostLimits(ctx context.Context, q NewLimits) (Done, error) {
	return act[NewLimits, Done](ctx, c, "/api/v1/limits/vhosts/set", q)
}

// ClearVHostLimits implements admin.Limits.
func (c *Client) ClearVHostLimits(ctx context.Context, q LimitsOf) (Done, error) {
	return act[LimitsOf, Done](ctx, c, "/api/v1/limits/vhosts/clear", q)
}

// UserLimits implements admin.Limits.
func (c *Client) UserLimits(ctx context.Context, q LimitsOf) iter.Seq2[LimitsList, error] {
	return list[LimitsOf, LimitsList](ctx, c, "/api/v1/limits/users", q)
}

// SetUserLimits implements admin.Limits.
func (c *Client) SetUserLimits(ctx context.Context, q NewLimits) (Done, error) {
	return act[NewLimits, Done](ctx, c, "/api/v1/limits/users/set", q)
}
