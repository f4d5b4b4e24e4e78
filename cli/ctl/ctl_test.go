package ctl

import (
	"strings"
	"testing"
)

// (estate R9, R15: the tools' names, options and exit codes, and nodes by name).
func TestOptionsStandAnywhere(t *testing.T) {
	d := newDesk(t, identity{})
	banner := "Will ping rabbit@node-01. This only checks if the node's process answers. Timeout: "
	for _, line := range []string{
		"-n rabbit@node-01 ping", "ping --node=rabbit@node-01", "--longnames -n rabbit ping", "ping -l", "--vhost / ping -p /x",
	} {
		d.wants(exitOK, banner+"60000 ms.\nPing succeeded\n", "", strings.Fields(line)...)
	}
	d.wants(exitOK, banner+"5000 ms.\nPing succeeded\n", "", "ping", "-t", "5")
	d.wants(exitOK, banner+"0 ms.\nPing succeeded\n", "", "--timeout", "infinity", "ping")
	d.wants(exitOK, "Ping succeeded\n", "", "-q", "ping")
	d.wants(exitOK, "", "", "ping", "--silent")
	d.wants(exitOK, "test\n", "", "--version")
	d.wants(exitOK, "test\n", "", "version")
	d.env["RABBITMQ_NODENAME"] = "rabbit@node-01"
	d.wants(exitOK, "Ping succeeded\n", "", "ping", "-q")
}

func TestExitCodes(t *testing.T) {
	d := newDesk(t, identity{})
	for _, tc := range []struct {
		line, errs string
		code       int
	}{
		{"", "Available commands:", exitUsage},
		{"frobnicate_it_all", "Command 'frobnicate_it_all' not found.", exitUsage},
		{"pong", "Command 'pong' not found. \nDid you mean 'ping'?", exitUsage},
		{"ping now", "Error (argument validation): too many arguments.\nArguments given:\n\tping now\n\nUsage\n\nrabbitmqctl ", exitUsage},
		{"ping --bogus", "Invalid options for this command:\n--bogus : ", exitUsage},
		{"ping --timeout soon", "Invalid options for this command:\n--timeout : soon", exitUsage},
		{"ping -n", "Invalid options for this command:\n-n : ", exitUsage},
		{"ping --formatter xml", "Formatter 'xml' is not supported", exitUsage},
		{"ping -n rabbit@node-02", "unable to perform an operation on node 'rabbit@node-02'", exitUnavailable},
		{"ping --data /nonexistent", "Target node is not running", exitUnavailable},
		{"help nope", "Command 'nope' not found.", exitUsage},
	} {
		t.Run(tc.line, func(t *testing.T) {
			if code := d.run(strings.Fields(tc.line)...); code != tc.code || !strings.Contains(d.errs.String(), tc.errs) || d.out.Len() > 0 {
				t.Errorf("code %d, want %d\n%s\n%s", code, tc.code, d.out.String(), d.errs.String())
			}
		})
	}
}

func TestHelp(t *testing.T) {
	d := newDesk(t, nil)
	for _, tool := range Tools() {
		if code := d.runAs(tool, "help"); code != exitOK || !strings.Contains(d.out.String(), "   version") {
			t.Errorf("%s: %d %s", tool, code, d.out.String())
		}
	}
	if code := d.run("help", "ping"); code != exitOK || !strings.Contains(d.out.String(), "--quiet] ping\n") {
		t.Errorf("%d %s", code, d.out.String())
	}
	if code := d.run("ping", "--help"); code != exitOK || !strings.Contains(d.out.String(), "--quiet] ping\n") {
		t.Errorf("%d %s", code, d.out.String())
	}
}

// Every verb says what help needs, and no tool has a name twice.
func TestVerbs(t *testing.T) {
	for _, p := range tools() {
		seen := map[string]bool{}
		for _, v := range verbs() {
			if v.tools&p.tool == 0 {
				continue
			}
			if seen[v.name] || v.short == "" || v.group == "" || v.run == nil || v.max >= 0 && v.min > v.max {
				t.Errorf("%s: %+v", p.name, v)
			}
			seen[v.name] = true
		}
	}
}
