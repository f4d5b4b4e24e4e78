package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/racing"
)

func amqpMessage(body string) amqp.Publishing {
	return amqp.Publishing{DeliveryMode: 2, Body: []byte(body)}
}

// TestChangesBetweenStarts changes what an operator may change while the node is
// down: messages stay, in order, and new ones are taken.
func TestChangesBetweenStarts(t *testing.T) {
	base := testOptions(t, t.TempDir(), vfs.NewMem())
	now := time.Now()
	const queues = 6
	for i, tc := range []struct {
		name   string
		do     func(*Options)
		shards int
	}{
		{"first", func(o *Options) { o.Shards = 2 }, 2},
		{"more shards", func(o *Options) { o.Shards = 4 }, 4},
		{"fewer shards", func(o *Options) { o.Shards = 1 }, 4},
		{"larger segments", func(o *Options) { o.SegmentBytes = 4 << 20 }, 4},
		{"smaller segments", func(o *Options) { o.SegmentBytes = 1 << 20 }, 4},
		{"another name", func(o *Options) { o.Name = "rabbit@renamed" }, 4},
		{"clock a year back", func(o *Options) { o.Wall = func() time.Time { return now.AddDate(-1, 0, 0) } }, 4},
		{"clock a year ahead", func(o *Options) { o.Wall = func() time.Time { return now.AddDate(1, 0, 0) } }, 4},
		{"clock right again", func(*Options) {}, 4},
		{"less memory", func(o *Options) {
			o.Memory = Memory{Budget: 64 << 20, Entries: 32 << 20, Memtable: 4 << 20, Cache: 8 << 20}
		}, 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := base
			o.Exit = testOptions(t, o.DataDir, o.FS).Exit
			tc.do(&o)
			r := start(t, o)
			ch := r.channel()
			for q := range queues {
				name := fmt.Sprintf("q%d", q)
				if n := declare(t, ch, name).Messages; n != 10*i {
					t.Errorf("queue %s has %d messages, want %d", name, n, 10*i)
				}
				publish(t, ch, name, 10*i, 10*i+10)
			}
			s := r.status()
			if len(s.Shards) != 1+tc.shards || s.Node != o.Name || s.Counts.Ready != int64(queues*10*(i+1)) {
				t.Errorf("status %+v", s)
			}
			if nodes := countNodes(r.Node); nodes != 1 {
				t.Errorf("%d nodes in the catalog", nodes)
			}
			r.stop()
		})
	}
	ch := start(t, base).channel()
	for q := range queues {
		want(t, ch, fmt.Sprintf("q%d", q), 0, 100)
	}
}

func countNodes(n *Node) (k int) {
	for range n.catalog.View().Nodes() {
		k++
	}
	return k
}

// TestInterruptedFirstStart cuts the power at every sync of a first start: the
// next start goes on where it stopped, whatever its name is by then.
func TestInterruptedFirstStart(t *testing.T) {
	dir := t.TempDir()
	crash := &crashFS{FS: vfs.NewCrashableMem()}
	start(t, testOptions(t, dir, crash)).stop()
	if len(crash.points) < 10 {
		t.Fatalf("only %d points", len(crash.points))
	}
	t.Logf("%d points", len(crash.points))
	every := len(crash.points) / racing.Less(len(crash.points))
	for i, fs := range crash.points {
		if i%every != 0 {
			continue
		}
		o := testOptions(t, dir, fs)
		o.Name = fmt.Sprintf("rabbit@again-%d", i)
		r := start(t, o)
		ch := r.channel() // guest can log in
		declare(t, ch, "a")
		publish(t, ch, "a", 0, 1)
		if nodes, s := countNodes(r.Node), r.status(); nodes != 1 || len(s.Shards) != 3 || s.Counts.VHosts != 1 || s.Node != o.Name {
			t.Errorf("point %d: %d nodes, status %+v", i, nodes, s)
		}
		r.stop()
	}
}
