package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A spot is where a queue is, or was. It notes what is asked of it.
type spot struct {
	shard.Shard
	mu      sync.Mutex
	said    []string
	answers []func()
	last    uint64
	slow    bool // publishes and counts are answered by answer
	refuse  error

	consumers []*shard.Consumer
}

func stayed() bool { return false }

func (s *spot) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func (s *spot) heard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, ", ")
}

func (s *spot) then(f func()) {
	s.mu.Lock()
	slow := s.slow
	if slow {
		s.answers = append(s.answers, f)
	}
	s.mu.Unlock()
	if !slow {
		f()
	}
}

// answer answers what waits, and is asked after when something does.
func (s *spot) answer(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		s.mu.Lock()
		fs := s.answers
		s.answers = nil
		s.mu.Unlock()
		for _, f := range fs {
			f()
		}
		if len(fs) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was asked")
		}
		<-time.After(time.Millisecond)
	}
}

func (s *spot) Publish(ps []shard.Publish) bool {
	for _, p := range ps {
		s.note("%d gets %s", p.Queues[0], p.Message.Body)
		s.then(func() {
			if p.To != nil {
				p.To.Confirmed(p.Tag, 1, false)
			}
		})
	}
	return true
}
func (s *spot) Settle(ss []shard.Settle, _ func(error)) { s.note("%d settles", len(ss)) }
func (s *spot) Kick(c *shard.Consumer)                  { s.note("kick %d", c.ID) }
func (s *spot) Consume(c *shard.Consumer, done func(error)) {
	s.mu.Lock()
	s.last++
	c.ID = s.last // as a shard names it
	s.consumers = append(s.consumers, c)
	s.mu.Unlock()
	s.note("consume %d", c.ID)
	done(s.refuse)
}

func (s *spot) Cancel(c *shard.Consumer, _ bool, done func(error)) {
	s.note("cancel %d", c.ID)
	done(nil)
}

func (s *spot) Counts(_ shard.QueueID, done func(shard.Counts, error)) {
	s.note("counts")
	s.then(func() { done(shard.Counts{}, nil) })
}

// A cancelSink notes that its consumer ended.
type cancelSink struct {
	shard.Sink
	ended int
}

func (s *cancelSink) Cancelled(*shard.Consumer) { s.ended++ }
func (s *cancelSink) Wake()                     {}

func pub(body string) []shard.Publish {
	return []shard.Publish{{Message: &message.Message{Body: []byte(body)}, Queues: []shard.QueueID{5}}}
}

// What comes while a queue moves waits, in order, until all that went to the
// memory before is in the shard; then consumers are there, and it follows.
func TestFrontFollows(t *testing.T) {
	from, to := &spot{}, &spot{last: 100}
	f := newFront(5, from, false, stayed)
	c := &shard.Consumer{Queue: 5, ID: 3}
	f.Publish(pub("a"))
	f.Consume(c, func(error) {})
	from.slow = true
	done := make(chan struct{})
	go func() { f.follow(context.Background(), to); close(done) }()
	from.answer(t) // the marker
	if ok := f.Publish(pub("b")); !ok {
		t.Error("there is no room for a byte")
	}
	f.Kick(c)
	f.Settle(make([]shard.Settle, 2), nil)
	again := false
	if f.Publish(pub(strings.Repeat("x", shard.DefaultParking))) {
		t.Error("there is room without end")
	}
	f.Ready(func() { again = true })
	if to.heard() != "" || again {
		t.Fatalf("the shard heard %q before the memory had answered", to.heard())
	}
	from.answer(t) // the counts
	<-done
	f.follow(context.Background(), &spot{}) // once
	f.Publish(pub("c"))
	f.Kick(c)
	f.Cancel(c, false, func(error) {})
	if got, want := from.heard(), "5 gets a, consume 1, 0 gets , counts, cancel 1"; got != want {
		t.Errorf("the memory heard %q, want %q", got, want)
	}
	got := strings.ReplaceAll(to.heard(), strings.Repeat("x", shard.DefaultParking), "x")
	if want := "consume 101, 5 gets b, kick 101, 2 settles, 5 gets x, 5 gets c, kick 101, cancel 101"; got != want {
		t.Errorf("the shard heard %q, want %q", got, want)
	}
	if !again {
		t.Error("the publisher waits for ever")
	}
}

// A consumer that the shard does not take has ended.
func TestFrontRefused(t *testing.T) {
	from, to, sink := &spot{}, &spot{refuse: shard.ErrExclusive}, &cancelSink{}
	f := newFront(5, from, true, stayed)
	f.Consume(&shard.Consumer{Queue: 5, ID: 3, Sink: sink}, func(error) {})
	f.follow(context.Background(), to)
	if sink.ended != 1 || len(f.known.consumers) != 0 {
		t.Errorf("ended %d times, %d are known", sink.ended, len(f.known.consumers))
	}
}

