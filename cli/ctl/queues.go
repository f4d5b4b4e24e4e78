package ctl

import (
	"encoding/json"
	"fmt"
	"iter"

	"github.com/warrenmq/warren/admin/client"
)

const (
	monitoring = "Monitoring, observability and health checks"
	queueGroup = "Queues"
)

func queueVerbs() []verb {
	return []verb{
		{
			name: "list_queues", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short:   "Lists queues and their properties",
			usage:   "[--vhost <vhost>] [--online] [--offline] [--local] [--no-table-headers] [<column>, ...]",
			options: []option{own("online", ""), own("offline", ""), own("local", "")},
			check:   func(c *call) error { _, err := c.queueColumns(); return err },
			banner:  func(c *call) string { return c.limit() + fmt.Sprintf("Listing queues for vhost %s ...", c.vhost) },
			run:     (*call).listQueues,
		},
		{
			name: "list_unresponsive_queues", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short:   "Tests queues to respond within timeout. Lists those which did not respond",
			usage:   "[--local] [--queue-timeout <milliseconds>] [<column>, ...] [--no-table-headers]",
			options: []option{own("local", ""), own("queue-timeout", "milliseconds")},
			check:   func(c *call) error { _, err := c.queueColumns(); return err },
			banner:  func(c *call) string { return fmt.Sprintf("Listing unresponsive queues for vhost %s ...", c.vhost) },
			run:     (*call).listUnresponsive,
		},
		{
			name: "purge_queue", tools: ctl, group: queueGroup, min: 1, max: 1,
			short: "Purges a queue (removes all messages in it)", usage: "[--vhost <vhost>] <queue>",
			banner: func(c *call) string {
				return fmt.Sprintf("Purging queue '%s' in vhost '%s' ...", c.args[0], c.vhost)
			},
			run: func(c *call) error {
				_, err := c.node.PurgeQueue(c.ctx, client.PurgeQueue{VHost: c.vhost, Name: c.args[0]})
				if client.KindOf(err) == client.NotFound {
					return c.failed(exitUnavailable, "not_found")
				}
				return err
			},
		},
		{
			name: "delete_queue", tools: ctl, group: queueGroup, min: 1, max: 1,
			short:   "Deletes a queue",
			usage:   "[--vhost <vhost>] <queue_name> [--if-empty|-e] [--if-unused|-u]",
			options: []option{named(own("if-empty", ""), "e"), named(own("if-unused", ""), "u")},
			banner:  (*call).deleteBanner,
			run:     (*call).deleteQueue,
		},
	}
}

// named gives an option a letter.
func named(o option, short string) option { o.short = short; return o }

// limit announces how long a list may take.
func (c *call) limit() string {
	if c.timeout == 0 {
		return ""
	}
	return fmt.Sprintf("Timeout: %.1f seconds ...\n", c.timeout.Seconds())
}

func (c *call) queueColumns() ([]column[client.Queue], error) {
	return choose(c, queueColumns(), "name", "messages")
}

func queueColumns() []column[client.Queue] {
	live := func(name string, f func(*client.QueueLive) any) column[client.Queue] {
		return column[client.Queue]{name, func(q *client.Queue) any {
			if q.Live == nil {
				return nil
			}
			return f(q.Live)
		}}
	}
	// What a queue keeps in memory alone is all that is in it, or nothing.
	part := func(name string, when bool, f func(*client.QueueLive) any) column[client.Queue] {
		return column[client.Queue]{name, func(q *client.Queue) any {
			switch {
			case q.Live == nil:
				return nil
			case q.Durable != when:
				return 0
			}
			return f(q.Live)
		}}
	}
	ready := func(l *client.QueueLive) any { return l.Ready }
	unacked := func(l *client.QueueLive) any { return l.Unacked }
	all := func(l *client.QueueLive) any { return l.Ready + l.Unacked }
	bytes := func(l *client.QueueLive) any { return l.ReadyBytes + l.UnackedBytes }
	none := func(*client.Queue) any { return nil }
	return append([]column[client.Queue]{
		{"name", func(q *client.Queue) any { return q.Name }},
		live("messages", all), live("messages_ready", ready), live("messages_unacknowledged", unacked),
		part("messages_ram", false, all), part("messages_ready_ram", false, ready), part("messages_unacknowledged_ram", false, unacked),
		part("messages_persistent", true, all),
		live("message_bytes", bytes), live("message_bytes_ready", func(l *client.QueueLive) any { return l.ReadyBytes }),
		live("message_bytes_unacknowledged", func(l *client.QueueLive) any { return l.UnackedBytes }),
		part("message_bytes_ram", false, bytes), part("message_bytes_persistent", true, bytes),
		live("consumers", func(l *client.QueueLive) any { return l.Consumers }),
		live("consumer_utilisation", capacity), live("consumer_capacity", capacity),
		live("exclusive_consumer_pid", func(l *client.QueueLive) any { return pid(l.ExclusivePID) }),
		live("exclusive_consumer_tag", func(l *client.QueueLive) any { return l.ExclusiveTag }),
		{"head_message_timestamp", none},
		{"disk_reads", none},
		{"disk_writes", none},
		{"memory", none},
		{"slave_pids", func(q *client.Queue) any { return pids(q.Mirrors) }},
		{"synchronised_slave_pids", func(q *client.Queue) any { return pids(q.Synced) }},
	}, declaredColumns()...)
}

