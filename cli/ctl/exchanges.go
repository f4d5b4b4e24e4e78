package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

func exchangeVerbs() []verb {
	exchanges := func(c *call) ([]column[client.Exchange], error) { return choose(c, exchangeColumns(), "name", "type") }
	bindings := func(c *call) ([]column[client.Binding], error) {
		return choose(c, bindingColumns(), "source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments")
	}
	return []verb{
		{
			name: "list_exchanges", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short: "Lists exchanges", usage: "[--vhost <vhost>] [--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := exchanges(c); return err },
			banner: func(c *call) string { return fmt.Sprintf("Listing exchanges for vhost %s ...", c.vhost) },
			run: func(c *call) error {
				cols, err := exchanges(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.Exchanges(c.ctx, client.VHostQuery{VHost: c.vhost}))
			},
		},
		{
			name: "list_bindings", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short: "Lists all bindings on a vhost", usage: "[--vhost <vhost>] [--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := bindings(c); return err },
			banner: func(c *call) string { return fmt.Sprintf("Listing bindings for vhost %s...", c.vhost) },
			run: func(c *call) error {
				cols, err := bindings(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.Bindings(c.ctx, client.VHostQuery{VHost: c.vhost}))
			},
		},
	}
}

func exchangeColumns() []column[client.Exchange] {
	return []column[client.Exchange]{
		{"name", func(x *client.Exchange) any { return x.Name }},
		{"type", func(x *client.Exchange) any { return atom(x.Type) }},
		{"durable", func(x *client.Exchange) any { return x.Durable }},
		{"auto_delete", func(x *client.Exchange) any { return x.AutoDelete }},
		{"internal", func(x *client.Exchange) any { return x.Internal }},
		{"arguments", func(x *client.Exchange) any { return table(x.Arguments) }},
		{"policy", func(x *client.Exchange) any { return x.Policy }},
		{"messages_delayed", func(x *client.Exchange) any {
			if x.Delayed == nil {
				return ""
			}
			return *x.Delayed
		}},
	}
}

func bindingColumns() []column[client.Binding] {
	return []column[client.Binding]{
		{"source_name", func(b *client.Binding) any { return b.Source }},
		{"source_kind", func(*client.Binding) any { return atom("exchange") }},
		{"destination_name", func(b *client.Binding) any { return b.Destination }},
		{"destination_kind", func(b *client.Binding) any { return atom(b.DestinationKind) }},
		{"routing_key", func(b *client.Binding) any { return b.RoutingKey }},
		{"arguments", func(b *client.Binding) any { return table(b.Arguments) }},
		{"vhost", func(b *client.Binding) any { return b.VHost }},
	}
}
