package ctl

import (
	"encoding/json"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestSizes(t *testing.T) {
	c := &call{verb: &verb{}}
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "1GB": 1e9, "1gb": 1e9, "1.5k": 1536, "2KiB": 2048, "2ki": 2048, "3MB": 3e6, "3M": 3 << 20, "1GiB": 1 << 30, "2TB": 2e12, "7b": 7,
	} {
		if got, err := c.size(text); err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "GB", "-1", "1PB", "1kk", "1e400", "9e18k", "1 GB", "NaN", "Inf"} {
		if got, err := c.size(text); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
}

// The limits that RabbitMQ's users set in anger, in RabbitMQ's words, and what
// they do. The suite of amqp091-go calls the first of them. (estate R9).
func TestWatermarks(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	limits := func() (memory, disk int64) {
		t.Helper()
		var s struct {
			Memory int64 `json:"vm_memory_high_watermark_limit"`
			Disk   int64 `json:"disk_free_limit"`
		}
		if code := d.run("status", "--formatter", "json"); code != exitOK || json.Unmarshal(d.out.Bytes(), &s) != nil {
			t.Fatal(code, d.out.String())
		}
		return s.Memory, s.Disk
	}
	d.wants(exitOK, "Setting memory threshold on rabbit@node-01 to 0.4 ...\n", "", "set_vm_memory_high_watermark", "0.4")
	relative, _ := limits()
	d.wants(exitOK, "Setting memory threshold on rabbit@node-01 to 1GB bytes ...\n", "", "set_vm_memory_high_watermark", "absolute", "1GB")
	d.wants(exitOK, "Setting disk free limit on rabbit@node-01 to 3MB bytes ...\n", "", "set_disk_free_limit", "3MB")
	if memory, disk := limits(); relative <= 0 || relative == memory || memory != 1e9 || disk != 3e6 {
		t.Errorf("limits %d, %d, %d", relative, memory, disk)
	}
	for _, line := range []string{
		"set_vm_memory_high_watermark 3", "set_vm_memory_high_watermark -0.1", "set_vm_memory_high_watermark x", "set_vm_memory_high_watermark NaN",
		"set_vm_memory_high_watermark absolute 1PB", "set_disk_free_limit x", "set_disk_free_limit mem_relative x", "set_disk_free_limit mem_relative -1",
	} {
		if code := d.run(strings.Fields(line)...); code != exitData || !strings.Contains(d.errs.String(), "Bad argument: ") {
			t.Errorf("%s: %d %s", line, code, d.errs.String())
		}
	}
	for _, line := range []string{"set_vm_memory_high_watermark", "set_vm_memory_high_watermark 0.4 1", "set_vm_memory_high_watermark absolute", "set_disk_free_limit 1 2", "set_disk_free_limit mem_relative"} {
		if code := d.run(strings.Fields(line)...); code != exitUsage {
			t.Errorf("%s: %d %s", line, code, d.errs.String())
		}
	}

	// 0 raises the alarm at once: whoever publishes is told, and waits.
	blocked := p.NotifyBlocked(make(chan amqp.Blocking, 2))
	d.wants(exitOK, "Setting memory threshold on rabbit@node-01 to 0 ...\n", "", "set_vm_memory_high_watermark", "0")
	if code := d.runAs("rabbitmq-diagnostics", "alarms", "-q"); code != exitOK || d.out.String() != "Memory alarm on node rabbit@node-01\n" {
		t.Error(code, d.out.String())
	}
	if code := d.runAs("rabbitmq-diagnostics", "check_local_alarms", "-q"); code != exitUnavailable || d.errs.String() != "Node rabbit@node-01 reported alarms:\nMemory alarm on node rabbit@node-01\n" {
		t.Error(code, d.errs.String())
	}
	d.wants(exitOK, "blocking\n", "", "-s", "list_connections", "state")
	p.must(p.channel().PublishWithContext(t.Context(), "", "nowhere", false, false, amqp.Publishing{}))
	if b := <-blocked; !b.Active || b.Reason != "low on memory" {
		t.Errorf("the client is told %+v", b)
	}
	d.wants(exitOK, "blocked\n", "", "-s", "list_connections", "state")
	d.wants(exitOK, "", "", "-q", "set_vm_memory_high_watermark", "0.4")
	if b := <-blocked; b.Active {
		t.Errorf("the client is told %+v", b)
	}
	d.wants(exitOK, "running\n", "", "-s", "list_connections", "state")
}

func TestTrace(t *testing.T) {
	d, _ := nodeDesk(t)
	d.wants(exitOK, "Starting tracing for vhost \"/\" ...\nTrace enabled for vhost /\n", "", "trace_on")
	d.wants(exitOK, "name\ttracing\n/\ttrue\n", "", "-q", "list_vhosts", "name", "tracing")
	d.wants(exitOK, "Stopping tracing for vhost \"/\" ...\nTrace disabled for vhost /\n", "", "trace_off", "-p", "/")
	d.wants(exitOK, "name\ttracing\n/\tfalse\n", "", "-q", "list_vhosts", "name", "tracing")
	d.wants(exitData, "Starting tracing for vhost \"nope\" ...\n", "Virtual host 'nope' does not exist\n", "trace_on", "-p", "nope")
}
