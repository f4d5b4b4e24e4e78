package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/shard"
)

var background = context.Background()

func (x *bench) publish(p *Publisher, pubs ...Publication) {
	x.t.Helper()
	if n, err := p.Publish(pubs); n != len(pubs) || err != nil {
		x.t.Fatalf("published %d of %d: %v", n, len(pubs), err)
	}
}

func TestPublishRoutesInOrder(t *testing.T) {
	x := newBench(t, 0)
	a, b, c := x.queue("a", true), x.queue("b", true), x.queue("c2", true)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(1, "", "a", "1"), publication(2, "", "c2", "2"), publication(3, "", "b", "3"), publication(4, "", "a", "4"))
	if got, want := x.one.taken(), fmt.Sprintf("%d:1 %d:3 %d:4", a, b, a); got != want {
		t.Errorf("shard one took %s, want %s", got, want)
	}
	if got, want := x.two.taken(), fmt.Sprintf("%d:2", c); got != want {
		t.Errorf("shard two took %s, want %s", got, want)
	}
	x.two.confirm()
	x.one.confirm()
	if got := sink.told(); got != "ack 2+1, ack 1+1, ack 3+1, ack 4+1" {
		t.Errorf("told %s", got)
	}
}

// A publish to several shards is told once, as refused if one refuses.
func TestPublishToSeveralShards(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	x.queue("b2", true)
	for _, q := range []string{"a", "b2"} {
		if err := x.s.Bind(background, Binding{Destination: q, Source: "amq.fanout"}); err != nil {
			t.Fatal(err)
		}
	}
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(1, "amq.fanout", "", "m"), publication(2, "", "a", "n"), publication(3, "amq.fanout", "", "o"))
	x.one.confirm()
	if got := sink.told(); got != "ack 2+1" {
		t.Errorf("told %q before the second shard answered", got)
	}
	x.two.confirm()
	if got := sink.told(); got != "ack 1+1, ack 3+1" {
		t.Errorf("told %q", got)
	}
	for i, want := range []string{"nack 7+1", "unknown 7+1"} {
		x.publish(p, publication(7, "amq.fanout", "", "m"))
		number := p.multi.mu.first
		x.one.confirm()
		if i == 0 {
			p.multi.Confirmed(number, 1, true)
		} else {
			p.multi.Unknown(number, 1)
		}
		x.two.confirms = nil
		if got := sink.told(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if n := len(p.multi.mu.parts); n != 0 {
		t.Errorf("%d parts are left", n)
	}
}

func TestUnroutable(t *testing.T) {
	x := newBench(t, 0)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	x.publish(p, publication(1, "amq.direct", "x", ""), publication(0, "", "nobody", ""), publication(2, "", "nobody", ""))
	if got := sink.told(); got != "unroutable #0, ack 1+1, unroutable #1, unroutable #2, ack 2+1" {
		t.Errorf("told %s", got)
	}
	if err := p.Settle(background); err != nil {
		t.Error(err)
	}
}

// The publishes before one that can not be published are published.
func TestPublishError(t *testing.T) {
	x := newBench(t, 0)
	a := x.queue("a", true)
	p := x.s.NewPublisher(&fakeSink{})
	if err := x.s.DeclareExchange(background, ExchangeOptions{Name: "in", Type: "fanout", Internal: true}); err != nil {
		t.Fatal(err)
	}
	x.auth.deny["write exchange amq.topic"] = true
	for _, tc := range []struct {
		exchange string
		want     Kind
	}{{"none", NotFound}, {"in", Reserved}, {"amq.topic", Denied}} {
		n, err := p.Publish([]Publication{publication(0, "", "a", "1"), publication(0, tc.exchange, "", "2"), publication(0, "", "a", "3")})
		if n != 1 || KindOf(err) != tc.want {
			t.Errorf("%s: %d, %v", tc.exchange, n, err)
		}
		if got := x.one.taken(); got != fmt.Sprintf("%d:1", a) {
			t.Errorf("took %s", got)
		}
	}
}

// What is remembered of routes is forgotten with the view it was made from.
func TestRoutesFollowTheCatalog(t *testing.T) {
	x := newBench(t, 0)
	a := x.queue("a", true)
	p := x.s.NewPublisher(&fakeSink{})
	send := func(want string) {
		t.Helper()
		x.publish(p, publication(0, "amq.topic", "k", "m"))
		if got := x.one.taken(); got != want {
			t.Errorf("took %q, want %q", got, want)
		}
	}
	link := Binding{Destination: "a", Source: "amq.topic", Key: "k"}
	send("")
	if err := x.s.Bind(background, link); err != nil {
		t.Fatal(err)
	}
	both := fmt.Sprintf("%d:m", a)
	send(both)
	send(both)
	if err := x.s.Unbind(background, link); err != nil {
		t.Fatal(err)
	}
	send("")
	if err := x.s.Bind(background, link); err != nil {
		t.Fatal(err)
	}
	send(both)
	if _, err := x.s.DeleteQueue(background, "a", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	send("")
	b := x.queue("a", true)
	if b == a {
		t.Fatal("an id was used again")
	}
	x.publish(p, publication(0, "", "a", "new"))
	if got := x.one.taken(); got != fmt.Sprintf("%d:new", b) {
		t.Errorf("took %q", got)
	}
	// A right that is taken away counts from the view on that lacks it.
	x.auth.deny["write exchange amq.default"] = true
	x.queue("unrelated", false)
	if _, err := p.Publish([]Publication{publication(0, "", "a", "x")}); KindOf(err) != Denied {
		t.Errorf("after the right went: %v", err)
	}
}

// More keys are routed like the message's own, each queue once.
func TestKeys(t *testing.T) {
	x := newBench(t, 0)
	a, b := x.queue("a", true), x.queue("b", true)
	p := x.s.NewPublisher(&fakeSink{})
	pub := publication(0, "", "a", "m")
	pub.Keys = [][]byte{[]byte("b"), []byte("a"), []byte("b"), []byte("none")}
	x.publish(p, pub, publication(0, "", "a", "n"))
	if got, want := x.one.taken(), fmt.Sprintf("%d:m %d:m %d:n", a, b, a); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
}

// A publisher is held while a shard takes nothing more, and hears when it does.
func TestHeldByAShard(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	held := func(want bool) {
		t.Helper()
		if got, why := p.Held(); got != want || why != 0 {
			t.Fatalf("held: %v for %v, want %v", got, why, want)
		}
	}
	held(false)
	x.one.full = true
	x.publish(p, publication(0, "", "a", "m"), publication(0, "", "a", "n"))
	held(true)
	held(true)
	if got := sink.told(); got != "" {
		t.Fatalf("told %s too early", got)
	}
	x.one.drained()
	if got := sink.told(); got != "ready" {
		t.Errorf("told %s", got)
	}
	held(false)
	if got := len(strings.Fields(x.one.taken())); got != 2 {
		t.Errorf("%d messages were taken", got)
	}
}

// Every publisher is held while an alarm is up, also one that waits for its
// shard when the alarm comes; each hears once, a closed one not at all.
func TestHeldByAlarms(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	sinks, ps := make([]*fakeSink, 3), make([]*Publisher, 3)
	for i := range ps {
		sinks[i] = &fakeSink{}
		ps[i] = x.s.NewPublisher(sinks[i])
	}
	x.one.full = true
	x.publish(ps[1], publication(0, "", "a", "m"))
	watched := 0
	if x.b.Watch(func() {}) != nil {
		t.Error("there is nothing to watch for")
	}
	for _, a := range []Alarms{LowMemory, LowMemory | LowDisk, LowDisk} {
		x.b.SetAlarms(a)
		for i, p := range ps {
			if held, why := p.Held(); !held || why != a {
				t.Errorf("publisher %d: %v for %v, want %v", i, held, why, a)
			}
		}
	}
	x.b.Watch(func() { watched++ })
	x.b.Watch(func() { watched += 10 }).Stop()
	ps[2].Close()
	x.b.SetAlarms(0)
	if a, b, c := sinks[0].told(), sinks[1].told(), sinks[2].told(); a != "ready" || b != "" || c != "" || watched != 1 {
		t.Errorf("told %q, %q and %q, watched %d", a, b, c, watched)
	}
	x.b.SetAlarms(LowDisk)
	x.one.drained()
	if got := sinks[1].told(); got != "ready" {
		t.Errorf("told %q", got)
	}
	if held, why := ps[1].Held(); !held || why != LowDisk {
		t.Errorf("%v for %v", held, why)
	}
	x.b.SetAlarms(0)
	if got := sinks[1].told(); got != "ready" {
		t.Errorf("told %q", got)
	}
	for i, p := range ps[:2] {
		if held, _ := p.Held(); held {
			t.Errorf("publisher %d is still held", i)
		}
	}
}

func TestAlarmTexts(t *testing.T) {
	for a, want := range map[Alarms]string{LowMemory: "low on memory", LowDisk: "low on disk", LowMemory | LowDisk: "low on memory & disk"} {
		if a.String() != want {
			t.Errorf("%d: %s", a, a)
		}
	}
}

// Publishers to memory queues are held while the node's memory is used up,
// others are not.
func TestHeldByMemory(t *testing.T) {
	x := newBench(t, 1000)
	q := x.queue("m", false)
	x.queue("a", true)
	sink := &fakeSink{}
	p, other := x.s.NewPublisher(sink), x.s.NewPublisher(&fakeSink{})
	body := strings.Repeat("x", 2000)
	x.publish(p, publication(0, "", "m", body)) // the one that fills it
	x.publish(other, publication(0, "", "a", body))
	if held, why := p.Held(); !held || why != LowMemory || x.b.Short() != LowMemory {
		t.Fatalf("%v for %v", held, why)
	}
	if held, _ := other.Held(); held {
		t.Error("a publisher to a durable queue is held")
	}
	if n, err := x.s.Purge(background, "m"); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := sink.told(); got != "ready" {
		t.Errorf("told %s", got)
	}
	if held, _ := p.Held(); held {
		t.Error("still held")
	}
	x.publish(p, publication(0, "", "m", body))
	if c := x.b.Counts(); c.QueueMemory < 2000 || c.MemoryQueues != 1 {
		t.Errorf("%+v", c)
	}
	if _, err := x.s.DeleteQueue(background, "m", DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := x.b.Counts(); c.QueueMemory != 0 || c.MemoryQueues != 0 || x.b.View().QueueByID(q) != nil {
		t.Errorf("after the end: %+v", c)
	}
}

// Settle waits for all that was given to shards, confirmed to somebody or not.
func TestSettle(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	x.queue("b2", true)
	p := x.s.NewPublisher(&fakeSink{})
	for round := range uint64(3) {
		x.publish(p, publication(0, "", "a", "1"), publication(round+1, "", "b2", "2"))
		ctx, cancel := context.WithCancel(background)
		cancel()
		if err := p.Settle(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("before any answer: %v", err)
		}
		done := make(chan error)
		go func() { done <- p.Settle(background) }() // received below
		x.one.confirm()
		x.two.confirm()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

var _ shard.Confirms = (*told)(nil)

// What has nowhere to go waits until the View holds what anybody was told before,
// and what is behind it waits too; then it goes where it should, or nowhere.
func TestNowhereIsMadeSureOf(t *testing.T) {
	x := newBench(t, 0)
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	var waiting []func(error)
	x.c.pass = func(done func(error)) { waiting = append(waiting, done) }
	pubs := []Publication{publication(1, "", "new", "1"), publication(2, "", "none", "2"), publication(3, "", "new", "3")}
	n, err := p.Publish(pubs)
	if n != 0 || !errors.Is(err, ErrLater) || len(waiting) != 1 || sink.told() != "" {
		t.Fatalf("%d, %v, %d barriers", n, err, len(waiting))
	}
	if held, _ := p.Held(); !held {
		t.Fatal("it is not held")
	}
	if ws := x.b.Waiting(); len(ws) != 1 || !strings.Contains(ws[0].Why, "nowhere to go") {
		t.Fatalf("operators see %v", ws)
	}
	id := x.queue("new", true) // as another node was told
	waiting[0](nil)
	if held, _ := p.Held(); held {
		t.Fatal("it is held")
	}
	if n, err := p.Publish(pubs); n != 3 || err != nil || len(waiting) != 1 {
		t.Fatalf("%d, %v, %d barriers", n, err, len(waiting))
	}
	if got, want := x.one.taken(), fmt.Sprintf("%d:1 %d:3", id, id); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	if got := sink.told(); !strings.Contains(got, "unroutable #1") {
		t.Errorf("told %s", got)
	}
	// The next is another matter, an exchange that is missing as well.
	for k, pub := range []Publication{publication(4, "", "none", ""), publication(5, "gone", "", "")} {
		if _, err := p.Publish([]Publication{pub}); !errors.Is(err, ErrLater) || len(waiting) != k+2 {
			t.Fatalf("%v after %d barriers", err, len(waiting))
		}
		waiting[k+1](nil)
		if _, err := p.Publish([]Publication{pub}); (k == 1) != (KindOf(err) == NotFound) || k == 0 && err != nil {
			t.Fatalf("publication %d: %v", k, err)
		}
	}
	if _, err := p.Publish([]Publication{publication(6, "", "none", "")}); !errors.Is(err, ErrLater) {
		t.Fatal(err)
	}
	waiting[3](errors.New("no leader"))
	if n, err := p.Publish([]Publication{publication(6, "", "none", "")}); n != 0 || KindOf(err) != Unavailable {
		t.Fatalf("without the catalog: %d, %v", n, err)
	}
}
