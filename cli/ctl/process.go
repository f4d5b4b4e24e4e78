package ctl

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin/client"
)

const (
	nodeGroup          = "Nodes"
	configurationGroup = "Configuration and Environment"
)

// How long verbs wait for a node unless told otherwise, and how often they look.
const (
	stopTime  = time.Minute
	waitTime  = 10 * time.Second
	startTime = 5 * time.Minute
	lookEvery = 50 * time.Millisecond
)

func processVerbs() []verb {
	return []verb{
		{
			name: "stop", tools: ctl, group: nodeGroup, max: 1, timeout: stopTime, needs: anyState,
			short: "Stops the node, and waits until it is gone", usage: "[<pidfile>] [--idempotent]",
			options: []option{own("idempotent", "")},
			banner:  func(c *call) string { return fmt.Sprintf("Stopping and halting node %s ...", c.self.Node) },
			run:     (*call).stop, absent: (*call).stopped,
		},
		{
			name: "shutdown", tools: ctl, group: nodeGroup, timeout: stopTime, needs: anyState,
			short: "Stops the node, and waits until it is gone", usage: "[--wait] [--no-wait]",
			options: []option{own("wait", ""), own("no-wait", "")},
			banner: func(c *call) string {
				return fmt.Sprintf("Shutting down RabbitMQ node %s running at PID %d", c.self.Node, c.self.PID)
			},
			run: (*call).shutdown,
		},
		{
			name: "wait", tools: ctl, group: nodeGroup, max: 1, timeout: waitTime, local: true,
			short: "Waits for node startup by monitoring a local PID file or process", usage: "[<pidfile>] [--pid <pid>]",
			options: []option{named(own("pid", "pid"), "P")},
			check: func(c *call) error {
				if _, ok := c.opt("pid"); ok == (len(c.args) == 1) {
					return c.invalid(exitUsage, "name a PID file or give --pid, one of both")
				}
				return nil
			},
			run: (*call).wait,
		},
		{
			name: "await_startup", tools: ctl | diagnostics, group: nodeGroup, timeout: startTime, local: true,
			short: "Waits for the node to answer",
			run:   func(c *call) error { return c.awaitNode(func() error { return nil }) },
		},
		{
			name: "await_online_nodes", tools: ctl | diagnostics, group: clusterGroup, min: 1, max: 1, timeout: startTime,
			short: "Waits for <count> nodes to join the cluster", usage: "<count>", run: (*call).awaitNodes,
			check: func(c *call) error {
				if n, err := strconv.Atoi(c.args[0]); err != nil || n < 1 {
					return c.invalid(exitData, "Bad argument: %s", c.args[0])
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Will wait for at least %s nodes to join the cluster of %s. Timeout: %d seconds.", c.args[0], c.self.Node, int(c.timeout.Seconds()))
			},
		},
		{
			name: "environment", tools: ctl | diagnostics, group: configurationGroup,
			short:  "Displays the configuration in force and where each value came from",
			banner: func(c *call) string { return fmt.Sprintf("Application environment of node %s ...", c.self.Node) },
			run:    (*call).environment,
		},
		{
			name: "force_gc", tools: ctl | diagnostics, group: operations, timeout: listTime,
			short: "Has the node collect what memory it does not use any more",
			banner: func(c *call) string {
				return fmt.Sprintf("Will ask all processes on node %s to schedule a full sweep GC", c.self.Node)
			},
			run: func(c *call) error { _, err := c.node.FreeMemory(c.ctx, client.FreeMemory{}); return err },
		},
	}
}

// stop has the node stop and waits until its process is gone.
func (c *call) stop() error {
	_, err := c.node.Stop(c.ctx, client.StopNode{Reason: "rabbitmqctl " + c.verb.name})
	if err != nil && client.KindOf(err) != client.Unavailable {
		return err // else it is stopping already
	}
	if c.is("no-wait") {
		return nil
	}
	return c.until(func() bool {
		_, err := c.node.Identity(c.ctx)
		return errors.Is(err, client.ErrNotRunning) && (c.self.PID == os.Getpid() || !c.w.Alive(c.self.PID))
	})
}

func (c *call) shutdown() error {
	if err := c.stop(); err != nil {
		return err
	}
	if !c.is("no-wait") {
		c.banner("RabbitMQ node %s running at PID %d successfully shut down", c.self.Node, c.self.PID)
	}
	return nil
}

// stopped is for a node that can not be asked: with --idempotent one that does
// not run is as good as stopped.
func (c *call) stopped(err error) error {
	if c.is("idempotent") && errors.Is(err, client.ErrNotRunning) {
		c.banner("Node %s is no longer running", c.called())
		return nil
	}
	return err
}

// called is what the node was called by, before it is known who it is.
func (c *call) called() string {
	if c.nodeName == "" {
		return "in " + c.data
	}
	return c.nodeName
}

// until returns when ok, or with the error of the context.
func (c *call) until(ok func() bool) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for !ok() {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// awaitNode waits until the node answers, or alive says why it never will.
func (c *call) awaitNode(alive func() error) error {
	defer func() { c.node.Close() }()
	c.node = client.New(c.data)
	var dead error
	err := c.until(func() bool {
		if before := c.data; c.locate() != before { // it may enter its name only now
			c.node.Close()
			c.node = client.New(c.data)
		}
		if dead = alive(); dead != nil {
			return true
		}
		return c.identify() == nil && c.self.State == ""
	})
	return errors.Join(dead, err)
}

// wait waits until the process of a PID file, or of a number, serves.
func (c *call) wait() error {
	text, given := c.opt("pid")
	if !given {
		c.banner("Waiting for pid file '%s' to appear", c.args[0])
		err := c.until(func() bool {
			b, err := os.ReadFile(c.args[0])
			text = strings.TrimSpace(string(b))
			return err == nil && text != ""
		})
		if err != nil {
			return c.failed(exitTemp, "pid file '%s' did not appear", c.args[0])
		}
		c.banner("pid is %s", text)
	}
	process, err := strconv.Atoi(text)
	if err != nil || process <= 0 {
		return c.failed(exitData, "'%s' is no process id", text)
	}
	c.banner("Waiting for node '%s' while OS process '%d' is running", c.called(), process)
	err = c.awaitNode(func() error {
		if !c.w.Alive(process) {
			return c.failed(exitSoftware, "process_not_running")
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.banner("Applications 'rabbit_and_plugins' are running on node '%s'", c.self.Node)
	return nil
}

// awaitNodes waits for nodes of the cluster to run.
func (c *call) awaitNodes() error {
	want, _ := strconv.Atoi(c.args[0]) // it was looked at
	err := c.until(func() bool {
		x, err := c.node.Cluster(c.ctx, client.ClusterQuery{})
		_, up := members(membersOf(x))
		return err == nil && len(up) >= want
	})
	if err != nil {
		return &failure{exitSoftware, fmt.Sprintf("Error: timed out while waiting. Not enough nodes joined %s's cluster.", c.self.Node)}
	}
	return nil
}

// environment lists the configuration.
func (c *call) environment() error {
	return list(c, []column[client.Setting]{
		{"key", func(s *client.Setting) any { return s.Key }},
		{"value", func(s *client.Setting) any { return s.Value }},
		{"origin", func(s *client.Setting) any { return s.Origin }},
	}, c.node.Settings(c.ctx, client.SettingsQuery{}))
}
