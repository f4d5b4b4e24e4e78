package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of plugins.
type (
	// PluginsQuery asks for all plugins.
	PluginsQuery = admin.PluginsQuery
	// Plugin is a feature under RabbitMQ's name for it.
	Plugin = admin.Plugin
)

// Plugins implements admin.Plugins.
func (c *Client) Plugins(ctx context.Context, q PluginsQuery) iter.Seq2[Plugin, error] {
	return list[PluginsQuery, Plugin](ctx, c, "/api/v1/plugins", q)
}
