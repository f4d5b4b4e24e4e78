package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// VHost is one vhost.
	VHost = admin.VHost
	// SetTracing says whether a vhost is traced.
	SetTracing = admin.SetTracing
	// VHostsQuery asks for all vhosts.
	VHostsQuery = admin.VHostsQuery
)

// VHosts implements admin.VHosts.
func (c *Client) VHosts(ctx context.Context, q VHostsQuery) iter.Seq2[VHost, error] {
	return list[VHostsQuery, VHost](ctx, c, "/api/v1/vhosts", q)
}

// SetTracing implements admin.VHosts.
func (c *Client) SetTracing(ctx context.Context, o SetTracing) (Done, error) {
	return act[SetTracing, Done](ctx, c, "/api/v1/vhosts/trace", o)
}
