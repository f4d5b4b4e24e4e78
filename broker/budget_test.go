package broker

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/catalog"
)

// Who takes too much is slowed before everybody is: a queue, the queues of a
// user's connections, a vhost, and then the node.
func TestBudgetsFromTheNearest(t *testing.T) {
	x := newBench(t, 16_000)
	x.queue("big", false)
	x.queue("small", false)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(0, "", "big", strings.Repeat("x", 12_500)))
	if held, why := p.Held(); !held || why != LowMemory {
		t.Fatalf("held %v, %s", held, why)
	}
	if w := x.b.Waiting(); len(w) != 1 || w[0].User != "u" || !strings.Contains(w[0].Why, "queue 'big'") || !strings.Contains(w[0].Why, "raise memory.entries") {
		t.Errorf("waiting %+v", w)
	}
	// Another queue of the same vhost goes on, until the vhost has its share.
	other := x.session().NewPublisher(&fakeSink{})
	x.publish(other, publication(0, "", "small", strings.Repeat("x", 1000)))
	if held, _ := other.Held(); held {
		t.Error("a neighbour is held")
	}
	x.publish(other, publication(0, "", "small", strings.Repeat("x", 1000)))
	if held, _ := other.Held(); !held || !strings.Contains(x.b.Waiting()[1].Why, "vhost '/'") {
		t.Errorf("held %v, waiting %+v", held, x.b.Waiting())
	}
	// Another vhost has what is left.
	x.do(&catalog.AddVHost{Name: "other"})
	elsewhere := x.b.NewSession(Identity{User: "u"}, SessionInfo{})
	if err := elsewhere.Open(background, "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.DeclareQueue(background, QueueOptions{Name: "q", Exclusive: true}); err != nil {
		t.Fatal(err)
	}
	third := elsewhere.NewPublisher(&fakeSink{})
	if _, err := third.Publish([]Publication{publication(0, "", "q", "x")}); err != nil {
		t.Fatal(err)
	}
	if held, _ := third.Held(); held {
		t.Error("another vhost is held")
	}
	mine := x.b.budgetOf(x.b.View().Queue("other", "q"))
	if mine.parent.what != "user" || mine.parent.parent.what != "vhost" || mine.parent.parent.parent != &x.b.memory {
		t.Errorf("the chain of an exclusive queue: %+v", mine)
	}

	if n, err := x.session().Purge(background, "big"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := sink.told(); got != "ready" {
		t.Errorf("told %s", got)
	}
	for _, p := range []*Publisher{p, other} {
		if held, why := p.Held(); held || why != 0 {
			t.Errorf("held %v, %s", held, why)
		}
	}
	if w := x.b.Waiting(); len(w) != 0 {
		t.Errorf("waiting %+v", w)
	}

	elsewhere.Close()
	for _, name := range []string{"big", "small"} {
		if _, err := x.s.DeleteQueue(background, name, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(x.b.mu.budgets.queues) != 0 || len(x.b.mu.budgets.owners) != 0 || x.b.memory.used.Load() != 0 {
		t.Errorf("left: %+v, %d bytes", x.b.mu.budgets, x.b.memory.used.Load())
	}
}

// A publisher that ends while it is held is neither told nor shown any more.
func TestHeldPublisherEnds(t *testing.T) {
	x := newBench(t, 1000)
	x.queue("m", false)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(0, "", "m", strings.Repeat("x", 800)))
	if held, _ := p.Held(); !held {
		t.Fatal("not held")
	}
	p.Close()
	if n, err := x.session().Purge(background, "m"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := sink.told(); got != "" || len(x.b.Waiting()) != 0 {
		t.Errorf("told %q, waiting %+v", got, x.b.Waiting())
	}
}

// Checkpoints that are behind hold publishers, and their clients hear nothing.
func TestHeldByTheLog(t *testing.T) {
	x := newBench(t, 0)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.b.SetAlarms(LowLog)
	if held, why := p.Held(); !held || why != 0 || x.b.Waiting()[0].Why != "low on log space" {
		t.Errorf("held %v, told %s, waiting %+v", held, why, x.b.Waiting())
	}
	x.b.SetAlarms(0)
	if got := sink.told(); got != "ready" {
		t.Errorf("told %s", got)
	}
}

// Whatever is taken and given back, each budget is shut from above its limit to
// three quarters of it.
func TestBudgetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := &budget{}
		node.limit = 100
		all := []*budget{node}
		for range 2 {
			g := &budget{parent: node}
			g.limit = 80
			all = append(all, g)
		}
		used := make([]int, len(all)) // the node's first
		shut := make([]bool, len(all))
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				i := rapid.IntRange(1, 2).Draw(t, "who")
				delta := rapid.IntRange(-used[i], 60).Draw(t, "delta")
				all[i].add(delta)
				for _, k := range []int{i, 0} {
					used[k] += delta
					limit := int(all[k].limit)
					shut[k] = used[k] > limit || shut[k] && used[k] > limit-limit/4
				}
			},
			"": func(t *rapid.T) {
				for i, g := range all {
					want := g
					if !shut[i] {
						want = nil
						if shut[0] {
							want = node
						}
					}
					if g.shut.Load() != shut[i] || g.full() != want {
						t.Fatalf("%d of %d: shut %v, full %v; want %v, %v", i, used[i], g.shut.Load(), g.full(), shut[i], want)
					}
				}
			},
		})
	})
}

// A look at the budgets, for every call with publishes to memory.
func BenchmarkBudgetFull(b *testing.B) {
	for _, depth := range []int{1, 4} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			var g *budget
			for range depth {
				g = &budget{parent: g}
			}
			b.ReportAllocs()
			for range b.N {
				if g.full() != nil {
					b.Fatal("full")
				}
			}
		})
	}
}
