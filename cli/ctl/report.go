package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

func reportVerbs() []verb {
	return []verb{{
		name: "report", tools: ctl | diagnostics, group: monitoring, timeout: startTime,
		short:  "Generate a server status report containing a concatenation of all server status information for support purposes",
		banner: func(c *call) string { return fmt.Sprintf("Reporting server status of node %s ...\n", c.self.Node) },
		run:    (*call).report,
	}}
}

// report runs the verbs that describe the node, then those that describe each
// vhost.
func (c *call) report() error {
	for _, line := range [][]string{
		{"status"},
		{"cluster_status"},
		{"environment"},
		{"list_users"},
		{"list_vhosts", "name", "tracing", "description"},
		{"list_global_parameters"},
		{"list_connections", "pid", "name", "user", "vhost", "state", "protocol", "channels", "timeout", "recv_oct", "send_oct", "send_pend", "connected_at"},
		{"list_channels", "pid", "name", "user", "vhost", "consumer_count", "messages_unacknowledged", "messages_unconfirmed", "prefetch_count", "global_prefetch_count"},
	} {
		if err := c.part("/", line); err != nil {
			return err
		}
	}
	for h, err := range c.node.VHosts(c.ctx, client.VHostsQuery{}) {
		if err != nil {
			return err
		}
		for _, line := range [][]string{
			{"list_queues", "pid", "name", "durable", "auto_delete", "exclusive", "type", "policy", "arguments", "state", "messages_ready", "messages_unacknowledged", "message_bytes", "consumers"},
			{"list_exchanges", "name", "type", "durable", "auto_delete", "internal", "policy", "arguments"},
			{"list_bindings"},
			{"list_consumers"},
			{"list_permissions"},
			{"list_policies"},
			{"list_operator_policies"},
			{"list_parameters"},
		} {
			if err := c.part(h.Name, line); err != nil {
				return err
			}
		}
	}
	c.banner("\nEnd of server status report.")
	return nil
}

// part runs one verb of the report for a vhost. One that fails says so in its
// place: the others may say why.
func (c *call) part(vhost string, line []string) error {
	sub := *c
	sub.verb, sub.args, sub.vhost, sub.line = find("", line[0]), line[1:], vhost, line
	sub.format, sub.given = asTable, map[string]string{}
	var err error
	if sub.form, err = sub.formatter(); err != nil {
		return err
	}
	if sub.verb.banner != nil {
		sub.banner("%s", sub.verb.banner(&sub))
	}
	if err := sub.verb.run(&sub); err != nil {
		if c.ctx.Err() != nil {
			return err
		}
		fmt.Fprintln(c.w.Stdout, explain(&sub, err).text)
	}
	fmt.Fprintln(c.w.Stdout)
	return nil
}
