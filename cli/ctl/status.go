package ctl

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/admin/client"
)

func statusVerbs() []verb {
	return []verb{
		{
			name: "ping", tools: ctl | diagnostics, group: monitoring,
			short: "Checks that the node answers", timeout: listTime, needs: anyState,
			banner: func(c *call) string {
				return fmt.Sprintf("Will ping %s. This only checks if the node's process answers. Timeout: %d ms.", c.self.Node, c.timeout.Milliseconds())
			},
			run: func(c *call) error { c.say("Ping succeeded"); return nil },
		},
		{
			name: "status", tools: ctl | diagnostics, group: monitoring, timeout: listTime, needs: anyState,
			short: "Displays status of a node", usage: "[--unit <unit>]", options: []option{own("unit", "unit")},
			check:  func(c *call) error { _, err := c.unit(); return err },
			banner: func(c *call) string { return fmt.Sprintf("Status of node %s ...", c.self.Node) },
			run: func(c *call) error {
				x, err := c.node.Overview(c.ctx)
				if err != nil {
					return err
				}
				if c.format == "" || c.format == asTable || c.format == "report" {
					return c.printStatus(x)
				}
				c.form.value(statusTerm(x))
				return nil
			},
		},
	}
}

// A unit is what sizes are printed in.
type unit struct {
	name  string
	bytes float64
}

// unit returns the one that was asked for.
func (c *call) unit() (unit, error) {
	name, ok := c.opt("unit")
	if !ok {
		name = "gb"
	}
	all := []unit{{"bytes", 1}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}}
	i := slices.IndexFunc(all, func(u unit) bool { return strings.EqualFold(u.name, name) })
	if i < 0 {
		return unit{}, c.invalid(exitData, "Bad argument: unit '%s' is not supported. Please use one of: bytes, kb, mb, gb, tb", name)
	}
	return all[i], nil
}

// of writes a size: four digits behind the point at most, as RabbitMQ has it.
func (u unit) of(n int64) string {
	s := strconv.FormatFloat(float64(n)/u.bytes, 'f', 4, 64)
	s = strings.TrimRight(s, "0")
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	return s + " " + u.name
}

// A sheet writes sections as RabbitMQ's status has them.
type sheet struct{ w io.Writer }

func (s sheet) section(name string) { fmt.Fprintf(s.w, "%s\n\n", name) }

func (s sheet) line(format string, args ...any) { fmt.Fprintf(s.w, format+"\n", args...) }

func (s sheet) list(format string, of []string) {
	if len(of) == 0 {
		s.line("(none)")
	}
	for _, x := range of {
		s.line(format, x)
	}
}

func (c *call) printStatus(x client.Overview) error {
	u, err := c.unit()
	if err != nil {
		return err
	}
	s := sheet{c.w.Stdout}
	s.section("Runtime")
	s.line("OS PID: %d", x.PID)
	s.line("OS: %s", x.OS)
	s.line("Uptime (seconds): %d", x.UptimeSeconds)
	s.line("Is under maintenance?: %t", x.Maintenance)
	s.line("Product name: Warren")
	s.line("Product version: %s", x.Version)
	s.line("RabbitMQ version: %s", x.Compatible)
	s.line("Node name: %s", x.Node)
	s.line("Runtime: %s", x.Runtime)
	s.line("Goroutines: %d", x.Goroutines)
	s.line("")
	s.section("Plugins")
	s.line("Enabled plugins:\n\n")
	s.section("Data directory")
	s.line("Node data directory: %s\n", x.DataDir)
	s.section("Config files")
	s.list(" * %s", x.ConfigFiles)
	s.line("")
	s.section("Log file(s)")
	s.list(" * %s", x.LogFiles)
	s.line("")
	s.section("Alarms")
	s.list("%s", alarmTexts(x.Node, x.Alarms))
	s.line("")
	s.section("Memory")
	s.line("Total memory used: %s", u.of(x.Memory.Used))
	s.line("Calculation strategy: allocated")
	s.line("Memory high watermark setting: %s, computed to: %s", u.of(x.Memory.HighWatermark), u.of(x.Memory.HighWatermark))
	s.line("")
	s.parts(u, x, " %%")
	s.line("")
	s.section("File Descriptors")
	s.line("Total: %d, limit: %d", x.Files.Used, x.Files.Limit)
	s.line("Sockets: %d\n", x.Counts.Connections)
	s.section("Free Disk Space")
	s.line("Low free disk space watermark: %s", u.of(x.Disk.FreeLimit))
	s.line("Free disk space: %s\n", u.of(x.Disk.Free))
	s.section("Totals")
	s.line("Connection count: %d", x.Counts.Connections)
	s.line("Queue count: %d", x.Counts.Queues)
	s.line("Virtual host count: %d\n", x.Counts.VHosts)
	s.section("Listeners")
	for _, l := range listeners(x.Listeners) {
		s.line("%s", l)
	}
	s.line("")
	s.section("Limiting")
	s.list(" * %s", x.Limiting)
	return nil
}

