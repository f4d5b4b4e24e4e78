package ctl

import (
	"fmt"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

const clusterGroup = "Cluster"

func clusterVerbs() []verb {
	return []verb{
		{
			name: "cluster_status", tools: ctl | diagnostics, group: clusterGroup, timeout: listTime,
			short:  "Displays all the nodes in the cluster, together with the currently running nodes",
			banner: (*call).clusterBanner, run: (*call).clusterStatus,
		},
		{
			name: "list_feature_flags", tools: ctl | diagnostics, group: "Feature flags", max: -1, timeout: listTime,
			short: "Lists feature flags", usage: "[<column>, ...]",
			check:  func(c *call) error { _, err := choose(c, flagColumns(), "name", "state"); return err },
			banner: func(*call) string { return "Listing feature flags ..." },
			run: func(c *call) error {
				cols, err := choose(c, flagColumns(), "name", "state")
				if err != nil {
					return err
				}
				return list(c, cols, func(yield func(flagState, error) bool) {
					for _, f := range flags() {
						if !yield(f, nil) {
							return
						}
					}
				})
			},
		},
		{
			name: "enable_feature_flag", tools: ctl, group: "Feature flags", min: 1, max: 1,
			short: "Accepts the flag of a feature that this version has: all are on", usage: "<all | feature_flag>",
			banner: func(c *call) string { return fmt.Sprintf("Enabling feature flag %q ...", c.args[0]) },
			run: func(c *call) error {
				for _, f := range flags() {
					if c.args[0] == "all" || f.name == c.args[0] && f.on {
						return nil
					}
				}
				return c.failed(exitUnavailable, "Feature flag '%s' is not supported by this version of Warren", c.args[0])
			},
		},
	}
}

// A flagState is a feature under RabbitMQ's name for it.
type flagState struct {
	name, text string
	on         bool
}

// flags are the features that RabbitMQ's users may ask for.
func flags() []flagState {
	return []flagState{
		{"implicit_default_bindings", "Every queue is bound to the default exchange without that being stored", true},
		{"quorum_queue", "Queues of type quorum", true},
		{"stream_queue", "Queues of type stream", false},
		{"user_limits", "Limits of connections and channels for a user", true},
		{"virtual_host_metadata", "Description and tags of a virtual host", true},
	}
}

func flagColumns() []column[flagState] {
	return []column[flagState]{
		{"name", func(f *flagState) any { return f.name }},
		{"state", func(f *flagState) any {
			if f.on {
				return atom("enabled")
			}
			return atom("disabled")
		}},
		{"desc", func(f *flagState) any { return f.text }},
		{"stability", func(*flagState) any { return atom("stable") }},
	}
}

// clusterBanner quotes the node where the output is for those who know it from
// old versions.
func (c *call) clusterBanner() string {
	if c.format == asErlang {
		return fmt.Sprintf("Cluster status of node %s ...", erlangAtom(c.self.Node))
	}
	return fmt.Sprintf("Cluster status of node %s ...", c.self.Node)
}

func (c *call) clusterStatus() error {
	x, err := c.node.Overview(c.ctx)
	if err != nil {
		return err
	}
	switch c.format {
	case "", asTable, "report":
		c.printCluster(x)
	case asErlang:
		c.erlangCluster(x)
	default:
		c.form.value(clusterTerm(x))
	}
	return nil
}

// erlangCluster prints what scripts of old look for: the first three terms as
// RabbitMQ had them when there were no others, each on a line.
func (c *call) erlangCluster(x client.Overview) {
	all, running := members(x)
	lines := []string{
		"{nodes,[{disc," + erlang(atoms(all)) + "}]}",
		"{running_nodes," + erlang(atoms(running)) + "}",
		"{partitions,[]}",
		"{cluster_name," + erlang(x.Node) + "}",
		"{alarms,[{" + erlang(atom(x.Node)) + "," + erlang(atoms(x.Alarms)) + "}]}",
	}
	fmt.Fprintf(c.w.Stdout, "[%s]\n", strings.Join(lines, ",\n "))
	c.banner("...done.")
}

func (c *call) printCluster(x client.Overview) {
	s := sheet{c.w.Stdout}
	s.section("Basics")
	s.line("Cluster name: %s\n", x.Node)
	all, running := members(x)
	s.section("Disk Nodes")
	s.line("%s\n", strings.Join(all, "\n"))
	s.section("Running Nodes")
	s.line("%s\n", strings.Join(running, "\n"))
	s.section("Versions")
	s.line("%s: RabbitMQ %s on %s, Warren %s\n", x.Node, x.Compatible, x.Runtime, x.Version)
	s.section("Maintenance status")
	s.line("Node: %s, status: not under maintenance\n", x.Node)
	s.section("Alarms")
	s.list("%s", alarmTexts(x))
	s.line("")
	s.section("Network Partitions")
	s.line("(none)\n")
	s.section("Listeners")
	for _, l := range listeners(x) {
		s.line("Node: %s, interface: %s, port: %d, protocol: %s, purpose: %s", x.Node, l.host, l.port, l.proto, l.purpose)
	}
	s.line("")
	s.section("Feature flags")
	for _, f := range flags() {
		state := "disabled"
		if f.on {
			state = "enabled"
		}
		s.line("Flag: %s, state: %s", f.name, state)
	}
}

// clusterTerm is the cluster under the names that RabbitMQ's JSON has.
// members returns the names of the cluster's nodes, and of those that run.
func members(x client.Overview) (all, running []string) {
	for _, m := range x.Members {
		all = append(all, m.Name)
		if m.Running {
			running = append(running, m.Name)
		}
	}
	return all, running
}

func clusterTerm(x client.Overview) pairs {
	var open, all terms
	for _, l := range listeners(x) {
		open = append(open, l.term(x.Node))
	}
	for _, f := range flags() {
		state := "disabled"
		if f.on {
			state = "enabled"
		}
		all = append(all, pairs{{"name", f.name}, {"state", state}, {"desc", f.text}, {"stability", "stable"}})
	}
	disk, running := members(x)
	version := pairs{{"rabbitmq_name", "Warren"}, {"rabbitmq_version", x.Compatible}, {"product_version", x.Version}}
	return pairs{
		{"cluster_name", x.Node},
		{"disk_nodes", texts(disk)},
		{"ram_nodes", terms{}},
		{"running_nodes", texts(running)},
		{"partitions", pairs{}},
		{"alarms", texts(x.Alarms)},
		{"listeners", pairs{{x.Node, open}}},
		{"versions", pairs{{x.Node, version}}},
		{"maintenance_status", pairs{{x.Node, "not under maintenance"}}},
		{"feature_flags", all},
	}
}
