package ctl

import "fmt"

func statusVerbs() []verb {
	return []verb{
		{
			name: "ping", tools: ctl | diagnostics, group: "Monitoring, observability and health checks",
			short: "Checks that the node answers", timeout: listTime,
			banner: func(c *call) string {
				return fmt.Sprintf("Will ping %s. This only checks if the node's process answers. Timeout: %d ms.", c.self.Node, c.timeout.Milliseconds())
			},
			run: func(c *call) error { c.say("Ping succeeded"); return nil },
		},
	}
}
