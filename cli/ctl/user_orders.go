package ctl

import (
	"errors"
	"fmt"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func userOrderVerbs() []verb {
	const group = "Users"
	return []verb{
		{
			name: "add_user", tools: ctl, group: group, usage: "<username> [<password>]", min: 1, max: 2, secret: true,
			short:  "Creates a new user in the internal database. This user will have no permissions for any virtual hosts by default.",
			check:  userGiven,
			banner: func(c *call) string { return fmt.Sprintf("Adding user \"%s\" ...", c.args[0]) },
			run:    (*call).addUser,
		},
		{
			name: "change_password", tools: ctl, group: group, usage: "<username> [<password>]", min: 1, max: 2, secret: true,
			short: "Changes the user password",
			check: userGiven, banner: func(c *call) string { return fmt.Sprintf("Changing password for user \"%s\" ...", c.args[0]) },
			run: (*call).changePassword,
		},
		{
			name: "clear_password", tools: ctl, group: group, usage: "<username>", min: 1, max: 1,
			short: "Clears (resets) password and disables password login for a user",
			check: userGiven, banner: func(c *call) string { return fmt.Sprintf("Clearing password for user \"%s\" ...", c.args[0]) },
			run: func(c *call) error {
				_, err := c.node.ChangePassword(c.ctx, client.UserPassword{Name: c.args[0]})
				return c.noSuchUser(err)
			},
		},
		{
			name: "authenticate_user", tools: ctl, group: group, usage: "<username> [<password>]", min: 1, max: 2, secret: true,
			short: "Attempts to authenticate a user. Exits with a non-zero code if authentication fails.",
			check: userGiven, banner: func(c *call) string { return fmt.Sprintf("Authenticating user \"%s\" ...", c.args[0]) },
			run: (*call).authenticateUser,
		},
		{
			name: "set_user_tags", tools: ctl, group: group, usage: "<username> <tag> [...]", min: 1, max: -1,
			short: "Sets user tags", check: userGiven,
			banner: func(c *call) string {
				return fmt.Sprintf("Setting tags for user \"%s\" to [%s] ...", c.args[0], strings.Join(c.args[1:], ", "))
			},
			run: func(c *call) error {
				_, err := c.node.SetUserTags(c.ctx, client.UserTags{Name: c.args[0], Tags: c.args[1:]})
				return err
			},
		},
		{
			name: "delete_user", tools: ctl, group: group, usage: "<username>", min: 1, max: 1,
			short: "Removes a user from the internal database and closes its connections", check: userGiven,
			banner: func(c *call) string { return fmt.Sprintf("Deleting user \"%s\" ...", c.args[0]) },
			run: func(c *call) error {
				_, err := c.node.DeleteUser(c.ctx, client.UserName{Name: c.args[0]})
				return err
			},
		},
	}
}

func userGiven(c *call) error {
	if c.args[0] == "" {
		return c.invalid(exitData, "Bad argument: user cannot be an empty string")
	}
	return nil
}

// noSuchUser words the error as the verbs do that do not look for the user
// themselves.
func (c *call) noSuchUser(err error) error {
	var e *client.Error
	if errors.As(err, &e) && e.Kind == client.NotFound && e.Thing == client.UserThing {
		return c.failed(exitUnavailable, "{:no_such_user, \"%s\"}", oneLine(e.Name))
	}
	return err
}

func (c *call) addUser() error {
	password, err := c.password(1)
	if err != nil {
		return err
	}
	_, err = c.node.AddUser(c.ctx, client.NewUser{UserPassword: client.UserPassword{Name: c.args[0], Password: password}})
	if client.KindOf(err) == client.Exists {
		return c.failed(exitSoftware, "User \"%s\" already exists", oneLine(c.args[0]))
	}
	if err == nil && !c.quiet {
		c.say("Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to learn more.")
	}
	return err
}

func (c *call) changePassword() error {
	password, err := c.password(1)
	if err != nil {
		return err
	}
	_, err = c.node.ChangePassword(c.ctx, client.UserPassword{Name: c.args[0], Password: password})
	return err
}

func (c *call) authenticateUser() error {
	password, err := c.password(1)
	if err != nil {
		return err
	}
	var e *client.Error
	_, err = c.node.Authenticate(c.ctx, client.UserPassword{Name: c.args[0], Password: password})
	if errors.As(err, &e) && e.Kind == client.Denied {
		return c.failed(exitData, "Error: failed to authenticate user \"%s\"\n%s", oneLine(c.args[0]), oneLine(e.Text))
	}
	if err == nil {
		c.say("Success")
	}
	return err
}
