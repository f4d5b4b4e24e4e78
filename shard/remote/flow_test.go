package remote

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

const otherQueue = 43

// flood publishes megabytes to a queue, through a node.
func (r *rig) flood(p *publisher, q uint64, mib int) {
	p.pad = 16 << 10
	for range mib {
		p.publish(q, 64)
		r.still()
	}
}

// A node that does not read is sent a window's worth, and no more, however many
// consumers it has.
func TestWindow(t *testing.T) {
	r := newRig(t, 3)
	r.mesh()
	r.hosts[1].lead(true)
	var ks []*consumer
	for range 5 {
		ks = append(ks, r.consumer(0, 0))
	}
	r.still()
	p := r.publisher(2, "p")
	p.pad = 16 << 10
	deaf := r.dial(r.nodes[0], r.nodes[1])
	for range 20 { // 20 MiB; node 0's stream stands still
		p.publish(theQueue, 64)
		for range 3 {
			other := r.dial(r.nodes[2], r.nodes[1])
			other.carry(true, 100)
			r.hosts[1].commit()
			other.carry(false, 100)
		}
	}
	r.expect("stored", len(r.l.queues[theQueue]), 20*64)
	if most := deaf.down.most; most < defaultWindow/2 || most > defaultWindow+1<<20 {
		t.Errorf("%d bytes were sent to a node that does not read", most)
	}
	for range 50 {
		r.still()
		for _, k := range ks {
			for len(k.held) > 0 {
				k.settle(0, shard.Accept)
			}
		}
	}
	r.expect("left", len(r.l.queues[theQueue]), 0)
}

// A consumer whose connection takes nothing keeps a bounded number of bytes
// waiting, and neither the window nor the others feel it.
func TestSlowConsumer(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	slow, fast := r.consumer(0, 0), r.h.consume(r.client(0), otherQueue, 1, 0, 1<<20)
	slow.room = 0
	r.still()
	r.flood(r.publisher(1, "slow"), theQueue, 24)
	c := r.client(0)
	if c.buffered == 0 || c.buffered > mostKeptOne+1<<20 {
		t.Errorf("%d bytes wait for a slow consumer", c.buffered)
	}
	p := r.publisher(1, "fast")
	for range 24 {
		r.flood(p, otherQueue, 1)
		for len(fast.held) > 0 {
			fast.settle(0, shard.Accept)
		}
	}
	r.still()
	r.expect("the other got", len(fast.got), 24*64)
	if sent := r.nodes[1].server.mu.nodes[1].flow.sent.Load(); sent > readEvery+64<<10 {
		t.Errorf("%d bytes of the window are still out", sent)
	}
	for range 100 {
		slow.room = 10
		slow.kick()
		r.still()
		for len(slow.held) > 0 {
			slow.settle(0, shard.Accept)
		}
		r.still()
		if slow.room = 1 << 20; len(r.l.queues[theQueue]) == 0 {
			break
		}
	}
	slow.kick()
	r.still()
	for len(slow.held) > 0 {
		slow.settle(0, shard.Accept)
		r.still()
	}
	r.expect("left", len(r.l.queues[theQueue]), 0)
	r.inOrder(slow)
}

// inOrder checks that a consumer which was alone saw its publisher's order.
func (r *rig) inOrder(k *consumer) {
	r.t.Helper()
	last := 0
	for _, body := range k.got {
		var n int
		_, number, _ := strings.Cut(body, "#")
		if _, err := fmt.Sscan(number, &n); err != nil || n != last+1 {
			r.t.Fatalf("number %d is delivered behind %d", n, last)
		}
		last = n
	}
}

// A limit that is shared with others is asked when messages arrive. What it
// refuses goes back, with all that was sent before the leader heard of it: so
// the order stays.
func TestSharedLimit(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.h.consume(r.client(0), theQueue, 1, 0, 3)
	r.still()
	p := r.publisher(1, "p")
	pipe := r.dial(r.nodes[0], r.nodes[1])
	own := r.dial(r.nodes[1], r.nodes[1])
	for range 30 {
		p.publish(theQueue, 2)
		own.carry(true, 10)
		r.hosts[1].commit()
		own.carry(false, 10)
		pipe.carry(false, 1) // a frame at a time, answers late
		if len(k.held) > 0 {
			k.settle(0, shard.Accept)
		}
		pipe.carry(true, 1)
	}
	for range 100 {
		r.still()
		if len(k.held) > 3 {
			t.Fatalf("%d are held", len(k.held))
		}
		for len(k.held) > 0 {
			k.settle(0, shard.Accept)
		}
	}
	r.expect("delivered", len(k.got), 60)
	r.inOrder(k)
}