// A node that ends after the queue has left its memory takes no consumer with it,
// and before it does.
func TestFrontOutlivesMemory(t *testing.T) {
	from, to, sink, left := &spot{}, &spot{}, &cancelSink{}, false
	f := newFront(5, from, true, func() bool { return left })
	c, d := &shard.Consumer{Queue: 5, Sink: sink}, &shard.Consumer{Queue: 5, Sink: sink}
	f.Consume(c, func(error) {})
	f.Consume(d, func(error) {})
	end := func(s *spot, i int) { s.consumers[i].Sink.Cancelled(s.consumers[i]) }
	end(from, 0)
	if sink.ended != 1 {
		t.Fatalf("ended %d times with the memory", sink.ended)
	}
	left = true
	end(from, 1)
	f.follow(context.Background(), to)
	if sink.ended != 1 || to.heard() != "consume 1" {
		t.Errorf("ended %d times, the shard heard %q", sink.ended, to.heard())
	}
	if end(to, 0); sink.ended != 2 || len(f.known.consumers) != 0 {
		t.Errorf("ended %d times with the shard, %d are known", sink.ended, len(f.known.consumers))
	}
}

// However many publish while it moves, each is taken once and in its order.
func TestFrontOrder(t *testing.T) {
	from, to := &spot{}, &spot{}
	f := newFront(5, from, true, stayed)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range 200 {
				f.Publish(pub(fmt.Sprintf("%d-%03d", k, i)))
			}
		})
	}
	wg.Go(func() { f.follow(context.Background(), to) })
	wg.Wait()
	all := append(slices.Clone(from.said), to.said...)
	for k := range 4 {
		var mine []string
		for _, s := range all {
			if x, ok := strings.CutPrefix(s, fmt.Sprintf("5 gets %d-", k)); ok {
				mine = append(mine, x)
			}
		}
		if len(mine) != 200 || !slices.IsSorted(mine) {
			t.Errorf("publisher %d: %v", k, mine)
		}
	}
}

// governed declares a queue in memory and has a policy replicate it.
func (x *bench) governed(name string) shard.QueueID {
	id := x.queue(name, false)
	x.do(&catalog.SetPolicy{
		VHost: "/", Name: "p", ApplyTo: "all", Definition: policyOf(x.t.(*testing.T), "p", `{"ha-mode":"all"}`).Definition,
		Shifts: []catalog.Shift{{Policy: "p", Queues: []uint64{id}}},
	})
	return id
}

// A queue moves with what is in it once nothing of it is held. (estate R3, R16).
func TestMove(t *testing.T) {
	x := newBench(t, 0)
	ctx := context.Background()
	id := x.governed("m")
	other := x.queue("other", true) // in the same shard
	sink := &fakeSink{}
	p := x.s.NewPublisher(sink)
	send := func(body string) {
		t.Helper()
		if _, err := p.Publish([]Publication{{Message: &message.Message{RoutingKey: []byte("m"), Body: []byte(body)}}}); err != nil {
			t.Fatal(err)
		}
	}
	send("1")
	send("2")
	g, err := x.s.Get(ctx, "m")
	if err != nil {
		t.Fatal(err)
	}
	if got := x.b.ToMove(); !slices.Equal(got, []shard.QueueID{id}) {
		t.Fatalf("to move %v", got)
	}
	if err := x.b.Move(ctx, id, nil); !errors.Is(err, ErrBusy) {
		t.Fatalf("with a message held: %v", err)
	}
	g.From.Settle([]shard.Settle{{Queue: id, Seq: g.Seq, Holding: g.Holding, Outcome: Requeue}}, nil)
	refused := errors.New("no")
	x.c.instead = func(cmd catalog.Command) (catalog.Result, error, bool) {
		_, is := cmd.(*catalog.UpdateQueue)
		return catalog.Result{}, refused, is
	}
	if err := x.b.Move(ctx, id, nil); !errors.Is(err, refused) || x.b.View().QueueByID(id).Shard != 0 {
		t.Fatalf("without the catalog: %v", err)
	}
	x.c.instead = nil
	var steps []string
	if err := x.b.Move(ctx, id, func(s string) { steps = append(steps, s) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(steps, []string{"frozen", "switched", "going"}) || len(x.b.ToMove()) != 0 {
		t.Errorf("steps %v, to move %v", steps, x.b.ToMove())
	}
	if got, want := x.one.taken(), fmt.Sprintf("%d:1 %d:2", id, id); got != want {
		t.Errorf("the shard got %q, want %q", got, want)
	}
	// One that comes now waits, or goes by the memory; queues of the same shard do
	// not wait for it.
	if err := x.s.Bind(ctx, Binding{Destination: "m", Source: "amq.fanout"}); err != nil {
		t.Fatal(err)
	}
	if err := x.s.Bind(ctx, Binding{Destination: "other", Source: "amq.fanout"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish([]Publication{{Message: &message.Message{Exchange: []byte("amq.fanout"), Body: []byte("3")}}}); err != nil {
		t.Fatal(err)
	}
	got := x.one.taken()
	if !strings.Contains(got, fmt.Sprintf("%d:3", other)) {
		t.Errorf("another queue of the shard got %q", got)
	}
	gone := make(chan struct{})
	go func() { x.going.Wait(); close(gone) }()
	for waits := true; waits; {
		x.one.confirm()
		select {
		case <-gone:
			waits = false
		case <-time.After(time.Millisecond):
		}
	}
	send("4")
	if got += " " + x.one.taken(); strings.Count(got, fmt.Sprintf("%d:3", id)) != 1 || !strings.HasSuffix(got, fmt.Sprintf("%d:4", id)) {
		t.Errorf("in the end %q", got)
	}
}
