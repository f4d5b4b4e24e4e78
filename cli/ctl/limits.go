package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func limitVerbs() []verb {
	const vhosts, users = "Virtual hosts", "Users"
	return []verb{
		{
			name: "set_vhost_limits", tools: ctl, group: vhosts, short: "Sets virtual host limits", usage: "[--vhost <vhost>] <definition>", min: 1, max: 1,
			banner: func(c *call) string {
				return fmt.Sprintf("Setting vhost limits to \"%s\" for vhost \"%s\" ...", c.args[0], c.vhost)
			},
			run: func(c *call) error {
				if err := c.isJSON(c.args[0]); err != nil {
					return err
				}
				_, err := c.node.SetVHostLimits(c.ctx, client.NewLimits{Name: c.vhost, Limits: json.RawMessage(c.args[0])})
				return c.parameterError(err)
			},
		},
		{
			name: "clear_vhost_limits", tools: ctl, group: vhosts, short: "Clears virtual host limits", usage: "[--vhost <vhost>]",
			banner: func(c *call) string { return fmt.Sprintf("Clearing vhost \"%s\" limits ...", c.vhost) },
			run: func(c *call) error {
				_, err := c.node.ClearVHostLimits(c.ctx, client.LimitsOf{Name: c.vhost})
				return c.parameterError(err)
			},
		},
		{
			name: "list_vhost_limits", tools: ctl | diagnostics, group: vhosts, short: "Displays configured virtual host limits",
			usage: "[--vhost <vhost>] [--global] [--no-table-headers]", options: []option{own("global", "")}, timeout: listTime,
			banner: func(c *call) string {
				if c.is("global") {
					return "Listing limits for all vhosts ..."
				}
				return fmt.Sprintf("Listing limits for vhost \"%s\" ...", c.vhost)
			},
			run: func(c *call) error {
				if c.is("global") {
					return list(c, limitColumns("vhost"), c.node.VHostLimits(c.ctx, client.LimitsOf{}))
				}
				return c.limitsOfOne(c.node.VHostLimits(c.ctx, client.LimitsOf{Name: c.vhost}), "")
			},
		},
		{
			name: "set_user_limits", tools: ctl, group: users, short: "Sets user limits", usage: "<username> <definition>", min: 2, max: 2,
			banner: func(c *call) string {
				return fmt.Sprintf("Setting user limits to \"%s\" for user \"%s\" ...", c.args[1], c.args[0])
			},
			run: func(c *call) error {
				if err := c.isJSON(c.args[1]); err != nil {
					return err
				}
				return c.setUserLimits(json.RawMessage(c.args[1]))
			},
		},
		{
			name: "clear_user_limits", tools: ctl, group: users, short: "Clears user connection/channel limits", usage: "<username> <limit_type> | all", min: 2, max: 2,
			banner: func(c *call) string {
				if c.args[1] == "all" {
					return fmt.Sprintf("Clearing all limits for user \"%s\" ...", c.args[0])
				}
				return fmt.Sprintf("Clearing \"%s\" limit for user \"%s\" ...", c.args[1], c.args[0])
			},
			run: func(c *call) error {
				none := map[string]int{c.args[1]: -1}
				if c.args[1] == "all" {
					none = map[string]int{"max-connections": -1, "max-channels": -1}
				}
				text, err := json.Marshal(none)
				if err != nil {
					return err
				}
				return c.setUserLimits(text)
			},
		},
		{
			name: "list_user_limits", tools: ctl | diagnostics, group: users, short: "Displays configured user limits",
			usage: "[--user <username>] [--global] [--no-table-headers]", options: []option{own("global", ""), own("user", "username")}, timeout: listTime,
			banner: func(c *call) string {
				if c.is("global") {
					return "Listing limits for all users ..."
				}
				return fmt.Sprintf("Listing limits for user \"%s\" ...", c.limitedUser())
			},
			run: func(c *call) error {
				if c.is("global") {
					return list(c, limitColumns("user"), c.node.UserLimits(c.ctx, client.LimitsOf{}))
				}
				return c.noSuchUser(c.limitsOfOne(c.node.UserLimits(c.ctx, client.LimitsOf{Name: c.limitedUser()}), "{}"))
			},
		},
	}
}

func (c *call) limitedUser() string {
	if name, ok := c.opt("user"); ok {
		return name
	}
	return "guest"
}

func (c *call) setUserLimits(text json.RawMessage) error {
	_, err := c.node.SetUserLimits(c.ctx, client.NewLimits{Name: c.args[0], Limits: text})
	var e *client.Error
	if errors.As(err, &e) && e.Kind == client.Invalid { // to RabbitMQ these are no parameter
		why := strings.TrimSpace(strings.TrimPrefix(e.Text, "Validation failed"))
		return c.failed(exitUnavailable, "%s", strings.Replace(why, "in limits", "in user-limits", 1))
	}
	return c.noSuchUser(err)
}

func limitColumns(name string) []column[client.LimitsList] {
	return []column[client.LimitsList]{
		{name, func(l *client.LimitsList) any { return l.Name }},
		{"limits", func(l *client.LimitsList) any { return string(l.Limits) }},
	}
}

// limitsOfOne prints the limits of one vhost or user, none as RabbitMQ does.
func (c *call) limitsOfOne(all iter.Seq2[client.LimitsList, error], none string) error {
	for l, err := range all {
		if err != nil {
			return err
		}
		text := string(l.Limits)
		if text == "{}" {
			text = none
		}
		c.form.value(text)
	}
	return nil
}
