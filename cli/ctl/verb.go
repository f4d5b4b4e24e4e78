package ctl

import (
	"slices"
	"strings"
	"time"
)

// A tool is one of the programs that the verbs are known under, in bits.
type tool uint8

const (
	ctl tool = 1 << iota
	diagnostics
	plugins
	queuesTool
	upgradeTool
)

// A program is a tool and its name.
type program struct {
	name string
	tool tool
}

// tools are the names of the program.
func tools() []program {
	return []program{
		{"rabbitmqctl", ctl},
		{"rabbitmq-diagnostics", diagnostics},
		{"rabbitmq-plugins", plugins},
		{"rabbitmq-queues", queuesTool},
		{"rabbitmq-upgrade", upgradeTool},
	}
}

// listTime is how long a list may take unless --timeout says otherwise.
const listTime = time.Minute

// A verb is one command.
type verb struct {
	name  string
	tools tool
	group string // its heading in the help
	short string // what it does, in a line
	usage string // what follows the name in the usage line
	// min and max are how many arguments it takes; max -1 is any number.
	min, max int
	options  []option
	timeout  time.Duration // unless given; 0 is none
	local    bool          // asks no node
	needs    needs         // what the node has to be at
	loose    bool          // takes any options
	secret   bool          // what follows the first argument is not repeated in errors
	// check looks at the arguments before the node is asked; may be nil.
	check func(c *call) error
	// banner announces the work; may be nil.
	banner func(c *call) string
	run    func(c *call) error
	blank  bool // an empty list is an empty line
	// absent runs instead of run if the node can not be asked, with the
	// reason; nil: that fails the verb.
	absent func(c *call, err error) error
}

// verbs are all commands.
func verbs() []verb {
	return slices.Concat(
		helpVerbs(), statusVerbs(), queueVerbs(), exchangeVerbs(), connectionVerbs(), closeVerbs(),
		userVerbs(), vhostVerbs(), policyVerbs(),
		processVerbs(), lifeVerbs(), clusterVerbs(), checkVerbs(), reportVerbs(), refusedVerbs(), watermarkVerbs(),
		replicaVerbs(), upgradeVerbs(),
		userOrderVerbs(), permissionOrderVerbs(), vhostOrderVerbs(), definitionVerbs(),
		policyOrderVerbs(), limitVerbs(), pluginVerbs(), hashVerbs(),
	)
}

// find returns the verb that a tool has under a name.
func find(toolName, name string) *verb {
	t := ctl
	for _, p := range tools() {
		if p.name == toolName {
			t = p.tool
		}
	}
	for _, v := range verbs() {
		if v.name == name && v.tools&t != 0 {
			return &v
		}
	}
	return nil
}

// validate looks at what does not need the node.
func (c *call) validate() error {
	var err error
	if c.form, err = c.formatter(); err != nil {
		return err
	}
	switch {
	case len(c.args) < c.verb.min:
		return c.invalid(exitUsage, "not enough arguments.")
	case c.verb.max >= 0 && len(c.args) > c.verb.max:
		return c.invalid(exitUsage, "too many arguments.")
	case c.verb.check != nil:
		return c.verb.check(c)
	}
	return nil
}

// usage is the line that says how the verb is called.
func (c *call) usage() string {
	line := c.tool + " [--node <node>] [--data <dir>] [--timeout <timeout>] [--quiet] "
	if c.verb == nil {
		return line + "<command> [<command options>]"
	}
	return strings.TrimSuffix(line+c.verb.name+" "+c.verb.usage, " ")
}
