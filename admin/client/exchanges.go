package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Exchange is one exchange.
	Exchange = admin.Exchange
	// Binding is one binding.
	Binding = admin.Binding
	// VHostQuery names a vhost.
	VHostQuery = admin.VHostQuery
)

// Exchanges implements admin.Exchanges.
func (c *Client) Exchanges(ctx context.Context, q VHostQuery) iter.Seq2[Exchange, error] {
	return list[VHostQuery, Exchange](ctx, c, "/api/v1/exchanges", q)
}

// Bindings implements admin.Exchanges.
func (c *Client) Bindings(ctx context.Context, q VHostQuery) iter.Seq2[Binding, error] {
	return list[VHostQuery, Binding](ctx, c, "/api/v1/bindings", q)
}
