package ctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// (estate R1, R10, R19: what describes a node, and the checks of its health).
func TestStatusTranscript(t *testing.T) {
	d, url := nodeDesk(t)
	dial(t, url)
	out := d.transcript("status", "status -q --unit mb", "cluster_status", "list_feature_flags")
	out = strings.ReplaceAll(out, d.dir, "DIR")
	out = regexp.MustCompile(`go1\.\S+`).ReplaceAllString(out, "GO")
	out = regexp.MustCompile(`(: |\(|limit: |port: )\d+(\.\d+)?`).ReplaceAllString(out, "${1}N")
	// The parts of the memory stand in the order of their sizes.
	parts := regexp.MustCompile(`(?m)(^[a-z_]+: N [gm]b \(N %\)\n)+`)
	out = parts.ReplaceAllStringFunc(out, func(s string) string {
		lines := strings.SplitAfter(s, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "")
	})
	golden(t, "status.txt", out)

	var s struct {
		PID    int
		Uptime *int64
		Totals struct {
			Connections int `json:"connection_count"`
		}
		Listeners []struct {
			Port     int
			Protocol string
		}
		Version string `json:"rabbitmq_version"`
	}
	if code := d.run("status", "--formatter", "json"); code != exitOK || json.Unmarshal(d.out.Bytes(), &s) != nil {
		t.Fatal(code, d.out.String())
	}
	if s.PID != os.Getpid() || s.Uptime == nil || s.Totals.Connections != 1 || len(s.Listeners) != 1 || s.Listeners[0].Protocol != "amqp" || s.Version == "" {
		t.Errorf("%+v in %s", s, d.out.String())
	}
	if code := d.run("status", "--unit", "bits"); code != exitData {
		t.Error(code)
	}
	var cluster struct {
		Running    []string            `json:"running_nodes"`
		Disk       []string            `json:"disk_nodes"`
		Partitions map[string][]string `json:"partitions"`
	}
	if code := d.run("cluster_status", "--formatter=json"); code != exitOK || json.Unmarshal(d.out.Bytes(), &cluster) != nil {
		t.Fatal(code, d.out.String())
	}
	if len(cluster.Running) != 1 || cluster.Running[0] != "rabbit@node-01" || cluster.Partitions == nil {
		t.Errorf("%+v in %s", cluster, d.out.String())
	}
}

