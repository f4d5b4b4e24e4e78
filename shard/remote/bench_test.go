package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A slabEnd is a Stream that keeps what is sent as a transport reads it: in
// slabs that small frames share.
type slabEnd struct {
	peer uint64
	slab []byte
	q    []Frame
	done []Frame
}

func (e *slabEnd) Peer() uint64 { return e.peer }
func (e *slabEnd) Close(error)  {}
func (e *slabEnd) Queued() int  { return 0 }

func (e *slabEnd) Send(fs ...Frame) bool {
	for i := range fs {
		n := len(fs[i].Head) + len(fs[i].Body)
		if len(e.slab)+n > cap(e.slab) {
			e.slab = make([]byte, 0, max(64<<10, n))
		}
		at := len(e.slab)
		e.slab = append(append(e.slab, fs[i].Head...), fs[i].Body...)
		e.q = append(e.q, Frame{Type: fs[i].Type, Body: e.slab[at:len(e.slab):len(e.slab)]})
	}
	return true
}

// take returns what was sent; it is valid until the next but one call.
func (e *slabEnd) take() []Frame {
	e.done, e.q = e.q, e.done[:0]
	return e.done
}

// A benchHost answers batches at once, and has messages without end.
type benchHost struct {
	fakeHost
	s    *Server
	c    *shard.Consumer
	blob []byte
	seq  uint64
	ds   []shard.Delivery
}

func (h *benchHost) Offer(data []byte) {
	e, err := shard.ParseEntry(data)
	if err != nil {
		panic(err)
	}
	h.s.Answer(shard.Answer{To: queue.Incarnation{Node: e.Batch.Node, Number: e.Batch.Incarnation}, Shard: uint64(theShard), Number: e.Batch.Number})
	h.s.Wake()
}

func (h *benchHost) Attach(_ shard.Attachment, done func(shard.Attached, error)) {
	done(shard.Attached{Term: 1}, nil)
}

func (h *benchHost) Consume(c *shard.Consumer, done func(error)) {
	h.c = c
	done(nil)
}

func (h *benchHost) Serving() (uint64, bool) { return 1, true }
func (h *benchHost) Revision() uint64        { return 1 }
func (h *benchHost) Kick(*shard.Consumer)    {}
func (h *benchHost) Settle(_ []shard.Settle, done func(error)) {
	if done != nil {
		done(nil)
	}
}

// deliver delivers up to n messages.
func (h *benchHost) deliver(n int) int {
	h.ds = h.ds[:0]
	for len(h.ds) < n && h.c.Shared.Take() {
		h.seq++
		h.ds = append(h.ds, shard.Delivery{Blob: h.blob, Seq: h.seq, Holding: queue.Holding{Term: 1, Counter: h.seq}, Size: uint32(len(h.blob))})
	}
	if len(h.ds) > 0 {
		h.c.Sink.Deliver(h.c, h.ds)
		h.c.Sink.Wake()
	}
	return len(h.ds)
}

// A bench is a node that uses a shard of another.
type bench struct {
	client   *Client
	hub      *Hub
	server   *Server
	host     *benchHost
	up, down *slabEnd
	clock    *clock.Manual
}

func newBench(size int) *bench {
	x := &bench{clock: clock.NewManual(time.Unix(0, 0)), up: &slabEnd{peer: 2}, down: &slabEnd{peer: 1}}
	one := func() uint64 { return 1 }
	x.host = &benchHost{blob: message.AppendTo(nil, &message.Message{Body: make([]byte, size)})}
	x.server = NewServer(ServerOptions{Incarnation: queue.Incarnation{Node: 2, Number: 2}, View: one, Clock: x.clock, Logger: quiet(), Host: func(Target) shard.Host { return x.host }})
	x.host.s = x.server
	inc := queue.Incarnation{Node: 1, Number: 1}
	x.hub = NewHub(HubOptions{Incarnation: inc, View: one, Clock: x.clock, Logger: quiet()})
	x.server.Opened(x.down)
	x.hub.Opened(x.up)
	x.server.Lead(theShard, 1)
	x.client = x.hub.Shard(uint64(theShard), origin.New(inc))
	x.carry()
	return x
}

func (x *bench) carry() {
	for len(x.up.q)+len(x.down.q) > 0 {
		x.server.Frames(x.down, x.up.take())
		x.hub.Frames(x.up, x.down.take())
	}
}

type counter struct{ n int }

func (c *counter) Confirmed(_ uint64, n uint32, _ bool) { c.n += int(n) }
func (c *counter) Unknown(uint64, uint32)               {}
func (c *counter) Wake()                                {}

// A publish of 64 messages, to the confirms.
func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{100, 1 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			x := newBench(size)
			m := &message.Message{Body: make([]byte, size)}
			to := &counter{}
			ps, queues := make([]shard.Publish, 64), []uint64{theQueue}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for at := 0; b.Loop(); at++ {
				i := at % len(ps)
				ps[i] = shard.Publish{Message: m, Queues: queues, To: to, Tag: uint64(at)}
				if i == len(ps)-1 {
					x.client.Publish(ps)
					x.carry()
				}
			}
		})
	}
}

type settler struct {
	to shard.Shard
	n  int
	ss []shard.Settle
}

func (k *settler) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	k.n += len(ds)
	for i := range ds {
		k.ss = append(k.ss, shard.Settle{Queue: c.Queue, Seq: ds[i].Seq, Holding: ds[i].Holding})
	}
}
func (k *settler) Cancelled(*shard.Consumer) {}
func (k *settler) Wake()                     {}

// A delivery of 64 messages, to the settles.
func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{100, 1 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			x := newBench(size)
			k := &settler{to: x.client}
			x.client.Consume(&shard.Consumer{Queue: theQueue, Sink: k}, func(err error) {
				if err != nil {
					b.Error(err)
				}
			})
			x.carry()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			want := 0
			for b.Loop() {
				if want++; want <= k.n {
					continue
				}
				if x.host.deliver(64) == 0 {
					b.Fatalf("no credit after %d messages", k.n)
				}
				x.carry()
				x.client.Settle(k.ss, nil)
				k.ss = k.ss[:0]
				x.carry()
				x.clock.Advance(settleEvery)
				x.carry()
			}
		})
	}
}
