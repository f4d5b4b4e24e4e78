package broker

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/shard"
)

// A topicBench has a topic exchange with n bindings that use * and #, to ten
// queues.
func topicBench(t *testing.T, n int) (*bench, *Publisher) {
	x := newBench(t, 0)
	for i := range 10 {
		x.queue(fmt.Sprint("q", i), i%2 == 0)
	}
	for i := range n {
		key := fmt.Sprintf("stock.%d.*", i)
		switch i % 3 {
		case 1:
			key = fmt.Sprintf("*.%d.#", i)
		case 2:
			key = fmt.Sprintf("news.%d.#.eu", i)
		}
		if err := x.s.Bind(background, Binding{Destination: fmt.Sprint("q", i%10), Source: "amq.topic", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	return x, x.s.NewPublisher(&fakeSink{})
}

// A freshKey makes a publication whose key never comes twice.
type freshKey struct {
	pub Publication
	n   int
}

func (f *freshKey) next() *Publication {
	f.n++
	m := f.pub.Message
	m.RoutingKey = append(m.RoutingKey[:0], "stock."...)
	m.RoutingKey = strconv.AppendInt(m.RoutingKey, int64(f.n%1000), 10)
	m.RoutingKey = append(m.RoutingKey, '.')
	m.RoutingKey = strconv.AppendInt(m.RoutingKey, int64(f.n), 10)
	return &f.pub
}

// TestRouteAllocatesNothing: neither for a key that is known nor for one that
// never comes again, whatever the exchange.
func TestRouteAllocatesNothing(t *testing.T) {
	x, _ := topicBench(t, 100)
	for name, args := range map[string]message.Table{"x-consistent-hash": nil, "x-random": nil, "headers": nil, "direct": message.AppendField(nil, "alternate-exchange", message.StringOf("amq.topic"))} {
		if err := x.s.DeclareExchange(background, ExchangeOptions{Name: "to " + name, Type: name, Args: args}); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if err := x.s.Bind(background, Binding{Destination: fmt.Sprint("q", i), Source: "to " + name, Key: "1"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, to := range []string{"amq.topic", "to x-consistent-hash", "to x-random", "to headers", "to direct"} {
		for _, fresh := range []bool{false, true} {
			f := freshKey{pub: publication(0, to, "", "m")}
			p := x.s.NewPublisher(&fakeSink{})
			f.next()
			if n := testing.AllocsPerRun(500, func() {
				if fresh {
					f.next()
				}
				if _, err := p.route(&f.pub); err != nil {
					t.Fatal(err)
				}
				p.finder.reset()
			}); n != 0 {
				t.Errorf("%s, fresh %v: %v allocations", to, fresh, n)
			}
		}
	}
}

// TestRoutesOfOneCall: routes that are not kept stay whole until all of a call
// is handed over, and a key that comes again is kept.
func TestRoutesOfOneCall(t *testing.T) {
	x := newBench(t, 0)
	want := ""
	var ps []Publication
	for i := range 200 {
		name := fmt.Sprint("q", i)
		id := x.queue(name, true)
		if name[len(name)-1] != '2' {
			if want != "" {
				want += " "
			}
			want += fmt.Sprintf("%d:m", id)
		}
		ps = append(ps, publication(0, "", name, "m"))
	}
	p := x.s.NewPublisher(&fakeSink{})
	for round := range 4 {
		x.publish(p, ps...)
		if got := x.one.taken(); got != want {
			t.Fatalf("round %d: %s\nwant %s", round, got, want)
		}
	}
	kept := 0
	for _, c := range p.cache {
		if c.route != nil {
			kept++
		}
	}
	if kept == 0 || len(p.cache) != routeCells {
		t.Errorf("%d routes are kept in %d cells", kept, len(p.cache))
	}
}

// TestRouteForgets: what a wide route took is not kept for ever.
func TestRouteForgets(t *testing.T) {
	x := newBench(t, 0)
	for i := range keptTargets + 1 {
		name := fmt.Sprint("q", i)
		x.queue(name, false)
		x.do(&catalog.Bind{Link: catalog.Link{VHost: "/", Source: "amq.fanout", Kind: exchange.Queue, Destination: name}})
	}
	p := x.s.NewPublisher(&fakeSink{})
	pub := publication(0, "amq.fanout", "k", "m")
	if r, err := p.route(&pub); err != nil || len(r.targets) != keptTargets+1 {
		t.Fatalf("%v", err)
	}
	p.finder.reset()
	if p.finder.ids != nil || p.finder.fresh.targets != nil || p.finder.dests != nil {
		t.Error("it is kept")
	}
}

// TestRoutePlaces: queues of one shard are one target, in order; each queue in
// memory is its own.
func TestRoutePlaces(t *testing.T) {
	x := newBench(t, 0)
	for _, name := range []string{"a", "m1", "b2", "c", "m2", "d2"} {
		id := x.queue(name, name[0] != 'm')
		x.do(&catalog.Bind{Link: catalog.Link{VHost: "/", Source: "amq.fanout", Kind: exchange.Queue, Destination: name}})
		_ = id
	}
	p := x.s.NewPublisher(&fakeSink{})
	pub := publication(0, "amq.fanout", "k", "m")
	for round := range 3 { // found, found and kept, from the cache
		r, err := p.route(&pub)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, tg := range r.targets {
			for _, id := range tg.queues {
				got += x.b.View().QueueByID(id).Name + " "
			}
			if got += "| "; (tg.shard == 0) != (tg.to != shard.Shard(x.one) && tg.to != shard.Shard(x.two)) {
				t.Errorf("shard %d is %v", tg.shard, tg.to)
			}
		}
		if want := "a c | m1 | b2 d2 | m2 | "; got != want {
			t.Errorf("round %d: %s, want %s", round, got, want)
		}
		p.finder.reset()
	}
}

func BenchmarkRoute(b *testing.B) {
	for _, fresh := range []bool{false, true} {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("fresh=%v/bindings=%d", fresh, n), func(b *testing.B) {
				_, p := topicBench(&testing.T{}, n)
				f := freshKey{pub: publication(0, "amq.topic", "", "m")}
				f.next()
				b.ReportAllocs()
				for b.Loop() {
					if fresh {
						f.next()
					}
					if _, err := p.route(&f.pub); err != nil {
						b.Fatal(err)
					}
					p.finder.reset()
				}
			})
		}
	}
}

// TestManyKeys: a million keys that come once leave nothing behind.
// (X13).
func TestManyKeys(t *testing.T) {
	keys := racing.Less(1_000_000)
	_, p := topicBench(t, 100)
	f := freshKey{pub: publication(0, "amq.topic", "", "m")}
	step := func(n int) {
		for range n {
			if _, err := p.route(f.next()); err != nil {
				t.Fatal(err)
			}
			p.finder.reset()
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	step(1000)
	before := heap()
	step(keys)
	if after := heap(); after > before+64<<10 {
		t.Errorf("%d keys left %d bytes behind", keys, after-before)
	}
}

// A drain is a consumer's sink that takes everything, and settles it when it is
// told to: not from within the shard.
type drain struct {
	c  *Consumer
	ss []shard.Settle
	n  int
}

func (d *drain) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	d.c.Delivered(ds)
	for i := range ds {
		d.ss = append(d.ss, shard.Settle{Queue: c.Queue, Seq: ds[i].Seq, Holding: ds[i].Holding})
	}
	d.n += len(ds)
}
func (d *drain) Cancelled(*shard.Consumer) { d.c.Gone() }
func (d *drain) Wake()                     {}

func (d *drain) settle() {
	d.c.Settle(d.ss)
	d.ss = d.ss[:0]
}

// A quietSink counts confirms.
type quietSink struct{ confirmed int }

func (s *quietSink) Confirmed(_ uint64, n uint32, _ bool) { s.confirmed += int(n) }
func (s *quietSink) Unknown(uint64, uint32)               {}
func (s *quietSink) Wake()                                {}
func (s *quietSink) Unroutable(int)                       {}
func (s *quietSink) Ready()                               {}

// BenchmarkFanout publishes to 20 queues in memory, each with a consumer that
// does not acknowledge: ns/op are per publish, 20 deliveries each.
func BenchmarkFanout(b *testing.B) {
	for _, confirms := range []bool{false, true} {
		b.Run(fmt.Sprintf("queues=20/confirms=%v", confirms), func(b *testing.B) {
			x := newBench(&testing.T{}, 0)
			drains := make([]*drain, 20)
			for i := range drains {
				name := fmt.Sprint("q", i)
				x.queue(name, false)
				x.do(&catalog.Bind{Link: catalog.Link{VHost: "/", Source: "amq.fanout", Kind: exchange.Queue, Destination: name}})
				d := &drain{}
				if _, err := x.s.Consume(background, ConsumeOptions{Queue: name, NoAck: true, Sink: d}, func(c *Consumer) { d.c = c }); err != nil {
					b.Fatal(err)
				}
				drains[i] = d
			}
			sink := &quietSink{}
			p := x.s.NewPublisher(sink)
			const batch = 64
			ps := make([]Publication, batch)
			for i := range ps {
				ps[i] = publication(0, "amq.fanout", "k", strings.Repeat("x", 100))
			}
			b.ReportAllocs()
			tag := uint64(0)
			for range b.N/batch + 1 {
				for i := range ps {
					if tag++; confirms {
						ps[i].Tag = tag
					}
				}
				if _, err := p.Publish(ps); err != nil {
					b.Fatal(err)
				}
				for _, d := range drains {
					d.settle()
				}
			}
			b.StopTimer()
			for _, d := range drains {
				if d.n != int(tag) {
					b.Fatalf("%d of %d delivered", d.n, tag)
				}
			}
			if confirms && sink.confirmed != int(tag) {
				b.Fatalf("%d of %d confirmed", sink.confirmed, tag)
			}
			b.ReportMetric(float64(tag)*20/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}