// capacity is how much of the time consumers could take more: all of it while
// nothing waits, as far as one look shows.
func capacity(l *client.QueueLive) any {
	if l.Consumers > 0 && l.Ready == 0 {
		return 1.0
	}
	return 0
}

// declaredColumns are those for which no shard is asked.
func declaredColumns() []column[client.Queue] {
	return []column[client.Queue]{
		{"durable", func(q *client.Queue) any { return q.Durable }},
		{"auto_delete", func(q *client.Queue) any { return q.AutoDelete }},
		{"arguments", func(q *client.Queue) any { return table(q.Arguments) }},
		{"policy", func(q *client.Queue) any { return q.Policy }},
		{"operator_policy", func(q *client.Queue) any { return q.OperatorPolicy }},
		{"effective_policy_definition", func(q *client.Queue) any { return raw(q.EffectivePolicy) }},
		{"pid", func(q *client.Queue) any { return pid(q.PID) }},
		{"owner_pid", func(q *client.Queue) any { return pid(q.OwnerPID) }},
		{"exclusive", func(q *client.Queue) any { return q.Exclusive }},
		{"type", func(q *client.Queue) any { return atom(q.Type) }},
		{"state", func(q *client.Queue) any { return queueState(q) }},
		{"leader", func(q *client.Queue) any { return atom(q.Leader) }},
		{"members", func(q *client.Queue) any { return atoms(q.Members) }},
		{"online", func(q *client.Queue) any { return onlineMembers(q) }},
		{"vhost", func(q *client.Queue) any { return q.VHost }},
	}
}

func queueState(q *client.Queue) atom {
	if q.Leader == "" {
		return "down"
	}
	return "running"
}

func onlineMembers(q *client.Queue) terms { return atoms(q.Online) }

// pids lists what queues are called where they are not led.
func pids(names []string) (out terms) {
	out = terms{}
	for _, n := range names {
		out = append(out, pid(n))
	}
	return out
}

// raw is JSON that is printed as it is: in JSON as the value it is.
func raw(b json.RawMessage) any {
	if len(b) == 0 {
		return ""
	}
	return b
}

func (c *call) listQueues() error {
	cols, err := c.queueColumns()
	if err != nil {
		return err
	}
	declared := declaredColumns()
	q := client.QueueQuery{VHost: c.vhost}
	for _, x := range cols {
		known := x.name == "name"
		for _, d := range declared {
			known = known || d.name == x.name
		}
		q.Live = q.Live || !known
	}
	return list(c, cols, c.reachable(c.node.Queues(c.ctx, q)))
}

// reachable leaves out what --online or --offline does not ask for. All queues
// that are served are on this node, as --local asks.
func (c *call) reachable(in iter.Seq2[client.Queue, error]) iter.Seq2[client.Queue, error] {
	online, offline := c.is("online") || c.is("local"), c.is("offline")
	return func(yield func(client.Queue, error) bool) {
		for q, err := range in {
			down := err == nil && q.Leader == ""
			if online && !offline && down || offline && !online && err == nil && !down {
				continue
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

// listUnresponsive lists the queues whose shard does not answer.
func (c *call) listUnresponsive() error {
	cols, err := choose(c, queueColumns(), "name")
	if err != nil {
		return err
	}
	in := c.node.Queues(c.ctx, client.QueueQuery{VHost: c.vhost, Live: true})
	return list(c, cols, func(yield func(client.Queue, error) bool) {
		for q, err := range in {
			if err == nil && q.Live != nil {
				continue
			}
			if !yield(q, err) {
				return
			}
		}
	})
}

func (c *call) deleteBanner() string {
	on := ""
	switch {
	case c.is("if-empty") && c.is("if-unused"):
		on = " if queue is empty and if queue is unused"
	case c.is("if-empty"):
		on = " if queue is empty"
	case c.is("if-unused"):
		on = " if queue is unused"
	}
	return fmt.Sprintf("Deleting queue '%s' on vhost '%s'%s ...", c.args[0], c.vhost, on)
}

func (c *call) deleteQueue() error {
	n, err := c.node.DeleteQueue(c.ctx, client.DeleteQueue{VHost: c.vhost, Name: c.args[0], IfEmpty: c.is("if-empty"), IfUnused: c.is("if-unused")})
	switch client.KindOf(err) {
	case client.NotFound:
		return c.failed(exitUsage, "Queue not found")
	case client.NotEmpty:
		return c.failed(exitUsage, "Queue is not empty")
	case client.InUse:
		return c.failed(exitUsage, "Queue is in use")
	}
	if err != nil {
		return err
	}
	c.say("Queue was successfully deleted with %d ready messages", n.Messages)
	return nil
}