// When the stream to a node breaks its consumers get nothing, and others do.
func TestDetached(t *testing.T) {
	r := newRig(t, 3)
	r.mesh()
	r.hosts[1].lead(true)
	away, here := r.consumer(0, 0), r.consumer(2, 0)
	r.still()
	r.dial(r.nodes[0], r.nodes[1]).tell(true)
	r.publisher(1, "p").publish(theQueue, 6)
	r.still()
	r.expect("the one away got", len(away.got), 0)
	r.expect("the other got", len(here.got), 6)
	r.dial(r.nodes[0], r.nodes[1])
	r.still()
	r.publisher(2, "q").publish(theQueue, 6)
	r.still()
	r.expect("the one away got, being back", len(away.got), 3)
}

// A large message is not copied into a frame, and comes out whole.
func TestLargeMessages(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	p := r.publisher(0, "p")
	for _, pad := range []int{0, bigBlob, 1 << 20, 10, 3 << 20, 0} {
		p.pad = pad
		p.publish(theQueue, 1)
	}
	r.still()
	r.expect("delivered", len(k.got), 6)
	sizes := make([]int, len(k.got))
	for i, body := range k.got {
		sizes[i] = len(body) - 3
	}
	if want := []int{0, bigBlob, 1 << 20, 10, 3 << 20, 0}; !slices.Equal(sizes, want) {
		t.Errorf("sizes %v, want %v", sizes, want)
	}
}

// A stream that takes nothing has a bounded number of bytes of batches waiting,
// and all of them go on when it does.
func TestBatchesWaitForTheStream(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	r.settle()
	var cs []*Client
	for id := uint64(100); id < 116; id++ {
		h := &fakeHost{n: r.nodes[1], t: Target(id), l: newLedger()}
		r.nodes[1].hosts[h.t] = h
		h.lead(true)
		cs = append(cs, r.nodes[0].hub.Shard(id, origin.New(r.nodes[0].inc)))
		r.settle()
		r.hosts = append(r.hosts, h)
	}
	pipe := r.dial(r.nodes[0], r.nodes[1])
	var ps []*publisher
	for i, c := range cs {
		p := &publisher{h: r.h, name: fmt.Sprintf("p%d", i), to: c, pad: 1 << 20}
		ps = append(ps, p)
		for range 6 { // 96 MiB in all
			p.publish(theQueue, 1)
			p.publish(theQueue, 1)
		}
	}
	if most := pipe.up.most; most < mostQueued/2 || most > mostQueued+16*fullBatchBytes {
		t.Errorf("%d bytes wait for a stream that takes nothing", most)
	}
	for range 40 {
		r.settle()
		for _, h := range r.hosts {
			if h.leads {
				h.commit()
			}
		}
	}
	for _, p := range ps {
		r.expect(p.name, r.h.of(p.body(12)).confirmed, 1)
	}
}

// fullBatchBytes is what a batch has at most, about.
const fullBatchBytes = 5 << 20

// Small messages behind large ones do not wait for room that was reserved for
// large ones.
func TestSmallBehindLarge(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	p := r.publisher(1, "p")
	p.pad = 3 << 20
	p.publish(theQueue, 1)
	r.still()
	p.pad = 0
	// All of these are taken before one is delivered: by then their size is known.
	own := r.dial(r.nodes[1], r.nodes[1])
	p.publish(theQueue, 60)
	own.carry(true, 10)
	r.hosts[1].commit()
	pipe := r.dial(r.nodes[0], r.nodes[1])
	for range 20 {
		r.clock.Advance(time.Millisecond)
		pipe.carry(false, 100)
		pipe.carry(true, 100)
	}
	r.expect("delivered", len(k.got), 61)
}
