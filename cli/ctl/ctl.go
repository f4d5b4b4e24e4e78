// Package ctl is the operator's command line that RabbitMQ's users know:
// `warren ctl VERB`, and the same verbs under the names rabbitmqctl,
// rabbitmq-diagnostics, rabbitmq-plugins, rabbitmq-queues and rabbitmq-upgrade. It owns the verbs,
// their texts, columns and exit codes, and asks the node of one data directory
// through admin/client. It decides nothing and starts no goroutine.
//
// A verb is a value of type verb in a function that verbs() lists: its name, the
// usage line, how many arguments, the options of its own, the banner that is
// printed before the node is asked, and run. What run needs is in its *call: the
// arguments, the options, the client, and the printing:
//
//	list(c, columns, c.columns(columns, "name"), c.node.Queues(...))  // rows, by any formatter
//	c.say("Trace enabled for vhost %s", c.vhost)                      // silent with -s
//	return c.failed(exitNoUser, "User %q does not exist", name)       // "Error:" and the exit code
//
// Options may stand anywhere, as rabbitmqctl takes them. One resource is one
// file, called as its file in package admin.
package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin/client"
)

// A World is what the verbs touch outside their arguments.
type World struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time
	// Alive reports whether there is a process of this machine with an id.
	Alive   func(pid int) bool
	Version string
	// DataDir is where a node keeps its data unless it is told otherwise.
	DataDir string
	// Names are the nodes of this machine by name.
	Names client.Names
}

// Tools returns the names that the verbs are known under.
func Tools() []string {
	names := make([]string, 0, len(tools()))
	for _, t := range tools() {
		names = append(names, t.name)
	}
	return names
}

// Main runs a command line of a tool, given without the tool's name, and returns
// the exit code.
func Main(ctx context.Context, w World, tool string, args []string) int {
	w.Stdout, w.Stderr = &safeWriter{w: w.Stdout}, &safeWriter{w: w.Stderr}
	c := &call{w: w, tool: tool}
	err := c.main(ctx, args)
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) {
		f = explain(c, err)
	}
	if f.text != "" {
		fmt.Fprintln(w.Stderr, strings.TrimSuffix(f.text, "\n"))
	}
	return f.code
}

// A call is one run of a verb.
type call struct {
	options
	ctx  context.Context // ends with the call or its timeout
	w    World
	tool string
	verb *verb
	args []string // without options and the verb
	line []string // as it was given
	node *client.Client
	self client.Identity // of the node
	form formatter
}

func (c *call) main(ctx context.Context, line []string) error {
	c.line = line
	if err := c.parse(line); err != nil {
		return err
	}
	if err := c.validate(); err != nil {
		return err
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	c.ctx = ctx
	if c.verb.local {
		return c.verb.run(c)
	}
	c.locate()
	c.node = client.New(c.data)
	defer func() { c.node.Close() }()
	if err := c.identify(); err != nil {
		if c.verb.absent != nil {
			return c.verb.absent(c, err)
		}
		return err
	}
	if err := c.suits(); err != nil {
		return err
	}
	if c.verb.banner != nil {
		if text := c.verb.banner(c); text != "" {
			c.banner("%s", text)
		}
	}
	return c.verb.run(c)
}

// locate finds the data directory of a node that was named, or of the only one
// that can be meant, unless the directory itself was given.
func (c *call) locate() string {
	if c.hasData {
		return c.data
	}
	x, ok := client.Named{}, false
	if c.nodeName != "" {
		x, ok = c.w.Names.Find(c.nodeName)
	} else if _, err := os.Stat(c.data); err != nil {
		if all := c.w.Names.List(); len(all) == 1 {
			x, ok = all[0], true
		} else {
			x, ok = c.w.Names.Find("rabbit")
		}
	}
	if ok {
		c.data = x.Data
	}
	return c.data
}

// identify asks who the node is, and whether it is the one that was meant.
func (c *call) identify() (err error) {
	if c.self, err = c.node.Identity(c.ctx); err != nil {
		return err
	}
	if !sameNode(c.nodeName, c.self.Node) {
		return &failure{exitUnavailable, fmt.Sprintf(
			"Error: unable to perform an operation on node '%s': the node with data directory %s is called '%s'; name another one's with --data",
			c.nodeName, c.data, c.self.Node)}
	}
	return nil
}

// sameNode reports whether a name that was typed means a node: without a host,
// or with the host's first part, it may.
func sameNode(typed, node string) bool {
	name, host, _ := strings.Cut(typed, "@")
	isName, isHost, _ := strings.Cut(node, "@")
	short, _, _ := strings.Cut(isHost, ".")
	return typed == "" || name == isName && (host == "" || host == isHost || host == short)
}

// banner prints what announces the work, for people only.
func (c *call) banner(format string, args ...any) {
	if !c.quiet && !c.silent && !c.machine() {
		fmt.Fprintf(c.w.Stdout, format+"\n", args...)
	}
}

// say prints a result in words.
func (c *call) say(format string, args ...any) {
	if !c.silent {
		fmt.Fprintf(c.w.Stdout, format+"\n", args...)
	}
}
