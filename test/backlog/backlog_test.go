//go:build faults

package backlog

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/test/faults/rig"
)

const mib = 1 << 20

// settings are the flags of the package's tests.
type settings struct {
	messages int
	flow     int64
	binary   string
}

var with settings

func TestMain(m *testing.M) {
	flag.IntVar(&with.messages, "messages", 100_000, "messages of 1 KiB in the backlog")
	flow := flag.Int("flow", 256, "MiB that flow past an old message")
	flag.Parse()
	with.flow = int64(*flow) * mib
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "warren-backlog-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if with.binary, err = rig.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// The budget, and what the process may take under it: Go's limit of 7/4 of the
// budget, and a share for the program itself.
const (
	budget  = 256 * mib
	mostRSS = 600 * mib
)

func newBroker(t *testing.T, args ...string) *rig.Broker {
	return rig.New(t, rig.Options{Binary: with.binary, Args: append([]string{
		"--set", "memory.budget=256MiB", "--set", "shards=2", "--set", "log.segment_size=16MiB",
	}, args...)})
}

// wantRSS fails the test if the process ever held more than it may.
func wantRSS(t *testing.T, b *rig.Broker, when string) {
	t.Helper()
	now, most := b.RSS()
	t.Logf("%s: RSS %d MiB, at most %d MiB", when, now/mib, most/mib)
	if most > mostRSS {
		t.Errorf("%s: RSS was %d MiB, may be %d MiB with a budget of %d MiB", when, most/mib, mostRSS/mib, budget/mib)
	}
}

// wantShrunk waits until the log has let its segments go.
func wantShrunk(t *testing.T, b *rig.Broker, most int64) {
	t.Helper()
	begin := time.Now()
	ok := func() bool { _, n := b.Segments(); return n <= most }
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		<-tick.C
		if time.Since(begin) > 20*time.Second {
			files, n := b.Segments()
			t.Fatalf("20 s after the drain the log has %d files, %d MiB\n%s", len(files), n/mib, b.Status())
		}
	}
	files, n := b.Segments()
	t.Logf("the log has %d files, %d MiB, %.1f s after the drain", len(files), n/mib, time.Since(begin).Seconds())
}

// TestBacklog publishes a backlog, kills the broker, and drains what it kept.
func TestBacklog(t *testing.T) {
	b := newBroker(t)
	b.Start()
	c := rig.Dial(t, b.Addr())
	rig.Declare(t, rig.Channel(t, c, client.ChannelOptions{}), "backlog")
	p := &rig.Publisher{Producer: 1, Key: "backlog", Size: 1024, Window: 2000}
	begin := time.Now()
	if err := p.Run(c, with.messages); err != nil {
		t.Fatal(err)
	}
	published := time.Since(begin)
	wantRSS(t, b, "published")

	b.Kill()
	begin = time.Now()
	b.Start()
	t.Logf("killed, and serving again after %.2f s", time.Since(begin).Seconds())
	wantRSS(t, b, "restarted")

	var y rig.Tally
	drained := rig.Drain(t, b.Addr(), "backlog", &y)
	wantRSS(t, b, "drained")
	y.Judge(t, p)
	if y.Got() != with.messages {
		t.Errorf("%d deliveries of %d messages: a queue that nobody read gives each once", y.Got(), with.messages)
	}
	rate := func(d time.Duration) float64 { return float64(with.messages) / d.Seconds() }
	t.Logf("published %.0f msg/s, drained %.0f msg/s", rate(published), rate(drained))
	if rate(drained) < rate(published)/2 {
		t.Errorf("drained %.0f msg/s, less than half of the %.0f msg/s published", rate(drained), rate(published))
	}
	wantShrunk(t, b, 5*16*mib)
	b.Stop(20 * time.Second)
}

