package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Connection is one open connection.
	Connection = admin.Connection
	// Channel is one channel.
	Channel = admin.Channel
	// Consumer is one consumer.
	Consumer = admin.Consumer
	// ConnectionQuery says which connections.
	ConnectionQuery = admin.ConnectionQuery
	// CloseConnections says which connections go.
	CloseConnections = admin.CloseConnections
	// Closed counts connections.
	Closed = admin.Closed
)

// Connections implements admin.Connections.
func (c *Client) Connections(ctx context.Context, q ConnectionQuery) iter.Seq2[Connection, error] {
	return list[ConnectionQuery, Connection](ctx, c, "/api/v1/connections", q)
}

// Channels implements admin.Connections.
func (c *Client) Channels(ctx context.Context, q ConnectionQuery) iter.Seq2[Channel, error] {
	return list[ConnectionQuery, Channel](ctx, c, "/api/v1/channels", q)
}

// Consumers implements admin.Connections.
func (c *Client) Consumers(ctx context.Context, q VHostQuery) iter.Seq2[Consumer, error] {
	return list[VHostQuery, Consumer](ctx, c, "/api/v1/consumers", q)
}

// CloseConnections implements admin.Connections.
func (c *Client) CloseConnections(ctx context.Context, o CloseConnections) (Closed, error) {
	return act[CloseConnections, Closed](ctx, c, "/api/v1/connections/close", o)
}
