package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

const (
	userGroup   = "Users"
	accessGroup = "Access Control"
)

func userVerbs() []verb {
	return []verb{
		{
			name: "list_users", tools: ctl | diagnostics, group: userGroup, timeout: listTime, short: "List user names and tags",
			usage: "[--no-table-headers]", banner: func(*call) string { return "Listing users ..." },
			run: func(c *call) error {
				return list(c, []column[client.User]{
					{"user", func(u *client.User) any { return u.Name }},
					{"tags", func(u *client.User) any { return atoms(u.Tags) }},
				}, c.node.Users(c.ctx, client.UserQuery{}))
			},
		},
		{
			name: "list_permissions", tools: ctl | diagnostics, group: accessGroup, timeout: listTime, blank: true,
			short: "Lists user permissions in a virtual host", usage: "[--vhost <vhost>] [--no-table-headers]",
			banner: func(c *call) string { return fmt.Sprintf("Listing permissions for vhost %q ...", c.vhost) },
			run: func(c *call) error {
				return list(c, permissionColumns("user"), c.node.Permissions(c.ctx, client.PermissionQuery{VHost: c.vhost}))
			},
		},
		{
			name: "list_user_permissions", tools: ctl | diagnostics, group: accessGroup, min: 1, max: 1, timeout: listTime, blank: true,
			short: "Lists permissions of a user across all virtual hosts", usage: "[--no-table-headers] <username>",
			banner: func(c *call) string { return fmt.Sprintf("Listing permissions for user %q ...", c.args[0]) },
			run: func(c *call) error {
				return c.noSuchUser(list(c, permissionColumns("vhost"), c.node.Permissions(c.ctx, client.PermissionQuery{User: c.args[0]})))
			},
		},
		{
			name: "list_topic_permissions", tools: ctl | diagnostics, group: accessGroup, timeout: listTime, blank: true,
			short: "Lists topic permissions in a virtual host", usage: "[--vhost <vhost>] [--no-table-headers]",
			banner: func(c *call) string { return fmt.Sprintf("Listing topic permissions for vhost %q ...", c.vhost) },
			run: func(c *call) error {
				return list(c, topicColumns("user"), c.node.TopicPermissions(c.ctx, client.PermissionQuery{VHost: c.vhost}))
			},
		},
		{
			name: "list_user_topic_permissions", tools: ctl | diagnostics, group: accessGroup, min: 1, max: 1, timeout: listTime, blank: true,
			short: "Lists user topic permissions", usage: "[--no-table-headers] <username>",
			banner: func(c *call) string { return fmt.Sprintf("Listing topic permissions for user %q ...", c.args[0]) },
			run: func(c *call) error {
				return c.noSuchUser(list(c, topicColumns("vhost"), c.node.TopicPermissions(c.ctx, client.PermissionQuery{User: c.args[0]})))
			},
		},
	}
}

// permissionColumns begin with what the question did not name.
func permissionColumns(first string) []column[client.Permission] {
	return []column[client.Permission]{
		{first, func(p *client.Permission) any {
			if first == "user" {
				return p.User
			}
			return p.VHost
		}},
		{"configure", func(p *client.Permission) any { return p.Configure }},
		{"write", func(p *client.Permission) any { return p.Write }},
		{"read", func(p *client.Permission) any { return p.Read }},
	}
}

func topicColumns(first string) []column[client.TopicPermission] {
	return []column[client.TopicPermission]{
		{first, func(p *client.TopicPermission) any {
			if first == "user" {
				return p.User
			}
			return p.VHost
		}},
		{"exchange", func(p *client.TopicPermission) any { return p.Exchange }},
		{"write", func(p *client.TopicPermission) any { return p.Write }},
		{"read", func(p *client.TopicPermission) any { return p.Read }},
	}
}
