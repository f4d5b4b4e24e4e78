//go:build faults

package faults

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/test/faults/rig"
)

func declareOne(t *testing.T, c *client.Conn, queue string) {
	t.Helper()
	ch := rig.Channel(t, c, client.ChannelOptions{})
	rig.Declare(t, ch, queue)
	if err := ch.Close(rig.Ctx(t)); err != nil {
		t.Fatal(err)
	}
}

// TestKills kills the broker at random moments while clients publish, consume
// and declare. The moments come from a seed, which a failure shows.
func TestKills(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	b := newBroker(t)
	b.Start()
	queues := []string{"q0", "q1", "q2"}
	var ps []*rig.Publisher
	tallies := make([]*rig.Tally, len(queues))
	for i, q := range queues {
		declareOne(t, rig.Dial(t, b.Addr()), q)
		ps = append(ps, &rig.Publisher{Producer: uint32(i), Key: q, Size: 64 + 500*i, Window: 200})
		tallies[i] = new(rig.Tally)
	}
	var declared atomic.Int64 // queues whose declare was answered
	for range with.kills {
		var wg sync.WaitGroup
		for i, q := range queues {
			out, in := rig.Dial(t, b.Addr()), rig.Dial(t, b.Addr())
			wg.Go(func() { _ = ps[i].Run(out, 1<<20) }) // until the connection ends
			if i > 0 {                                  // q0 is a backlog
				rig.Consume(t, in, q, 50, tallies[i])
			}
		}
		c := rig.Dial(t, b.Addr())
		ch := rig.Channel(t, c, client.ChannelOptions{})
		wg.Go(func() {
			for {
				name := fmt.Sprintf("d%d", declared.Load())
				if _, err := ch.QueueDeclare(rig.Ctx(t), wire.QueueDeclare{Queue: name, Durable: true}); err != nil {
					return // the connection ended
				}
				declared.Add(1)
			}
		})
		<-time.After(time.Duration(50+random.IntN(900)) * time.Millisecond)
		b.Kill()
		wg.Wait()
		b.Start()
	}
	ch := rig.Channel(t, rig.Dial(t, b.Addr()), client.ChannelOptions{})
	for i := range declared.Load() {
		if _, err := ch.QueueDeclare(rig.Ctx(t), wire.QueueDeclare{Queue: fmt.Sprintf("d%d", i), Passive: true}); err != nil {
			t.Fatalf("queue %d of %d was declared and is gone: %v", i, declared.Load(), err)
		}
	}
	confirmed := 0
	for i, q := range queues {
		rig.Drain(t, b.Addr(), q, tallies[i])
		tallies[i].Judge(t, ps[i])
		n, _ := ps[i].Confirms()
		confirmed += n
	}
	t.Logf("%d kills, %d messages confirmed, %d queues declared", with.kills, confirmed, declared.Load())
	b.Stop(20 * time.Second)
}

// TestPause stops the process for 5 s, as a machine that is moved or swaps: the
// load goes on as if nothing had been.
func TestPause(t *testing.T) {
	b := newBroker(t)
	b.Start()
	c := rig.Dial(t, b.Addr())
	declareOne(t, c, "q")
	var y rig.Tally
	p := &rig.Publisher{Producer: 1, Key: "q", Size: 200, Window: 100}
	rig.Consume(t, rig.Dial(t, b.Addr()), "q", 100, &y)
	done := make(chan error, 1)
	const messages = 200_000
	go func() { done <- p.Run(c, messages) }()
	rig.Await(t, "confirms", func() bool { n, _ := p.Confirms(); return n > 1000 })
	b.Signal(syscall.SIGSTOP)
	<-time.After(5 * time.Second)
	b.Signal(syscall.SIGCONT)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	rig.Await(t, "everything to arrive", func() bool { return y.Got() >= messages })
	y.Judge(t, p)
	if y.Got() != messages {
		t.Errorf("%d deliveries of %d messages", y.Got(), messages)
	}
	b.Stop(20 * time.Second)
}

// TestStopInTime asks a busy broker to stop: 1,000 connections, most of them
// idle, some publishing with all their might, some that never say a word, and a
// log that has to be synced.
func TestStopInTime(t *testing.T) {
	b := newBroker(t, "--set", "shutdown.grace=2s", "--set", "log.segment_size=16MiB")
	b.Start()
	declareOne(t, rig.Dial(t, b.Addr()), "q")
	for range 900 {
		nc, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		if _, err := nc.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	var ps []*rig.Publisher
	for i := range 20 {
		p := &rig.Publisher{Producer: uint32(i), Key: "q", Size: 4096, Window: 500}
		ps = append(ps, p)
		c := rig.Dial(t, b.Addr())
		wg.Go(func() { _ = p.Run(c, 1<<20) }) // until the connection ends
	}
	for range 80 {
		rig.Dial(t, b.Addr())
	}
	rig.Await(t, "confirms", func() bool { n, _ := ps[19].Confirms(); return n > 500 })
	begin := time.Now()
	b.Stop(2*time.Second + 5*time.Second)
	t.Logf("stopped within %.2f s", time.Since(begin).Seconds())
	wg.Wait()
	b.Start()
	var y rig.Tally
	rig.Drain(t, b.Addr(), "q", &y)
	y.Judge(t, ps...)
	b.Stop(20 * time.Second)
}
