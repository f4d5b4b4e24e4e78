package ctl

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

const checkGroup = "Monitoring, observability and health checks"

// A check looks at the node: what it asks, and what it says of the answer.
type check struct {
	name, short, usage string
	tools              tool
	min                int
	asks               string // with %s for the node; more for the arguments
	needs              needs
	run                func(c *call, x client.Overview) error
}

func checkVerbs() (out []verb) {
	for _, k := range checks() {
		v := verb{
			name: k.name, tools: cmpTool(k.tools), group: checkGroup, short: k.short, usage: k.usage, min: k.min, max: k.min, timeout: listTime, needs: k.needs,
			run: func(c *call) error {
				x, err := c.node.Overview(c.ctx)
				if err != nil {
					return err
				}
				return k.run(c, x)
			},
		}
		if k.asks != "" {
			v.banner = func(c *call) string { return k.question(c) }
		}
		if k.name == "check_port_listener" {
			v.check = func(c *call) error {
				if n, err := strconv.Atoi(c.args[0]); err != nil || n < 0 || n > 65535 {
					return c.invalid(exitData, "Bad argument: '%s' is no port", c.args[0])
				}
				return nil
			}
		}
		out = append(out, v)
	}
	return out
}

func cmpTool(t tool) tool {
	if t == 0 {
		return diagnostics
	}
	return t
}

// question puts the node and the arguments into the words of a check.
func (k *check) question(c *call) string {
	s := strings.ReplaceAll(k.asks, "{node}", c.self.Node)
	if len(c.args) > 0 {
		s = strings.ReplaceAll(s, "{arg}", c.args[0])
	}
	return s
}

func checks() []check {
	single := "Node %s seems to be the only one in a single node cluster, the check does not apply"
	lone := func(run func(c *call, x client.Overview) error) func(c *call, x client.Overview) error {
		return func(c *call, x client.Overview) error {
			if len(x.Members) > 1 {
				return run(c, x)
			}
			return c.answers(pairs{{"result", "ok"}}, single, x.Node)
		}
	}
	return []check{
		{
			name: "check_running", short: "Health check that exits with a non-zero code if the node is not running",
			asks: "Checking if RabbitMQ is running on node {node} ...", needs: anyState, run: func(c *call, x client.Overview) error {
				if c.self.State != "" {
					return c.failed(exitUnavailable, notRunning, x.Node)
				}
				c.say("RabbitMQ on node %s is fully booted and running", x.Node)
				return nil
			},
		},
		{
			name: "is_running", short: "Queries the node if it is running",
			asks: "Asking node {node} for its status ...", needs: anyState, run: func(c *call, x client.Overview) error {
				if c.self.State != "" {
					return c.answers(pairs{{"result", false}}, notRunning, x.Node)
				}
				return c.answers(pairs{{"result", true}}, "RabbitMQ on node %s is fully booted and running", x.Node)
			},
		},
		{
			name: "is_booting", short: "Queries the node if it is still booting",
			asks: "Asking node {node} for its boot status ...", needs: anyState, run: func(c *call, x client.Overview) error {
				if c.self.State == client.AppStarts {
					return c.answers(pairs{{"result", true}}, "RabbitMQ on node %s is booting", x.Node)
				}
				return c.answers(pairs{{"result", false}}, "RabbitMQ on node %s is fully booted (check with is_running), stopped or has not started booting yet", x.Node)
			},
		},
		{
			name: "check_alarms", short: "Health check that exits with a non-zero code if there is an alarm",
			asks: "Asking node {node} to report any local resource alarms ...", run: func(c *call, x client.Overview) error {
				return c.noAlarmsAnywhere(x.Node)
			},
		},
		{
			name: "check_local_alarms", short: "Health check that exits with a non-zero code if there is an alarm of this node",
			asks: "Asking node {node} to report any local resource alarms ...", run: func(c *call, x client.Overview) error {
				return c.noAlarms(x, "Node %s reported no local alarms")
			},
		},
		{
			name: "alarms", short: "Lists resource alarms of the node",
			asks: "Asking node {node} to report any known resource alarms ...", run: (*call).alarms,
		},
		{
			name: "listeners", short: "Lists active connection listeners of the node",
			asks: "Asking node {node} to report its protocol listeners ...", run: (*call).listListeners,
		},
		{
			name: "check_port_listener", short: "Health check that exits with a non-zero code if there is no listener on a port", usage: "<port>", min: 1,
			asks: "Asking node {node} if there's an active listener on port {arg} ...", run: (*call).checkPort,
		},
		{
			name: "check_protocol_listener", short: "Health check that exits with a non-zero code if there is no listener for a protocol", usage: "<protocol>", min: 1,
			asks: "Asking node {node} if there's an active listener for protocol {arg} ...", run: (*call).checkProtocol,
		},
		{
			name: "check_port_connectivity", short: "Basic TCP connectivity health check for each listener",
			asks: "Testing TCP connections to all active listeners on node {node} ...", run: (*call).checkConnectivity,
		},
		{
			name: "check_virtual_hosts", short: "Health check that checks if all vhosts are served",
			asks: "Checking if all vhosts are running on node {node} ...", run: (*call).checkVHosts,
		},
		{
			name: "check_if_node_is_quorum_critical", tools: diagnostics | queuesTool, short: "Health check that exits with a non-zero code if queues would lose their quorum without this node",
			asks: "Checking if node {node} is critical for quorum of any quorum queues ...", run: lone((*call).quorumCritical),
		},
		{
			name: "check_if_node_is_mirror_sync_critical", tools: diagnostics | queuesTool, short: "Health check that exits with a non-zero code if queues would lose their only copy without this node",
			asks: "Checking if node {node} is critical for data safety of any classic mirrored queues ...", run: lone(func(c *call, x client.Overview) error {
				return c.answers(pairs{{"result", "ok"}}, "Node %s reported no classic mirrored queues without online synchronised mirrors", x.Node)
			}),
		},
		{
			name: "node_health_check", tools: ctl | diagnostics, short: "Checks that the node answers, its vhosts are served and there is no alarm",
			asks: "Timeout: 70 seconds ...\nChecking health of node {node} ...", run: (*call).checkHealth,
		},
		{
			name: "server_version", short: "Displays the version of RabbitMQ whose dialect the node speaks",
			asks: "Asking node {node} for its RabbitMQ version...", needs: anyState, run: func(c *call, x client.Overview) error {
				c.say("%s", x.Compatible)
				return nil
			},
		},
		{
			name: "memory_breakdown", short: "Provides a memory usage breakdown of the node",
			asks: "Reporting memory breakdown on node {node}...", run: (*call).memoryBreakdown,
		},
		{
			name: "log_location", short: "Shows where the node logs to",
			asks: "Log file location(s) on node {node} ...", run: func(c *call, x client.Overview) error {
				for _, f := range x.LogFiles {
					c.say("%s", f)
				}
				return nil
			},
		},
	}
}

