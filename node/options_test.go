package node

import (
	"strings"
	"testing"
	"time"
)

func good() Options {
	return Options{
		Name: "rabbit@node-01", DataDir: "d", SegmentBytes: 64 << 20,
		Memory: Memory{Budget: 256 << 20, Entries: 64 << 20, Memtable: 32 << 20, Cache: 32 << 20},
		Listen: []Listen{{Protocol: "amqp", Addr: "127.0.0.1:0"}},
	}
}

func TestValidate(t *testing.T) {
	if err := good().Validate(); err != nil {
		t.Fatal(err)
	}
	if err := good().withDefaults().Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for _, tc := range []struct {
		name string
		do   func(*Options)
		want string
	}{
		{"name", func(o *Options) { o.Name = "../x" }, `name is "../x"`},
		{"dir", func(o *Options) { o.DataDir = "" }, "data directory is not set"},
		{"shards", func(o *Options) { o.Shards = 65 }, "must be 1 to 64"},
		{"segment", func(o *Options) { o.SegmentBytes = 1 }, "at least 1 MiB"},
		{"budget", func(o *Options) { o.Memory.Budget = 1 }, "at least 64 MiB"},
		{"share", func(o *Options) { o.Memory.Cache = 0 }, "every share must be positive"},
		{"shares", func(o *Options) { o.Memory.Cache = 1 << 30 }, "must fit the budget"},
		{"limit", func(o *Options) { o.Limits.MessageBytes = 1 << 40 }, "limit message bytes is"},
		{"unknown", func(o *Options) { o.Listen[0].Protocol = "amq" }, `protocol "amq" is not known`},
		{"later", func(o *Options) { o.Listen[0].Protocol = "mqtt" }, "later release"},
		{"twice", func(o *Options) { o.Listen = append(o.Listen, o.Listen[0]) }, "given twice"},
		{"address", func(o *Options) { o.Listen[0].Addr = "5672" }, "must be HOST:PORT"},
		{"port", func(o *Options) { o.Listen[0].Addr = ":99999" }, "must be a number"},
		{"lease", func(o *Options) { o.Cluster.Lease = time.Second / 2 }, "shorter than four beats"},
		{"silence", func(o *Options) { o.Cluster.Lease = 3 * time.Second }, "does not outlast a lease"},
		{"tls", func(o *Options) { o.Listen[0].Protocol = "amqps" }, "needs a certificate"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := good()
			tc.do(&o)
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := (Options{}).Validate(); strings.Count(err.Error(), "\n") < 3 {
		t.Errorf("not all faults at once: %v", err)
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "127.9.9.9:0": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "example.org:1": false,
	} {
		a, err := SplitAddr(addr)
		if err != nil || a.Loopback() != want {
			t.Errorf("%s: %v, %v", addr, a.Loopback(), err)
		}
	}
}
