package ctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin/client"
)

// How long the verbs of a node's life wait for it.
const (
	appTime   = 5 * time.Minute
	leaveTime = 30 * time.Minute
	joinTime  = 20 * time.Second
)

// offlineText says what stands for RabbitMQ's way to start a cluster whose last node
// is lost.
func offlineText(node string) string {
	return "--offline is for a cluster that can not be started because its last node is lost. Here the majority of the nodes starts, in any order: start them, and forget " + node +
		" at one of them. If a majority is gone for good: end this node's process, and 'warren recover --data DIR' shows, and changes nothing yet, what would be lost if this node went on alone; with --force --without " +
		node + " and the names of all others it does"
}

// lifeVerbs are the verbs that start and stop the node in its process, and make
// it a member of clusters. Their announcements end in "...done.", as those who
// drive them from scripts know them.
func lifeVerbs() []verb {
	announce := func(format string) func(c *call) string {
		return func(c *call) string { return fmt.Sprintf(format, erlangAtom(c.self.Node)) }
	}
	return []verb{
		{
			name: "stop_app", tools: ctl, group: nodeGroup, timeout: appTime, needs: anyState,
			short: "Stops the node, leaving its process running", banner: announce("Stopping node %s ..."),
			run: func(c *call) error { return c.done(c.node.StopApp(c.ctx, client.StopApp{})) },
		},
		{
			name: "start_app", tools: ctl, group: nodeGroup, timeout: appTime, needs: anyState,
			short: "Starts the node in its process", banner: announce("Starting node %s ..."),
			run: (*call).startApp,
		},
		{
			name: "join_cluster", tools: ctl, group: clusterGroup, min: 1, max: 1, timeout: appTime, needs: stopped,
			short:   "Makes the stopped node a member of the cluster that another one is in",
			usage:   "[--disc|--ram] [--force] <existing_cluster_member>",
			options: []option{own("disc", ""), own("ram", ""), own("force", "")},
			check: func(c *call) error {
				if c.is("disc") && c.is("ram") {
					return c.invalid(exitData, "Bad argument. The node type must be either disc or ram.")
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Clustering node %s with %s ...", erlangAtom(c.self.Node), erlangAtom(c.args[0]))
			},
			run: (*call).joinCluster,
		},
		{
			name: "reset", tools: ctl, group: nodeGroup, timeout: leaveTime, needs: stopped,
			short:  "Has the stopped node leave its cluster and begin anew: everything it holds is deleted",
			banner: announce("Resetting node %s ..."),
			run:    func(c *call) error { return c.done(c.node.ResetApp(c.ctx, client.ResetApp{})) },
		},
		{
			name: "force_reset", tools: ctl, group: nodeGroup, timeout: appTime, needs: stopped,
			short:  "Has the stopped node begin anew without leaving its cluster: everything it holds is deleted",
			banner: announce("Forcefully resetting node %s ..."),
			run:    func(c *call) error { return c.done(c.node.ResetApp(c.ctx, client.ResetApp{Force: true})) },
		},
		{
			name: "forget_cluster_node", tools: ctl, group: clusterGroup, min: 1, max: 1, timeout: appTime,
			short: "Removes a node that is stopped from the cluster: others take over what it holds", usage: "[--offline] [--force] <existing_cluster_member>",
			options: []option{own("offline", ""), own("force", "")},
			check: func(c *call) error {
				if c.is("offline") {
					return c.failed(exitUnavailable, "%s", offlineText(c.hosted(c.args[0])))
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Removing node %s from cluster ...", erlangAtom(c.args[0]))
			},
			run: func(c *call) error {
				if _, err := c.node.ForgetNode(c.ctx, client.ForgetNode{Node: c.hosted(c.args[0]), Force: c.is("force")}); err != nil {
					return err
				}
				c.banner("...done.")
				return nil
			},
		},
		{
			name: "change_cluster_node_type", tools: ctl, group: clusterGroup, min: 1, max: 1, needs: stopped,
			short: "Accepted: every node is a disc node", usage: "<disc|ram>",
			check: func(c *call) error {
				if t := c.args[0]; t != "disc" && t != "disk" && t != "ram" {
					return c.invalid(exitData, "Bad argument. The node type must be either disc or ram.")
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Turning %s into a %s node", c.self.Node, c.args[0])
			},
			run: func(c *call) error {
				if c.args[0] == "ram" {
					c.say(ramText)
				}
				return nil
			},
		},
	}
}

// ramText is said to who asks for a node without a disk.
const ramText = "Every node keeps its data on disk: it takes part as a disc node."

// needs says what a verb needs the node to be at.
type needs uint8

const (
	running  needs = iota // most do
	anyState              // it is answered by the process
	stopped               // it changes what a running node uses
)

// suits refuses a verb that the node is not right for, in RabbitMQ's words.
func (c *call) suits() error {
	switch is := c.self.State; {
	case c.verb.needs == running && is != "":
		return c.appStopped()
	case c.verb.needs == stopped && (is == "" || is == client.AppStarts):
		return c.appRunning()
	}
	return nil
}

func (c *call) appStopped() error {
	text := "this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'."
	if c.self.State == client.AppStarts {
		if l, err := c.node.Life(c.ctx, client.LifeQuery{}); err == nil && l.Why != "" {
			text = "this command requires the 'rabbit' app to be running on the target node. It is starting: " + l.Why
		}
	}
	return c.unfit(text)
}

func (c *call) appRunning() error {
	return c.unfit("this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.")
}

// unfit is invalid for a node instead of a command line.
func (c *call) unfit(text string) error {
	return &failure{exitUsage, fmt.Sprintf("Error: %s\nArguments given:\n\t%s\n\nUsage\n\n%s", text, strings.Join(c.shown(), " "), c.usage())}
}

// done waits until an order has ended, and says so.
func (c *call) done(t client.Task, err error) error {
	if err := c.over(t, err); err != nil {
		return err
	}
	c.banner("...done.")
	return nil
}

// startApp starts the node. One that has joined a cluster is waited for until it
// votes in it, for a while: with the next line of a recipe another may be stopped.
func (c *call) startApp() error {
	if err := c.over(c.node.StartApp(c.ctx, client.StartApp{})); err != nil {
		return err
	}
	began := c.w.Now()
	err := c.until(func() bool {
		x, err := c.node.Cluster(c.ctx, client.ClusterQuery{})
		joins := slices.ContainsFunc(x.Intents, func(i client.Intent) bool { return i.Kind == "join" && i.Subject == c.self.Node })
		return err != nil || !joins || c.w.Now().Sub(began) > joinTime
	})
	if err != nil {
		return err
	}
	c.banner("...done.")
	return nil
}

// over waits until an order has ended.
func (c *call) over(t client.Task, err error) error {
	if err != nil {
		return err
	}
	for !t.Done {
		l, err := c.afterwards(t.ID)
		if err != nil {
			return err
		}
		t = *l
	}
	if t.Error != nil {
		return t.Error
	}
	if t.Text != "" {
		c.say("%s", t.Text)
	}
	return nil
}

// afterwards asks after an order a little later.
func (c *call) afterwards(id uint64) (*client.Task, error) {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.ctx.Done():
		return nil, c.ctx.Err()
	}
	l, err := c.node.Life(c.ctx, client.LifeQuery{Task: id})
	switch {
	case errors.Is(err, client.ErrNotRunning):
		return nil, c.failed(exitUnavailable, "the process of node %s ended before the command was done; its log says why", c.self.Node)
	case err != nil:
		return nil, err
	case l.Task == nil:
		return nil, c.failed(exitUnavailable, "what became of the command is not known any more: many others came after it")
	}
	return l.Task, nil
}

func (c *call) joinCluster() error {
	if c.hosted(c.args[0]) == c.self.Node {
		return &failure{exitSoftware, "Error: cannot cluster node with itself: " + c.self.Node}
	}
	if c.is("ram") {
		c.say(ramText)
	}
	return c.done(c.node.JoinCluster(c.ctx, client.JoinCluster{Member: c.args[0], Force: c.is("force")}))
}

// hosted gives the name of a node without a host that of the node that is asked,
// as RabbitMQ's tools do.
func (c *call) hosted(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	_, host, _ := strings.Cut(c.self.Node, "@")
	return name + "@" + host
}
