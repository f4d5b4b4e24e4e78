package remote

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An asyncEnd is a Stream with a reader goroutine on its other side.
type asyncEnd struct {
	peer   uint64
	mu     sync.Mutex
	cond   sync.Cond
	q      []Frame
	closed bool
	other  *asyncEnd
}

func (e *asyncEnd) Peer() uint64 { return e.peer }

func (e *asyncEnd) Queued() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.q)
}

func (e *asyncEnd) Send(fs ...Frame) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	for _, f := range fs {
		e.q = append(e.q, Frame{Type: f.Type, Body: append(append([]byte(nil), f.Head...), f.Body...)})
	}
	e.cond.Signal()
	return true
}

func (e *asyncEnd) Close(error) {
	for _, x := range []*asyncEnd{e, e.other} {
		x.mu.Lock()
		x.closed = true
		x.cond.Broadcast()
		x.mu.Unlock()
	}
}

// read hands what is sent on e to the handler of the other side, whose own end
// is at.
func (e *asyncEnd) read(h streamHandler, at *asyncEnd) {
	h.Opened(at)
	for {
		e.mu.Lock()
		for len(e.q) == 0 && !e.closed {
			e.cond.Wait()
		}
		fs, closed := e.q, e.closed
		e.q = nil
		e.mu.Unlock()
		if closed {
			h.Closed(at, errBroken)
			return
		}
		h.Frames(at, fs)
	}
}

type streamHandler interface {
	Opened(Stream)
	Frames(Stream, []Frame)
	Closed(Stream, error)
}

// connect opens a stream; its readers end with it.
func connect(wg *sync.WaitGroup, hub *Hub, server *Server, from, to uint64) *asyncEnd {
	up, down := &asyncEnd{peer: to}, &asyncEnd{peer: from}
	up.other, down.other = down, up
	up.cond.L, down.cond.L = &up.mu, &down.mu
	wg.Go(func() { up.read(server, down) })
	wg.Go(func() { down.read(hub, up) })
	return up
}

// An asyncSink accepts what it gets from a goroutine of its own.
type asyncSink struct {
	ch   chan shard.Delivery
	seen sync.Map
}

func (k *asyncSink) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		k.ch <- ds[i]
	}
}
func (k *asyncSink) Cancelled(*shard.Consumer) {}
func (k *asyncSink) Wake()                     {}

type asyncConfirms struct{ n atomic.Int64 }

func (c *asyncConfirms) Confirmed(_ uint64, n uint32, _ bool) { c.n.Add(int64(n)) }
func (c *asyncConfirms) Unknown(uint64, uint32)               {}
func (c *asyncConfirms) Wake()                                {}

// Many goroutines use a shard of another node while the stream to it breaks
// again and again: everything is confirmed and delivered, once.
func TestGoroutines(t *testing.T) {
	one := func() uint64 { return 1 }
	inc := queue.Incarnation{Node: 1, Number: 1}
	real := clock.NewReal()
	far := &node{w: &world{t: t}, id: 2, view: 1, inc: queue.Incarnation{Node: 2, Number: 2}, hosts: map[Target]shard.Host{}}
	far.server = NewServer(ServerOptions{
		Incarnation: far.inc, View: one, Clock: real, Logger: quiet(), Host: func(t Target) shard.Host { return far.hosts[t] },
	})
	hub := NewHub(HubOptions{Incarnation: inc, View: one, Clock: real, Logger: quiet()})
	t.Run("shard", func(t *testing.T) {
		host := &fakeHost{n: far, t: theShard, l: newLedger()}
		far.hosts[theShard] = host
		host.lead(true)
		goroutines(t, hub, far.server, hub.Shard(uint64(theShard), origin.New(inc)), host.commit)
	})
	t.Run("memory", func(t *testing.T) {
		r := &rig{world: far.w}
		r.memories(far, theQueue, otherQueue)
		goroutines(t, hub, far.server, hub.Memory(far.inc), func() {})
	})
}

func goroutines(t *testing.T, hub *Hub, server *Server, c *Client, commit func()) {
	each, publishers := racing.Less(400), 4

	ctx, stop := context.WithCancel(context.Background())
	var wg, streams sync.WaitGroup
	wg.Go(func() { // commits, and breaks the stream
		for i := 0; ctx.Err() == nil; i++ {
			st := connect(&streams, hub, server, 1, 2)
			for range 20 {
				commit()
				wait(ctx, time.Millisecond)
			}
			if ctx.Err() == nil {
				st.Close(errBroken)
			} else {
				st.Close(nil)
			}
		}
	})
	sinks := []*asyncSink{{ch: make(chan shard.Delivery, 4*each)}, {ch: make(chan shard.Delivery, 4*each)}}
	var total atomic.Int64
	for i, k := range sinks {
		q := theQueue + uint64(i)
		c.Consume(&shard.Consumer{Queue: q, Sink: k, Session: uint64(i)}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for {
				select {
				case d := <-k.ch:
					if _, twice := k.seen.LoadOrStore(d.Seq, true); twice {
						t.Errorf("message %d comes twice", d.Seq)
					}
					total.Add(1)
					c.Settle([]shard.Settle{{Queue: q, Seq: d.Seq, Holding: d.Holding}}, nil)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	confirms := &asyncConfirms{}
	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			for i := range each {
				c.Publish([]shard.Publish{{Message: &message.Message{Body: []byte("m")}, Queues: []uint64{theQueue + uint64(i%2)}, To: confirms, Tag: uint64(i)}})
			}
		})
	}
	publishing.Wait()
	want := int64(publishers * each)
	for deadline := time.Now().Add(20 * time.Second); confirms.n.Load() < want || total.Load() < want; {
		if time.Now().After(deadline) {
			t.Fatalf("confirmed %d, delivered %d of %d", confirms.n.Load(), total.Load(), want)
		}
		hub.Tick()
		wait(ctx, 5*time.Millisecond)
	}
	stop()
	wg.Wait()
	streams.Wait()
	if confirms.n.Load() != want || total.Load() != want {
		t.Errorf("confirmed %d, delivered %d of %d", confirms.n.Load(), total.Load(), want)
	}
	wait(context.Background(), 2*settleEvery) // timers of the last guest
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
