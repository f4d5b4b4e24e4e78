package ctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func vhostOrderVerbs() []verb {
	const group = "Virtual hosts"
	return []verb{
		{
			name: "add_vhost", tools: ctl, group: group, min: 1, max: 1, short: "Creates a virtual host",
			usage:   "<vhost> [--description <description> --tags \"<tag1>,<tag2>,<...>\" --default-queue-type <quorum|classic|stream>]",
			options: []option{own("description", "text"), own("tags", "tags"), own("default-queue-type", "type")},
			banner:  func(c *call) string { return fmt.Sprintf("Adding vhost \"%s\" ...", c.args[0]) },
			run:     (*call).addVHost,
		},
		{
			name: "set_vhost_tags", tools: ctl, group: group, min: 1, max: -1, short: "Sets virtual host tags", usage: "<vhost> <tag> [...]",
			banner: func(c *call) string {
				return fmt.Sprintf("Setting tags for virtual host \"%s\" to [%s] ...", c.args[0], strings.Join(c.args[1:], ", "))
			},
			run: func(c *call) error {
				_, err := c.node.SetVHostTags(c.ctx, client.VHostTags{Name: c.args[0], Tags: c.args[1:]})
				return err
			},
		},
		{
			name: "delete_vhost", tools: ctl, group: group, min: 1, max: 1, usage: "<vhost>",
			short:  "Deletes a virtual host with everything in it, and closes its connections",
			banner: func(c *call) string { return fmt.Sprintf("Deleting vhost \"%s\" ...", c.args[0]) },
			run: func(c *call) error {
				_, err := c.node.DeleteVHost(c.ctx, client.VHostName{Name: c.args[0]})
				return err
			},
		},
	}
}

func (c *call) addVHost() error {
	q := client.NewVHost{Name: c.args[0]}
	q.Description, _ = c.opt("description")
	q.DefaultQueueType, _ = c.opt("default-queue-type")
	if t, ok := c.opt("tags"); ok {
		for tag := range strings.SplitSeq(t, ",") {
			q.Tags = append(q.Tags, strings.TrimSpace(tag))
		}
	}
	_, err := c.node.AddVHost(c.ctx, q)
	var e *client.Error
	if errors.As(err, &e) && e.Kind == client.Invalid && e.Thing == client.QueueThing {
		return c.failed(exitUnavailable, "invalid_queue_type: %s", e.Text)
	}
	return err
}
