package ctl

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

func permissionOrderVerbs() []verb {
	const group = "Access Control"
	return []verb{
		{
			name: "set_permissions", tools: ctl, group: group, usage: "[--vhost <vhost>] <username> <conf> <write> <read>", min: 4, max: 4,
			short: "Sets user permissions for a vhost",
			banner: func(c *call) string {
				return fmt.Sprintf("Setting permissions for user \"%s\" in vhost \"%s\" ...", c.args[0], c.vhost)
			},
			run: func(c *call) error {
				q := client.NewPermission{PermissionOf: c.permissionOf(), Configure: c.args[1], Write: c.args[2], Read: c.args[3]}
				_, err := c.node.SetPermission(c.ctx, q)
				return c.rightsError(err)
			},
		},
		{
			name: "clear_permissions", tools: ctl, group: group, usage: "[--vhost <vhost>] <username>", min: 1, max: 1,
			short: "Revokes user permissions for a vhost",
			banner: func(c *call) string {
				return fmt.Sprintf("Clearing permissions for user \"%s\" in vhost \"%s\" ...", c.args[0], c.vhost)
			},
			run: func(c *call) error {
				_, err := c.node.ClearPermission(c.ctx, c.permissionOf())
				return c.rightsError(err)
			},
		},
		{
			name: "set_topic_permissions", tools: ctl, group: group, usage: "[--vhost <vhost>] <username> <exchange> <write> <read>", min: 4, max: 4,
			short: "Sets user topic permissions for an exchange",
			banner: func(c *call) string {
				return fmt.Sprintf("Setting topic permissions on \"%s\" for user \"%s\" in vhost \"%s\" ...", c.args[1], c.args[0], c.vhost)
			},
			run: func(c *call) error {
				of := client.TopicPermissionOf{PermissionOf: c.permissionOf(), Exchange: c.args[1]}
				_, err := c.node.SetTopicPermission(c.ctx, client.NewTopicPermission{TopicPermissionOf: of, Write: c.args[2], Read: c.args[3]})
				return c.rightsError(err)
			},
		},
		{
			name: "clear_topic_permissions", tools: ctl, group: group, usage: "[--vhost <vhost>] <username> [<exchange>]", min: 1, max: 2,
			short: "Clears user topic permissions for a vhost or exchange",
			banner: func(c *call) string {
				if len(c.args) > 1 {
					return fmt.Sprintf("Clearing topic permissions on \"%s\" for user \"%s\" in vhost \"%s\" ...", c.args[1], c.args[0], c.vhost)
				}
				return fmt.Sprintf("Clearing topic permissions for user \"%s\" in vhost \"%s\" ...", c.args[0], c.vhost)
			},
			run: func(c *call) error {
				of := client.TopicPermissionOf{PermissionOf: c.permissionOf()}
				if len(c.args) > 1 {
					of.Exchange = c.args[1]
				}
				_, err := c.node.ClearTopicPermission(c.ctx, of)
				return c.rightsError(err)
			},
		},
	}
}

func (c *call) permissionOf() client.PermissionOf {
	return client.PermissionOf{User: c.args[0], VHost: c.vhost}
}

// rightsError words errors as the verbs about permissions do.
func (c *call) rightsError(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Kind == client.NotFound && e.Thing == client.UserThing:
		return c.failed(exitNoUser, "User %s does not exist", oneLine(e.Name))
	case e.Kind == client.NotFound && e.Thing == client.VHostThing:
		return c.failed(exitUnavailable, "Virtual host %s does not exist", oneLine(e.Name))
	case e.Kind == client.Invalid && e.Thing == client.PermissionThing:
		return c.failed(exitUnavailable, "{:invalid_regexp, '%s'}: %s", oneLine(e.Name), oneLine(e.Text))
	}
	return err
}