// TestOldMessage holds one message unsettled while others flow through queues of
// the same shard, and through the very same queue: the log lets go of them.
func TestOldMessage(t *testing.T) {
	b := newBroker(t, "--set", "shards=1")
	b.Start()
	hold := rig.Dial(t, b.Addr())
	var old rig.Tally
	held := holdOne(t, hold, "q0", &old)

	const queues, size = 4, 16 << 10
	most := int64(0)
	var names [queues]string
	var y rig.Tally
	read := rig.Dial(t, b.Addr())
	for i := range names {
		names[i] = fmt.Sprintf("q%d", i)
		rig.Declare(t, held, names[i])
		rig.Consume(t, read, names[i], 200, &y)
	}
	var ps []*rig.Publisher
	c := rig.Dial(t, b.Addr())
	for i := range names {
		ps = append(ps, &rig.Publisher{Producer: uint32(10 + i), Key: names[i], Size: size, Window: 200})
	}
	rounds := int(with.flow / size / queues / 256)
	for range max(1, rounds) {
		for _, p := range ps {
			if err := p.Run(c, 256); err != nil {
				t.Fatal(err)
			}
		}
		_, n := b.Segments()
		most = max(most, n)
	}
	rig.Await(t, "everything to arrive", func() bool { return y.Got() >= max(1, rounds)*256*queues })
	t.Logf("%d MiB flowed past an old message, the log had at most %d MiB", with.flow/mib, most/mib)
	if limit := int64(256+8*16) * mib; most > limit { // a round's worth, and what fills while it runs
		t.Errorf("the log grew to %d MiB, more than %d MiB", most/mib, limit/mib)
	}
	y.Judge(t, ps...)
	wantRSS(t, b, "after the flow")
	wantShrunk(t, b, 6*16*mib)

	// The old message is still held, and comes back whole.
	if err := held.Nack(wire.BasicNack{DeliveryTag: 1, Requeue: true}); err != nil {
		t.Fatal(err)
	}
	if err := held.Flush(); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, "the old message", func() bool { return y.Got() == max(1, rounds)*256*queues+1 })
	b.Stop(20 * time.Second)
}

// holdOne publishes a message and holds it; the consumer takes no second.
func holdOne(t *testing.T, c *client.Conn, queue string, y *rig.Tally) *client.Channel {
	t.Helper()
	ch := rig.Channel(t, c, client.ChannelOptions{})
	rig.Declare(t, ch, queue)
	p := &rig.Publisher{Producer: 1, Key: queue, Size: 1024, Window: 1}
	if err := p.Run(c, 1); err != nil {
		t.Fatal(err)
	}
	if err := ch.Qos(rig.Ctx(t), wire.BasicQos{PrefetchCount: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := ch.Consume(rig.Ctx(t), wire.BasicConsume{Queue: queue, ConsumerTag: "old"}, y.Add); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, "the message to be held", func() bool { return y.Got() == 1 })
	return ch
}

// TestFanout sends every message to five queues of one shard, one of which
// nobody reads for long: its bodies are kept once, and the log lets go.
func TestFanout(t *testing.T) {
	b := newBroker(t, "--set", "shards=1")
	b.Start()
	c := rig.Dial(t, b.Addr())
	ch := rig.Channel(t, c, client.ChannelOptions{})
	var fast rig.Tally
	read := rig.Dial(t, b.Addr())
	const queues = 5
	for i := range queues {
		name := fmt.Sprintf("f%d", i)
		rig.Declare(t, ch, name)
		if err := ch.QueueBind(rig.Ctx(t), wire.QueueBind{Queue: name, Exchange: "amq.fanout"}); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			rig.Consume(t, read, name, 500, new(rig.Tally))
		}
	}
	p := &rig.Publisher{Producer: 1, Exchange: "amq.fanout", Size: 4 << 10, Window: 500}
	if err := p.Run(c, with.messages/2); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, "the fast queues to be empty", func() bool { return rig.Count(t, ch, "f1")+rig.Count(t, ch, "f4") == 0 })
	wantRSS(t, b, "published to five queues")
	b.Kill()
	b.Start()
	rig.Drain(t, b.Addr(), "f0", &fast)
	fast.Judge(t, p)
	if fast.Got() != with.messages/2 {
		t.Errorf("the slow queue gave %d of %d", fast.Got(), with.messages/2)
	}
	wantRSS(t, b, "drained the slow queue")
	wantShrunk(t, b, 5*16*mib)
	b.Stop(20 * time.Second)
}
