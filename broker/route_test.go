package broker

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
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