const notRunning = "RabbitMQ on node %s is not running or has not fully booted yet (check with is_booting)"

// quorumCritical fails if a shard with queues has no majority without this node,
// of its replicas on nodes that run.
func (c *call) quorumCritical(x client.Overview) error {
	_, up := members(x.Members)
	var lines []string
	for _, s := range x.Shards {
		if s.Kind != "queues" || s.Queues == 0 || !slices.Contains(s.Replicas, x.Node) {
			continue
		}
		others := 0
		for _, r := range s.Replicas {
			if r != x.Node && slices.Contains(up, r) {
				others++
			}
		}
		if others < len(s.Replicas)/2+1 {
			lines = append(lines, fmt.Sprintf("%d queues of shard %d would lose quorum if node %s is stopped", s.Queues, s.ID, x.Node))
		}
	}
	if len(lines) == 0 {
		return c.answers(pairs{{"result", "ok"}}, "Node %s reported no quorum queues with minimum quorum", x.Node)
	}
	return &failure{exitUnavailable, strings.Join(lines, "\n")}
}

// answers prints a value for programs, or words for people.
func (c *call) answers(v pairs, format string, args ...any) error {
	if c.machine() {
		c.form.value(v)
		return nil
	}
	c.say(format, args...)
	return nil
}

// noAlarms is well with a node without alarms.
func (c *call) noAlarms(x client.Overview, well string) error {
	if len(x.Alarms) == 0 {
		return c.answers(pairs{{"result", "ok"}}, well, x.Node)
	}
	return &failure{exitUnavailable, "Node " + x.Node + " reported alarms:\n" + strings.Join(alarmTexts(x.Node, x.Alarms), "\n")}
}

const noAlarmsText = "Node %s reported no alarms, local or clusterwide"

// clusterAlarms are the alarms of all nodes that are reached.
func (c *call) clusterAlarms() (lines []string, all terms, err error) {
	x, err := c.node.Cluster(c.ctx, client.ClusterQuery{})
	for _, m := range x.Members {
		if m.About != nil {
			lines = append(lines, alarmTexts(m.Name, m.About.Alarms)...)
			all = append(all, alarmTerms(m.Name, m.About.Alarms)...)
		}
	}
	return lines, all, err
}

// noAlarmsAnywhere is well with a cluster without alarms.
func (c *call) noAlarmsAnywhere(node string) error {
	lines, _, err := c.clusterAlarms()
	switch {
	case err != nil:
		return err
	case len(lines) == 0:
		return c.answers(pairs{{"result", "ok"}}, noAlarmsText, node)
	}
	return &failure{exitUnavailable, "Node " + node + " reported alarms:\n" + strings.Join(lines, "\n")}
}

