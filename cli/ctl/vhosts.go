package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

const vhostGroup = "Virtual hosts"

func vhostVerbs() []verb {
	chosen := func(c *call) ([]column[client.VHost], error) { return choose(c, vhostColumns(), "name") }
	return []verb{
		{
			name: "list_vhosts", tools: ctl | diagnostics, group: accessGroup, max: -1, timeout: listTime,
			short: "Lists virtual hosts", usage: "[--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := chosen(c); return err },
			banner: func(*call) string { return "Listing vhosts ..." },
			run: func(c *call) error {
				cols, err := chosen(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.VHosts(c.ctx, client.VHostsQuery{}))
			},
		},
		{
			name: "trace_on", tools: ctl | diagnostics, group: vhostGroup, timeout: listTime, usage: "[--vhost <vhost>]",
			short:  "Has copies of all messages of a vhost go to amq.rabbitmq.trace",
			banner: func(c *call) string { return fmt.Sprintf("Starting tracing for vhost %q ...", c.vhost) },
			run:    func(c *call) error { return c.trace(true, "Trace enabled for vhost %s") },
		},
		{
			name: "trace_off", tools: ctl | diagnostics, group: vhostGroup, timeout: listTime, usage: "[--vhost <vhost>]",
			short:  "Ends what trace_on began",
			banner: func(c *call) string { return fmt.Sprintf("Stopping tracing for vhost %q ...", c.vhost) },
			run:    func(c *call) error { return c.trace(false, "Trace disabled for vhost %s") },
		},
	}
}

func (c *call) trace(on bool, done string) error {
	if _, err := c.node.SetTracing(c.ctx, client.SetTracing{VHost: c.vhost, On: on}); err != nil {
		return err
	}
	c.say(done, c.vhost)
	return nil
}

func vhostColumns() []column[client.VHost] {
	return []column[client.VHost]{
		{"name", func(h *client.VHost) any { return h.Name }},
		{"description", func(h *client.VHost) any { return h.Description }},
		{"tags", func(h *client.VHost) any { return atoms(h.Tags) }},
		{"default_queue_type", func(h *client.VHost) any {
			if h.DefaultQueueType == "" {
				return atom("undefined")
			}
			return h.DefaultQueueType
		}},
		{"tracing", func(h *client.VHost) any { return h.Tracing }},
	}
}
