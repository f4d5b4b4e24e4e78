package amqp091_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// X13: queues that came and went leave nothing, whatever gave them their names
// and wherever they lived: no memory, and nothing in the log behind a round of
// checkpoints. With FULL=1 there are a million of them: the first fill what has a
// bound, as the log's list of its newest entries, and the others add nothing.
func TestQueueNamesLeaveNothing(t *testing.T) {
	// Half as many fill a segment: a round that frees the log is due behind that only.
	first, count, most := 6_000, max(racing.Less(6_000), 3_000), int64(2<<20)
	if os.Getenv("FULL") != "" {
		first, count, most = 100_000, 1_000_000, 4<<20
	}
	r := own(t, func(o *node.Options) { o.SegmentBytes = 1 << 20 }) // the least: rounds are due soon
	made := declareAndDelete(t, r.addr(), 0, first)
	before := settled(t, r)
	t.Logf("before: %v", before)
	start := time.Now()
	declareAndDelete(t, r.addr(), made, count)
	took := time.Since(start)
	t.Logf("all gone, the last not in a checkpoint: %v", now(t, r))
	after := settled(t, r)
	t.Logf("after %d queues in %v: %v", count, took.Round(time.Second), after)
	if grown := after.held - before.held; grown > most {
		t.Errorf("%d queues left %d bytes, more than %d", count, grown, most)
	}
	if after.queues != 0 {
		t.Errorf("%d queues are left", after.queues)
	}
}

// declareAndDelete has queues from number first on come and go, each with a name
// that was never used: exclusive and named by the client, exclusive and named by
// the broker, durable with a binding and a message, auto-delete. Many connections
// do it at the same time, for each waits for every commit.
func declareAndDelete(t *testing.T, addr string, first, count int) int {
	const workers, batch = 32, 40 // a batch has as many of each kind
	var wg sync.WaitGroup
	var mu sync.Mutex
	next, start := first, time.Now()
	claim := func() int {
		mu.Lock()
		defer mu.Unlock()
		k := next
		if done := k - first; done > 0 && done <= count && done%(count/10/batch*batch) == 0 {
			t.Logf("%d queues after %v", done, time.Since(start).Round(time.Second))
		}
		next += batch
		return k
	}
	for range workers {
		p := session(t, addr)
		p.patience = time.Minute // of a disk that others use as well
		wg.Go(func() {
			for k := claim(); k < first+count && !t.Failed(); k = claim() {
				var b []byte
				for i := k; i < k+batch; i++ {
					b = comeAndGo(b, i)
				}
				b = (&wire.ChannelFlow{Active: true}).AppendFrame(b, 1)
				p.raw(b)
				for answered := 0; ; answered++ {
					_, m := p.next()
					if _, last := m.(*wire.ChannelFlowOK); last && answered == batch/4 {
						break
					} else if d, ok := m.(*wire.QueueDeclareOK); !ok || !strings.HasPrefix(d.Queue, "amq.gen-") {
						t.Errorf("queues from %d on, answer %d: %+v", k, answered, m)
						return
					}
				}
			}
			p.close()
		})
	}
	wg.Wait()
	return count
}

// comeAndGo appends what declares and deletes queue number i.
func comeAndGo(b []byte, i int) []byte {
	name := fmt.Sprintf("come.and.go.%d", i)
	switch i % 4 {
	case 0: // its name is what the broker says, and empty means the last
		name = ""
		b = (&wire.QueueDeclare{Exclusive: true}).AppendFrame(b, 1)
	case 1:
		b = (&wire.QueueDeclare{Queue: name, Exclusive: true, NoWait: true}).AppendFrame(b, 1)
	case 2:
		b = (&wire.QueueDeclare{Queue: name, AutoDelete: true, NoWait: true}).AppendFrame(b, 1)
	case 3:
		b = (&wire.QueueDeclare{Queue: name, Durable: true, NoWait: true}).AppendFrame(b, 1)
		b = (&wire.QueueBind{Queue: name, Exchange: "amq.topic", RoutingKey: name, NoWait: true}).AppendFrame(b, 1)
		b = append(b, message{exchange: "amq.topic", key: name, body: "x"}.frames(1, wire.DefaultFrameMax)...)
	}
	return (&wire.QueueDelete{Queue: name, NoWait: true}).AppendFrame(b, 1)
}

// A footprint is what a node has in memory and in its log.
type footprint struct {
	held, rss     int64 // bytes, of heap and stacks; of the process
	log, segments int64
	catalog       int64 // bytes of the log that are the catalog's
	queues        int64
}

func (f footprint) String() string {
	return fmt.Sprintf("heap and stacks %.1f MiB, RSS %.1f MiB, log %.1f MiB in %d segments, %d bytes of it the catalog's",
		mib(f.held), mib(f.rss), mib(f.log), f.segments, f.catalog)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func now(t *testing.T, r *running) (f footprint) {
	t.Helper()
	heap, stacks := heldBytes()
	f.held = heap + stacks
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	f.rss = pages * int64(os.Getpagesize())
	st, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.log, f.segments, f.queues = st.Disk.Log, st.Disk.Segments, st.Counts.Queues
	for _, s := range st.Shards {
		if s.Kind == "catalog" {
			f.catalog = s.LogBytes
		}
	}
	return f
}

// settled waits for the round of checkpoints of a node that is idle: behind it the
// log holds next to nothing. What worked for the round is let go within moments.
func settled(t *testing.T, r *running) (f footprint) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for freed := 0; freed < 30; {
		x := now(t, r)
		if x.log < 2<<20 && x.catalog < 64<<10 {
			if freed++; freed == 1 || x.held < f.held {
				f = x
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no round of checkpoints freed the log: %v", x)
		}
	}
	return f
}