func (c *call) alarms(x client.Overview) error {
	lines, all, err := c.clusterAlarms()
	if err != nil {
		return err
	}
	if c.machine() {
		c.form.value(pairs{{"node", x.Node}, {"alarms", all}, {"result", "ok"}})
		return nil
	}
	if len(lines) == 0 {
		c.say(noAlarmsText, x.Node)
	}
	for _, text := range lines {
		c.say("%s", text)
	}
	return nil
}

func (c *call) listListeners(x client.Overview) error {
	var all terms
	for _, l := range listeners(x.Listeners) {
		all = append(all, l.term(x.Node))
		if !c.machine() {
			c.say("%s", l)
		}
	}
	if c.machine() {
		c.form.value(pairs{{"result", "ok"}, {"node", x.Node}, {"listeners", all}})
	}
	return nil
}

func (c *call) checkPort(x client.Overview) error {
	var ports []string
	for _, l := range listeners(x.Listeners) {
		ports = append(ports, strconv.Itoa(l.port))
	}
	if slices.Contains(ports, c.args[0]) {
		return c.answers(pairs{{"result", "ok"}}, "A listener for port %s is running on node %s.", c.args[0], x.Node)
	}
	return &failure{exitUnavailable, fmt.Sprintf("No listener for port %s is active on node %s. Found listeners that use the following ports: %s",
		c.args[0], x.Node, strings.Join(ports, ", "))}
}

func (c *call) checkProtocol(x client.Overview) error {
	aliases := map[string]string{"amqp091": "amqp", "amqp0.9.1": "amqp", "amqps": "amqp/ssl", "amqp091s": "amqp/ssl"}
	want := strings.ToLower(c.args[0])
	if a, ok := aliases[want]; ok {
		want = a
	}
	var have []string
	for _, l := range listeners(x.Listeners) {
		have = append(have, l.proto)
	}
	slices.Sort(have)
	have = slices.Compact(have)
	if slices.Contains(have, want) {
		return c.answers(pairs{{"result", "ok"}}, "A listener for protocol %s is running on node %s.", c.args[0], x.Node)
	}
	return c.failed(exitUnavailable, "No listener for protocol %s is active on node %s. Found listeners for the following protocols: %s",
		c.args[0], x.Node, strings.Join(have, ", "))
}

// checkConnectivity connects to each listener from here, and says nothing: that
// is no fault of a client.
func (c *call) checkConnectivity(x client.Overview) error {
	var good, bad []string
	for _, l := range listeners(x.Listeners) {
		host := l.host
		if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		var d net.Dialer
		conn, err := d.DialContext(c.ctx, "tcp", net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(l.port)))
		if err != nil {
			bad = append(bad, strconv.Itoa(l.port))
			continue
		}
		_ = conn.Close() // it was only opened
		good = append(good, strconv.Itoa(l.port))
	}
	if len(bad) > 0 {
		return &failure{exitUnavailable, fmt.Sprintf("Connection attempts to ports %s on node %s failed", strings.Join(bad, ", "), x.Node)}
	}
	return c.answers(pairs{{"result", "ok"}}, "Successfully connected to ports %s on node %s.", strings.Join(good, ", "), x.Node)
}

func (c *call) checkVHosts(x client.Overview) error {
	if len(x.VHostsDown) == 0 {
		return c.answers(pairs{{"result", "ok"}}, "Node %s reported all vhosts as running", x.Node)
	}
	return &failure{exitUnavailable, fmt.Sprintf("Some virtual hosts on node %s are down:\n%s", x.Node, strings.Join(x.VHostsDown, "\n"))}
}

func (c *call) checkHealth(x client.Overview) error {
	switch {
	case len(x.VHostsDown) > 0:
		return c.failed(exitUnavailable, "health check failed. Message: some virtual hosts are down: %s", strings.Join(x.VHostsDown, ", "))
	case len(x.Alarms) > 0:
		return c.failed(exitUnavailable, "health check failed. Message: resource alarm(s) in effect: [%s]", strings.Join(x.Alarms, ","))
	}
	return c.answers(pairs{{"result", "ok"}}, "Health check passed")
}

func (c *call) memoryBreakdown(x client.Overview) error {
	if c.machine() {
		var out pairs
		for _, p := range x.Breakdown {
			out = append(out, pair{p.Name, pairs{{"bytes", p.Bytes}}})
		}
		c.form.value(out)
		return nil
	}
	sheet{c.w.Stdout}.parts(unit{"gb", 1e9}, x, "%%")
	return nil
}
