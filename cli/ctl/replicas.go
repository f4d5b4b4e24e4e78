package ctl

import (
	"bufio"
	"errors"
	"fmt"
	"iter"

	"github.com/warrenmq/warren/admin/client"
)

const replicaGroup = "Replication"

// replicaVerbs are those of rabbitmq-queues. A queue shares its replicas with the
// others of its shard: what is ordered for one is done for all of them.
func replicaVerbs() []verb {
	on := func(c *call) client.ReplicaOn {
		return client.ReplicaOn{QueueOf: client.QueueOf{VHost: c.vhost, Queue: c.args[0]}, Node: c.hosted(c.args[1])}
	}
	patterns := []option{own("vhost-pattern", "pattern"), own("queue-pattern", "pattern")}
	return []verb{
		{
			name: "quorum_status", tools: queuesTool | diagnostics, group: checkGroup, min: 1, max: 1, timeout: listTime,
			short: "Displays the quorum status of a queue", usage: "[--vhost <vhost>] <queue>",
			banner: func(c *call) string {
				return fmt.Sprintf("Status of quorum queue %s on node %s ...", c.args[0], c.self.Node)
			},
			run: (*call).quorumStatus,
		},
		{
			name: "add_member", tools: queuesTool, group: replicaGroup, min: 2, max: 2,
			short: "Adds a queue member (replica) on the given node.", usage: "[--vhost <vhost>] <queue> <node> [--membership <promotable|voter>]",
			options: []option{own("membership", "promotable|voter")},
			check: func(c *call) error {
				if m, given := c.opt("membership"); given && m != "promotable" && m != "voter" {
					return c.invalid(exitData, "voter status '%s' is not recognised.", m)
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Adding a replica for queue %s on node %s...", c.args[0], c.hosted(c.args[1]))
			},
			run: func(c *call) error { _, err := c.node.AddReplica(c.ctx, on(c)); return c.replicaError(err) },
		},
		{
			name: "delete_member", tools: queuesTool, group: replicaGroup, min: 2, max: 2,
			short: "Removes a queue member (replica) on the given node.", usage: "[--vhost <vhost>] <queue> <node>",
			banner: func(c *call) string {
				return fmt.Sprintf("Removing a replica of queue %s on node %s...", c.args[0], c.hosted(c.args[1]))
			},
			run: func(c *call) error { _, err := c.node.DeleteReplica(c.ctx, on(c)); return c.replicaError(err) },
		},
		{
			name: "grow", tools: queuesTool, group: clusterGroup, min: 2, max: 2,
			short:   "Grows quorum queue clusters by adding a member (replica) to all or half of matching quorum queues on the given node.",
			usage:   "<node> <all | even> [--vhost-pattern <pattern>] [--queue-pattern <pattern>] [--errors-only]",
			options: append([]option{own("errors-only", "")}, patterns...),
			check: func(c *call) error {
				if s := c.args[1]; s != "all" && s != "even" {
					return c.invalid(exitData, "strategy '%s' is not recognised.", s)
				}
				return nil
			},
			banner: func(c *call) string {
				return fmt.Sprintf("Growing %s quorum queues on %s...", c.args[1], c.hosted(c.args[0]))
			},
			run: func(c *call) error {
				vhosts, queues := c.patterns()
				g, err := c.node.GrowQueues(c.ctx, client.GrowQueues{Node: c.hosted(c.args[0]), Even: c.args[1] == "even", VHostPattern: vhosts, QueuePattern: queues})
				return c.grown(g, err)
			},
		},
		{
			name: "shrink", tools: queuesTool, group: clusterGroup, min: 1, max: 1,
			short: "Shrinks quorum queue clusters by removing any members (replicas) on the given node.", usage: "<node> [--errors-only]",
			options: []option{own("errors-only", "")},
			banner:  func(c *call) string { return fmt.Sprintf("Shrinking quorum queues on %s...", c.hosted(c.args[0])) },
			run: func(c *call) error {
				g, err := c.node.ShrinkQueues(c.ctx, client.ShrinkQueues{Node: c.hosted(c.args[0])})
				return c.grown(g, err)
			},
		},
		{
			name: "rebalance", tools: queuesTool, group: clusterGroup, min: 1, max: 1,
			short:   "Rebalances leaders of replicated queues across up-and-running cluster nodes",
			usage:   "< all | classic | quorum > [--vhost-pattern <pattern>] [--queue-pattern <pattern>]",
			options: patterns,
			check: func(c *call) error {
				switch c.args[0] {
				case "all", "classic", "quorum":
					return nil
				}
				return &failure{exitUnavailable, fmt.Sprintf("Error:\ntype %s is not supported. Try one of all, classic, quorum.", c.args[0])}
			},
			banner: func(c *call) string {
				return map[string]string{
					"all":     "Re-balancing leaders of all replicated queues...",
					"classic": "Re-balancing leaders of replicated (mirrored, non-exclusive) classic queues...",
					"quorum":  "Re-balancing leaders of quorum queues...",
				}[c.args[0]]
			},
			run: (*call).rebalance,
		},
	}
}

// patterns are those of queues that are meant; none is all.
func (c *call) patterns() (vhosts, queues string) {
	vhosts, _ = c.opt("vhost-pattern")
	queues, _ = c.opt("queue-pattern")
	return vhosts, queues
}

// pretty has a table drawn as boxes, unless a formatter was asked for.
func (c *call) pretty() {
	if c.format == "" {
		c.form = &prettyFormat{w: bufio.NewWriterSize(c.w.Stdout, 64<<10)}
	}
}

// each lists values that are there.
func each[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range all {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (c *call) quorumStatus() error {
	l, err := c.node.QueueReplicas(c.ctx, client.QueueOf{VHost: c.vhost, Queue: c.args[0]})
	if client.KindOf(err) == client.Invalid {
		return c.failed(exitUnavailable, "Cannot get quorum status of a classic queue")
	}
	if err != nil {
		return c.replicaError(err)
	}
	c.pretty()
	number := func(of func(*client.Replica) uint64) func(*client.Replica) any {
		return func(r *client.Replica) any {
			if r.State == "noproc" {
				return ""
			}
			return of(r)
		}
	}
	return list(c, []column[client.Replica]{
		{"Node Name", func(r *client.Replica) any { return atom(r.Node) }},
		{"Raft State", func(r *client.Replica) any { return atom(r.State) }},
		{"Log Index", number(func(r *client.Replica) uint64 { return r.Log })},
		{"Commit Index", number(func(r *client.Replica) uint64 { return r.Commit })},
		{"Snapshot Index", number(func(r *client.Replica) uint64 { return r.Snapshot })},
		{"Term", number(func(r *client.Replica) uint64 { return r.Term })},
		{"Machine Version", number(func(*client.Replica) uint64 { return 1 })},
	}, each(l.Replicas))
}

func (c *call) grown(g client.Grown, err error) error {
	if err != nil {
		return c.replicaError(err)
	}
	var show []client.GrownQueue
	for _, q := range g.Queues {
		if q.Error != "" || !c.is("errors-only") {
			show = append(show, q)
		}
	}
	return list(c, []column[client.GrownQueue]{
		{"vhost", func(q *client.GrownQueue) any { return q.VHost }},
		{"name", func(q *client.GrownQueue) any { return q.Name }},
		{"size", func(q *client.GrownQueue) any { return q.Size }},
		{"result", func(q *client.GrownQueue) any {
			if q.Error != "" {
				return "error: " + q.Error
			}
			return "ok"
		}},
	}, each(show))
}

func (c *call) rebalance() error {
	vhosts, queues := c.patterns()
	b, err := c.node.Rebalance(c.ctx, client.Rebalance{VHostPattern: vhosts, QueuePattern: queues})
	if err != nil {
		return err
	}
	c.pretty()
	cols := []column[client.NodeLeads]{
		{"Node name", func(n *client.NodeLeads) any { return n.Node }},
		{"Number of quorum queues", func(n *client.NodeLeads) any { return n.Quorum }},
		{"Number of replicated classic queues", func(n *client.NodeLeads) any { return n.Classic }},
	}
	return list(c, cols, each(b.Nodes))
}

// replicaError words errors about queues and nodes as rabbitmq-queues does.
func (c *call) replicaError(err error) error {
	var e *client.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.Kind == client.NotFound && e.Thing == client.QueueThing:
		return &failure{exitData, fmt.Sprintf("Error:\nQueue '%s' in vhost '%s' does not exist", oneLine(e.Name), c.vhost)}
	case e.Kind == client.NotFound && e.Thing == client.NodeThing && e.Text != "not_a_member":
		return &failure{exitData, fmt.Sprintf("Error:\nNode %s is not a member of the cluster", oneLine(e.Name))}
	case e.Kind == client.NotFound && e.Thing == client.NodeThing:
		return c.failed(exitUnavailable, "%s", e.Text)
	}
	return err
}