// The recipe's own output, which has three nodes, with one. (estate R10).
func TestClusterStatusOfOld(t *testing.T) {
	text, err := os.ReadFile("../../test/estates/rabbitmq/cluster_status.expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`\['rabbit@node-0\d'[^\]]*\]`).ReplaceAllString(string(text), "['rabbit@node-01']")
	d, _ := nodeDesk(t)
	if code := d.run("cluster_status", "--formatter", "erlang"); code != exitOK {
		t.Fatal(code, d.errs.String())
	}
	// What came into it since stands behind.
	got := regexp.MustCompile(`(?s),\n \{cluster_name.*\]\n`).ReplaceAllString(d.out.String(), "]\n")
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChecks(t *testing.T) {
	d, url := nodeDesk(t)
	uri, err := amqp.ParseURI(url)
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(uri.Port)
	for _, tc := range []struct {
		line, out, errs string
		code            int
	}{
		{"check_running", "Checking if RabbitMQ is running on node rabbit@node-01 ...\nRabbitMQ on node rabbit@node-01 is fully booted and running\n", "", 0},
		{"is_running -q", "RabbitMQ on node rabbit@node-01 is fully booted and running\n", "", 0},
		{"is_running --formatter json", "{\"result\":true}\n", "", 0},
		{"is_booting -q", "RabbitMQ on node rabbit@node-01 is fully booted (check with is_running), stopped or has not started booting yet\n", "", 0},
		{"check_alarms -q", "Node rabbit@node-01 reported no alarms, local or clusterwide\n", "", 0},
		{"check_local_alarms", "Asking node rabbit@node-01 to report any local resource alarms ...\nNode rabbit@node-01 reported no local alarms\n", "", 0},
		{"alarms -q", "Node rabbit@node-01 reported no alarms, local or clusterwide\n", "", 0},
		{"listeners -q", "Interface: 127.0.0.1, port: " + port + ", protocol: amqp, purpose: AMQP 0-9-1\n", "", 0},
		{"check_port_listener " + port, "Asking node rabbit@node-01 if there's an active listener on port " + port + " ...\nA listener for port " + port + " is running on node rabbit@node-01.\n", "", 0},
		{"check_port_listener -q 1", "", "No listener for port 1 is active on node rabbit@node-01. Found listeners that use the following ports: " + port + "\n", exitUnavailable},
		{"check_protocol_listener -q amqp", "A listener for protocol amqp is running on node rabbit@node-01.\n", "", 0},
		{"check_protocol_listener mqtt -q", "", "Error:\nNo listener for protocol mqtt is active on node rabbit@node-01. Found listeners for the following protocols: amqp\n", exitUnavailable},
		{"check_port_connectivity -q", "Successfully connected to ports " + port + " on node rabbit@node-01.\n", "", 0},
		{"check_virtual_hosts -q", "Node rabbit@node-01 reported all vhosts as running\n", "", 0},
		{"check_if_node_is_quorum_critical -q", "Node rabbit@node-01 seems to be the only one in a single node cluster, the check does not apply\n", "", 0},
		{"node_health_check", "Timeout: 70 seconds ...\nChecking health of node rabbit@node-01 ...\nHealth check passed\n", "", 0},
		{"log_location -s", "", "", 0},
		{"log_location -q", "<stderr>\n", "", 0},
		{"await_online_nodes 1 -q", "", "", 0},
		{"await_online_nodes 2 -q -t 1", "", "Error: timed out while waiting. Not enough nodes joined rabbit@node-01's cluster.\n", exitSoftware},
		{"check_if_node_is_mirror_sync_critical -q --formatter json", "{\"result\":\"ok\"}\n", "", 0},
		{"await_startup", "", "", 0},
	} {
		t.Run(tc.line, func(t *testing.T) {
			code := d.runAs("rabbitmq-diagnostics", strings.Fields(tc.line)...)
			if code != tc.code || d.out.String() != tc.out || d.errs.String() != tc.errs {
				t.Errorf("exit code %d, want %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q", code, tc.code, d.out.String(), tc.out, d.errs.String(), tc.errs)
			}
		})
	}
	if code := d.runAs("rabbitmq-diagnostics", "memory_breakdown", "-q"); code != exitOK || !strings.Contains(d.out.String(), "heap_objects: 0.") {
		t.Error(code, d.out.String())
	}
	d.wants(exitOK, "Will ask all processes on node rabbit@node-01 to schedule a full sweep GC\n", "", "force_gc")
}

// (estate R12: stop, and wait for a node).
func TestStop(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	pidFile := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	me := strconv.Itoa(os.Getpid())
	d.wants(exitOK, "Waiting for pid file '"+pidFile+"' to appear\npid is "+me+"\nWaiting for node 'in "+d.dir+"' while OS process '"+me+"' is running\n"+
		"Applications 'rabbit_and_plugins' are running on node 'rabbit@node-01'\n", "", "wait", pidFile)
	d.wants(exitOK, "", "", "wait", "-q", "--pid", me)
	d.wants(exitSoftware, "", "Error:\nprocess_not_running\n", "wait", "-q", "--pid", "2147483646", "-n", "x@y")
	d.wants(exitTemp, "", "Error:\npid file '/nonexistent' did not appear\n", "wait", "-q", "/nonexistent", "-t", "1")
	if code := d.run("wait"); code != exitUsage {
		t.Error(code)
	}

	d.wants(exitOK, "Stopping and halting node rabbit@node-01 ...\n", "", "stop")
	if e := <-p.closed; e == nil || e.Code != amqp.ConnectionForced {
		t.Errorf("the client is told %v", e)
	}
	if code := d.run("stop"); code != exitUnavailable {
		t.Errorf("stopped twice: %d", code)
	}
	d.wants(exitOK, "Node in "+d.dir+" is no longer running\n", "", "stop", "--idempotent")
	if code := d.run("await_startup", "-t", "1"); code != exitTemp {
		t.Error(code)
	}
}

func TestShutdown(t *testing.T) {
	d, _ := nodeDesk(t)
	me := strconv.Itoa(os.Getpid())
	d.wants(exitOK, "Shutting down RabbitMQ node rabbit@node-01 running at PID "+me+"\nRabbitMQ node rabbit@node-01 running at PID "+me+" successfully shut down\n", "", "shutdown")
}

// What this version does not do it says, whatever options are given.
func TestRefused(t *testing.T) {
	d := newDesk(t, nil)
	for _, r := range refusals() {
		tool := "rabbitmqctl"
		for _, p := range tools() {
			if r.tools&p.tool != 0 {
				tool = p.name
			}
		}
		if code := d.runAs(tool, r.name, "--any", "thing"); code != exitUnavailable || d.errs.String() != "Error:\n"+r.why+"\n" {
			t.Errorf("%s: %d %s", r.name, code, d.errs.String())
		}
	}
}

func TestReport(t *testing.T) {
	d, url := nodeDesk(t)
	topology(t, dial(t, url))
	if code := d.run("report"); code != exitOK {
		t.Fatal(code, d.errs.String())
	}
	for _, part := range []string{
		"Reporting server status of node rabbit@node-01 ...", "Status of node rabbit@node-01 ...", "Cluster status of node", "Application environment",
		"Listing connections ...", "Listing channels ...", "Listing queues for vhost / ...", "Listing bindings for vhost /...",
		"Listing permissions for vhost \"/\" ...", "Listing policies", "orders\ttrue", "End of server status report.",
	} {
		if !strings.Contains(d.out.String(), part) {
			t.Errorf("not in it: %q", part)
		}
	}
}
