package ctl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

// clusterStatus shows the cluster in one of three forms: sections, terms of
// Erlang, JSON.
func (c *call) clusterStatus() error {
	x, err := c.cluster()
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

// cluster asks for the cluster. A node that does not run tells what it knew when
// it did.
func (c *call) cluster() (x client.Cluster, err error) {
	if c.self.State == "" {
		return c.node.Cluster(c.ctx, client.ClusterQuery{})
	}
	l, err := c.node.Life(c.ctx, client.LifeQuery{})
	if err != nil {
		return x, err
	}
	for _, name := range l.Members {
		x.Members = append(x.Members, client.MemberState{Member: client.Member{Name: name}})
	}
	x.Name = c.self.Node
	return x, nil
}

func membersOf(x client.Cluster) (all []client.Member) {
	for _, m := range x.Members {
		all = append(all, m.Member)
	}
	return all
}

// members returns the names of the cluster's nodes, and of those that run.
func members(of []client.Member) (all, running []string) {
	for _, m := range of {
		all = append(all, m.Name)
		if m.Running {
			running = append(running, m.Name)
		}
	}
	return all, running
}

// erlangCluster prints what scripts of old look for: the first three terms as
// RabbitMQ had them when there were no others, in its order: of those that run
// the node that is asked comes last.
func (c *call) erlangCluster(x client.Cluster) {
	all, up := members(membersOf(x))
	slices.SortFunc(up, func(a, b string) int {
		if a == c.self.Node || b == c.self.Node {
			return cmp.Compare(btoi(a == c.self.Node), btoi(b == c.self.Node))
		}
		return cmp.Compare(b, a)
	})
	var partitions, alarms terms
	for _, m := range x.Members {
		if m.About == nil {
			continue
		}
		if len(m.About.Unreached) > 0 {
			partitions = append(partitions, tuple{atom(m.Name), atoms(m.About.Unreached)})
		}
		alarms = append(alarms, tuple{atom(m.Name), atoms(m.About.Alarms)})
	}
	lines := []string{
		filled("[{nodes,[{disc,", all, "]}]},"),
		filled(" {running_nodes,", up, "]},"),
		" {partitions," + erlang(partitions) + "},",
		" {cluster_name," + erlang(x.Name) + "},",
		" {alarms," + erlang(alarms) + "}]",
	}
	fmt.Fprintln(c.w.Stdout, strings.Join(lines, "\n"))
	c.banner("...done.")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// erlangLine is how much Erlang prints in a line besides what it is indented by.
const erlangLine = 60

// filled writes a list of atoms behind a text as Erlang does: in lines, each
// beginning below the first of them.
func filled(before string, names []string, after string) string {
	out := before + "["
	column := len(out)
	line := column - (len(before) - len(strings.TrimLeft(before, " ")))
	for i, name := range names {
		text, last := erlangAtom(name), i == len(names)-1
		width := len(text) + 1
		if last {
			width = len(text) + len(after)
		}
		if i > 0 && line+width > erlangLine {
			out += "\n" + strings.Repeat(" ", column)
			line = 0
		}
		out += text
		line += len(text) + 1
		if !last {
			out += ","
		}
	}
	return out + after
}

func (c *call) printCluster(x client.Cluster) {
	s := sheet{c.w.Stdout}
	all, up := members(membersOf(x))
	cpus := 0
	for _, m := range x.Members {
		if m.About != nil {
			cpus += m.About.CPUs
		}
	}
	s.section("Basics")
	s.line("Cluster name: %s", x.Name)
	s.line("Total CPU cores available cluster-wide: %d\n", cpus)
	s.section("Disk Nodes")
	s.line("%s\n", strings.Join(all, "\n"))
	s.section("Running Nodes")
	s.list("%s", up)
	s.line("")
	c.printMembers(s, x)
	s.section("Feature flags")
	for _, f := range flags() {
		state := "disabled"
		if f.on {
			state = "enabled"
		}
		s.line("Flag: %s, state: %s", f.name, state)
	}
}

// printMembers writes what is said of each node that runs.
func (c *call) printMembers(s sheet, x client.Cluster) {
	var versions, cores, maintenance, alarms, partitions, open, under []string
	add := func(to *[]string, format string, args ...any) { *to = append(*to, fmt.Sprintf(format, args...)) }
	for _, m := range x.Members {
		if m.Running {
			add(&maintenance, "Node: %s, status: %s", m.Name, maintenanceText(m))
		}
		a := m.About
		if a == nil {
			continue
		}
		add(&versions, "%s: RabbitMQ %s on %s, Warren %s", m.Name, a.Compatible, a.Runtime, a.Version)
		add(&cores, "Node: %s, available CPU cores: %d", m.Name, a.CPUs)
		alarms = append(alarms, alarmTexts(m.Name, a.Alarms)...)
		if len(a.Unreached) > 0 {
			add(&partitions, "Node %s cannot communicate with %s", m.Name, strings.Join(a.Unreached, ", "))
		}
		for _, l := range listeners(a.Listeners) {
			add(&open, "Node: %s, interface: %s, port: %d, protocol: %s, purpose: %s", m.Name, l.host, l.port, l.proto, l.purpose)
		}
	}
	for _, i := range x.Intents {
		since := ""
		if !i.Begun.IsZero() {
			since = ", since " + i.Begun.UTC().Format("2006-01-02 15:04:05")
		}
		add(&under, "%s of %s%s: %s", i.Kind, i.Subject, since, cmp.Or(i.Text, "begun"))
	}
	section := func(name string, lines []string) {
		s.section(name)
		s.list("%s", lines)
		s.line("")
	}
	section("Versions", versions)
	section("CPU Cores", cores)
	section("Maintenance status", maintenance)
	section("Alarms", alarms)
	section("Network Partitions", partitions)
	section("Listeners", open)
	if len(under) > 0 {
		section("Under way", under)
	}
}

// maintenanceText is RabbitMQ's word for what a node takes part in.
func maintenanceText(m client.MemberState) string {
	if m.Draining {
		return "marked for maintenance"
	}
	return "not under maintenance"
}

// clusterTerm is the cluster under the names that RabbitMQ's JSON has.
func clusterTerm(x client.Cluster) pairs {
	disk, up := members(membersOf(x))
	partitions, open, versions, maintenance, cores := pairs{}, pairs{}, pairs{}, pairs{}, pairs{}
	var alarms, under terms
	for _, m := range x.Members {
		if m.Running {
			maintenance = append(maintenance, pair{m.Name, maintenanceText(m)})
		}
		a := m.About
		if a == nil {
			continue
		}
		if len(a.Unreached) > 0 {
			partitions = append(partitions, pair{m.Name, texts(a.Unreached)})
		}
		alarms = append(alarms, alarmTerms(m.Name, a.Alarms)...)
		var all terms
		for _, l := range listeners(a.Listeners) {
			all = append(all, l.term(m.Name))
		}
		open = append(open, pair{m.Name, all})
		versions = append(versions, pair{m.Name, pairs{
			{"rabbitmq_name", "Warren"}, {"rabbitmq_version", a.Compatible}, {"product_version", a.Version},
		}})
		cores = append(cores, pair{m.Name, a.CPUs})
	}
	for _, i := range x.Intents {
		under = append(under, pairs{{"kind", i.Kind}, {"subject", i.Subject}, {"begun", max(i.Begun.Unix(), 0)}, {"text", i.Text}})
	}
	var features terms
	for _, f := range flags() {
		state := "disabled"
		if f.on {
			state = "enabled"
		}
		features = append(features, pairs{{"name", f.name}, {"state", state}, {"desc", f.text}, {"stability", "stable"}})
	}
	return pairs{
		{"cluster_name", x.Name},
		{"disk_nodes", texts(disk)},
		{"ram_nodes", terms{}},
		{"running_nodes", texts(up)},
		{"partitions", partitions},
		{"alarms", alarms},
		{"listeners", open},
		{"versions", versions},
		{"cpu_cores", cores},
		{"maintenance_status", maintenance},
		{"under_way", under},
		{"feature_flags", features},
	}
}

// alarmTerms are the alarms of a node as RabbitMQ's JSON has them.
func alarmTerms(node string, alarms []string) (out terms) {
	for _, a := range alarms {
		out = append(out, pairs{{"node", node}, {"resource", a}, {"type", "resource_limit"}})
	}
	return out
}