// parts writes the breakdown of the memory, the largest first.
func (s sheet) parts(u unit, x client.Overview, percent string) {
	parts := slices.Clone(x.Breakdown)
	slices.SortStableFunc(parts, func(a, b client.MemoryPart) int { return cmp.Compare(b.Bytes, a.Bytes) })
	for _, p := range parts {
		share := strconv.FormatFloat(100*float64(p.Bytes)/float64(max(x.Memory.Used, 1)), 'f', 2, 64)
		s.line("%s: %s (%s"+percent+")", p.Name, u.of(p.Bytes), share)
	}
}

// alarmTexts are the alarms in RabbitMQ's words.
func alarmTexts(node string, alarms []string) (out []string) {
	for _, a := range alarms {
		switch a {
		case "memory":
			out = append(out, "Memory alarm on node "+node)
		case "disk":
			out = append(out, "Free disk space alarm on node "+node)
		default:
			out = append(out, a+" alarm on node "+node)
		}
	}
	return out
}

// A bound is an open listener as operators know it.
type bound struct {
	host, proto, purpose string
	port                 int
}

func (b bound) String() string {
	return fmt.Sprintf("Interface: %s, port: %d, protocol: %s, purpose: %s", b.host, b.port, b.proto, b.purpose)
}

// term is the listener in JSON and as Erlang has it.
func (b bound) term(node string) pairs {
	return pairs{{"node", node}, {"protocol", b.proto}, {"interface", b.host}, {"port", b.port}, {"purpose", b.purpose}}
}

// listeners lists the open addresses.
func listeners(open []client.Listener) (out []bound) {
	purposes := map[string]string{
		"cluster": "inter-node and CLI tool communication", "amqp": "AMQP 0-9-1", "amqps": "AMQP 0-9-1 over TLS", "auto": "every protocol that is served",
	}
	protocols := map[string]string{"amqps": "amqp/ssl", "cluster": "clustering"} // RabbitMQ's names
	for _, l := range open {
		host, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			continue // not an address of the network
		}
		n, _ := strconv.Atoi(port) // our own words
		if host == "" {
			host = "[::]"
		}
		out = append(out, bound{host: host, port: n, proto: cmp.Or(protocols[l.Name], l.Name), purpose: cmp.Or(purposes[l.Name], l.Name)})
	}
	return out
}

// statusTerm is the status under the names that RabbitMQ's JSON has.
func statusTerm(x client.Overview) pairs {
	memory := pairs{{"strategy", "allocated"}}
	for _, p := range x.Breakdown {
		memory = append(memory, pair{p.Name, p.Bytes})
	}
	memory = append(memory, pair{"total", pairs{{"allocated", x.Memory.Used}}})
	var open terms
	for _, l := range listeners(x.Listeners) {
		open = append(open, l.term(x.Node))
	}
	return pairs{
		{"pid", x.PID},
		{"os", x.OS},
		{"uptime", x.UptimeSeconds},
		{"is_under_maintenance", x.Maintenance},
		{"product_name", "Warren"},
		{"product_version", x.Version},
		{"rabbitmq_version", x.Compatible},
		{"node", x.Node},
		{"runtime", x.Runtime},
		{"processes", pairs{{"used", x.Goroutines}}},
		{"active_plugins", terms{}},
		{"data_directory", x.DataDir},
		{"config_files", texts(x.ConfigFiles)},
		{"log_files", texts(x.LogFiles)},
		{"alarms", texts(x.Alarms)},
		{"memory", memory},
		{"vm_memory_calculation_strategy", "allocated"},
		{"vm_memory_high_watermark_limit", x.Memory.HighWatermark},
		{"disk_free", x.Disk.Free},
		{"disk_free_limit", x.Disk.FreeLimit},
		{"file_descriptors", pairs{{"total_used", x.Files.Used}, {"total_limit", x.Files.Limit}, {"sockets_used", x.Counts.Connections}}},
		{"totals", pairs{{"virtual_host_count", x.Counts.VHosts}, {"connection_count", x.Counts.Connections}, {"queue_count", x.Counts.Queues}}},
		{"listeners", open},
		{"limiting", texts(x.Limiting)},
	}
}
