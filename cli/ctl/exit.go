package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/internal/secret"
)

// Exit codes, those of RabbitMQ's tools.
const (
	exitOK          = 0
	exitUsage       = 64 // the command line is wrong
	exitData        = 65 // an argument is, or what it names is not there
	exitNoUser      = 67 // there is no such user
	exitUnavailable = 69 // the node can not be reached, or says no
	exitSoftware    = 70 // a fault of ours
	exitTemp        = 75 // it took too long
	exitDenied      = 77 // the socket belongs to another user of the machine
)

// A failure is why a verb ends, with its exit code. Its text is printed as it is.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

// failed returns what a verb that was carried out and failed ends with.
func (c *call) failed(code int, format string, args ...any) error {
	return &failure{code, "Error:\n" + fmt.Sprintf(format, args...)}
}

// invalid returns what a wrong command line ends with: the words, what was
// given, and how it is right.
func (c *call) invalid(code int, format string, args ...any) error {
	text := fmt.Sprintf("Error (argument validation): %s\nArguments given:\n\t%s\n\nUsage\n\n%s",
		fmt.Sprintf(format, args...), strings.Join(c.shown(), " "), c.usage())
	return &failure{code, text}
}

// shown is the command line as it may be repeated: without a password. The verb is
// looked for, because what is wrong may stand before it.
func (c *call) shown() []string {
	var v *verb
	at := slices.IndexFunc(c.line, func(word string) bool {
		v = find(c.tool, word)
		return v != nil && v.secret
	})
	if at < 0 {
		return c.line
	}
	line := slices.Clone(c.line)
	for i := at + 1; i < len(line); i++ {
		if (i > at+v.min || strings.HasPrefix(line[i], "-")) && !c.isOption(line[i]) {
			line[i] = secret.Mask
		}
	}
	return line
}

// isOption reports whether a word is the name of an option and nothing else: a
// password may begin with a dash.
func (c *call) isOption(word string) bool {
	_, ok := c.lookup(word)
	return ok
}

// explain makes a failure of what the client returned.
func explain(c *call, err error) *failure {
	var e *client.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), client.KindOf(err) == client.Timeout:
		return &failure{exitTemp, fmt.Sprintf("Error: operation %s on node %s timed out. Timeout value used: %d", c.verb.name, c.self.Node, c.timeout.Milliseconds())}
	case errors.Is(err, client.ErrNotRunning):
		return &failure{exitUnavailable, c.unreachable(err)}
	case errors.Is(err, client.ErrNotAllowed):
		return &failure{exitDenied, "Error: " + err.Error()}
	case client.KindOf(err) == client.AppStopped, client.KindOf(err) == client.AppRunning:
		refused := c.appStopped
		if client.KindOf(err) == client.AppRunning {
			refused = c.appRunning
		}
		var f *failure
		_ = errors.As(refused(), &f) // it always is one
		return f
	case errors.As(err, &e):
		switch {
		case e.Kind == client.NotFound && e.Thing == client.UserThing:
			return &failure{exitNoUser, fmt.Sprintf("Error:\nUser %q does not exist", oneLine(e.Name))}
		case e.Kind == client.NotFound && e.Thing == client.VHostThing:
			return &failure{exitData, fmt.Sprintf("Virtual host '%s' does not exist", oneLine(e.Name))}
		case e.Kind == client.Invalid:
			return &failure{exitData, "Error:\n" + e.Text}
		case e.Kind == client.Internal:
			return &failure{exitSoftware, "Error:\n" + e.Text}
		}
		return &failure{exitUnavailable, "Error:\n" + e.Text}
	}
	return &failure{exitUnavailable, "Error:\n" + err.Error()}
}

// unreachable says that no node answers, in the words that RabbitMQ's users
// look for, and what to do here.
func (c *call) unreachable(err error) string {
	name := c.nodeName
	if name == "" {
		name = "with data directory " + c.data
	} else {
		name = "'" + name + "'"
	}
	return fmt.Sprintf(`Error: unable to perform an operation on node %s. Please see diagnostics information and suggestions below.

Most common reasons for this are:

 * Target node is not running
 * It uses another data directory: name it with --data DIR or WARREN_DATA=DIR

DIAGNOSTICS
===========

%v`, name, err)
}
