package ctl

import "github.com/warrenmq/warren/admin/client"

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
	}
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
