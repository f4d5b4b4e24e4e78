package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

func TestOpen(t *testing.T) {
	x := newBench(t, 0)
	s := x.b.NewSession(Identity{User: "u"}, SessionInfo{})
	defer s.Close()
	if err := s.Open(background, "none"); KindOf(err) != NotFound {
		t.Error(err)
	}
	x.auth.deny["vhost /"] = true
	if err := s.Open(background, "/"); KindOf(err) != Denied {
		t.Error(err)
	}
	if n := x.b.Counts().Sessions; n != 2 {
		t.Errorf("%d sessions", n)
	}
}

// Exclusive queues end with their session, in memory too.
func TestCloseEndsExclusiveQueues(t *testing.T) {
	x := newBench(t, 0)
	s := x.session()
	info, err := s.DeclareQueue(background, QueueOptions{Exclusive: true})
	if err != nil || !strings.HasPrefix(info.Name, "amq.gen-") || len(info.Name) != 30 {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := x.s.DeclareQueue(background, QueueOptions{Name: info.Name, Passive: true}); KindOf(err) != Locked {
		t.Errorf("to another session: %v", err)
	}
	s.Close()
	s.Close()
	if x.b.View().Queue("/", info.Name) != nil || x.b.Counts().MemoryQueues != 0 {
		t.Error("the queue is left")
	}
}

// A get that nobody waits for any more is given back at the end.
func TestOrphanedGet(t *testing.T) {
	x := newBench(t, 0)
	q := x.queue("a", true)
	s := x.session()
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := s.Get(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	x.one.gets[0](shard.GetResult{Delivery: shard.Delivery{Seq: 7}}, nil)
	s.Close()
	if got := x.one.settles; len(got) != 1 || got[0].Seq != 7 || got[0].Queue != q || got[0].Outcome != shard.Release {
		t.Errorf("settled %+v", got)
	}
}

// The end of a session waits for the ends of its consumers.
func TestCloseWaitsForConsumers(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	s := x.session()
	c, err := s.Consume(background, ConsumeOptions{Queue: "a"}, func(*Consumer) {})
	if err != nil {
		t.Fatal(err)
	}
	c.End(true)
	closed := make(chan struct{})
	go func() { // received below
		s.Close()
		close(closed)
	}()
	select {
	case <-closed:
		t.Fatal("closed before its consumer ended")
	default:
	}
	x.one.cancels[0](nil)
	<-closed
}

func TestLimit(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	l := NewLimit(2)
	consumer := func(o ConsumeOptions) *Consumer {
		o.Queue, o.Limit = "a", l
		c, err := x.s.Consume(background, o, func(*Consumer) {})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b, free := consumer(ConsumeOptions{}), consumer(ConsumeOptions{}), consumer(ConsumeOptions{NoAck: true})
	if !a.Take() || !b.Take() || a.Take() || b.Take() {
		t.Error("not two")
	}
	for range 10 {
		if !free.Take() {
			t.Error("who does not acknowledge is limited")
		}
	}
	a.Delivered(make([]shard.Delivery, 1))
	l.Done(1)
	if x.one.kicks != 2 {
		t.Errorf("%d kicks", x.one.kicks)
	}
	if !b.Take() || b.Take() {
		t.Error("not one")
	}
	// What was granted and never delivered is free when its consumer ends.
	b.Gone()
	if first, second, third := a.Take(), a.Take(), a.Take(); !first || !second || third {
		t.Error("not two after the end of the other")
	}
	l.Set(0)
	for range 1000 {
		if !a.Take() {
			t.Fatal("limited")
		}
	}
	l.Set(1)
	if a.Take() {
		t.Error("taken beyond a lower limit")
	}
	l.used.Store(0)
	l.Set(0)
	n := 0
	for a.Take() {
		n++
	}
	if n != mostUnsettled {
		t.Errorf("%d without a limit", n)
	}
	for _, c := range []*Consumer{a, b, free} {
		c.End(true)
	}
	for _, f := range x.one.cancels {
		f(nil)
	}
}

type fakeGate struct{ pending []int }

func (g *fakeGate) Full(_ *shard.Consumer, pending int) bool {
	g.pending = append(g.pending, pending)
	return pending >= 2
}

func TestGate(t *testing.T) {
	x := newBench(t, 0)
	x.queue("a", true)
	g := &fakeGate{}
	c, err := x.s.Consume(background, ConsumeOptions{Queue: "a", Gate: g}, func(*Consumer) {})
	if err != nil {
		t.Fatal(err)
	}
	if first, second, third := c.Take(), c.Take(), c.Take(); !first || !second || third {
		t.Error("the gate is not asked")
	}
	c.Delivered(make([]shard.Delivery, 2))
	if !c.Take() {
		t.Error("what was delivered counts")
	}
	if fmt.Sprint(g.pending) != "[0 1 2 0]" {
		t.Errorf("asked with %v", g.pending)
	}
	c.End(true)
	x.one.cancels[0](nil)
}

// A declaration of a queue that is about to end makes a new one.
func TestDeclareWhileEnding(t *testing.T) {
	x := newBench(t, 0)
	if _, err := x.s.DeclareQueue(background, QueueOptions{Name: "a", Durable: true, AutoDelete: true}); err != nil {
		t.Fatal(err)
	}
	old := x.b.View().Queue("/", "a").ID
	x.one.gone = true
	if _, err := x.s.DeclareQueue(background, QueueOptions{Name: "a", Durable: true, AutoDelete: true, NoCounts: true}); err != nil {
		t.Fatal(err)
	}
	if q := x.b.View().Queue("/", "a"); q == nil || q.ID == old {
		t.Errorf("queue %+v", q)
	}
	if _, err := x.s.DeclareQueue(background, QueueOptions{Name: "a", Passive: true}); KindOf(err) != NotFound {
		t.Errorf("passive: %v", err)
	}
}

// A queue is served as soon as the view has it, before the broker was told.
func TestMemoryQueueBeforeChanged(t *testing.T) {
	x := newBench(t, 0)
	x.c.b = nil // nobody tells
	x.queue("m", false)
	p := x.s.NewPublisher(&fakeSink{})
	x.publish(p, publication(0, "", "m", "1"))
	x.c.b = x.b
	if c, err := x.s.renew(background, x.b.View().Queue("/", "m")); err != nil || c.Ready != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestArguments(t *testing.T) {
	x := newBench(t, 0)
	for _, tc := range []struct {
		name, want string
		v          message.Value
	}{
		{"x-message-ttl", "{value_negative,-1}", message.IntOf(message.Int32, -1)},
		{"x-message-ttl", `"expected integer, got longstr"`, message.StringOf("1")},
		{"x-message-ttl", "", message.IntOf(message.Int64, 5)},
		{"x-max-priority", "{max_value_exceeded,300}", message.IntOf(message.Int32, 300)},
		{"x-overflow", "invalid_overflow", message.StringOf("what")},
		{"x-overflow", "", message.StringOf("reject-publish")},
		{"x-dead-letter-routing-key", "routing_key_but_no_dlx_defined", message.StringOf("k")},
		{"x-dead-letter-strategy", "invalid_dlx_strategy", message.StringOf("perhaps")},
		{"x-dead-letter-strategy", "{unacceptable_type,signedint}", message.IntOf(message.Int32, 1)},
		{"x-expires", "{value_zero,0}", message.IntOf(message.Int32, 0)},
		{"x-expires", "{value_negative,-1}", message.IntOf(message.Int32, -1)},
		{"x-delayed-retry-type", "invalid_delayed_retry_type", message.StringOf("often")},
		{"x-delayed-retry-type", "needs x-delayed-retry-min", message.StringOf("all")},
		{"x-delayed-retry-type", "", message.StringOf("disabled")},
		{"x-delayed-retry-min", "{value_zero,0}", message.IntOf(message.Int32, 0)},
		{"x-unknown", "", message.StringOf("x")},
	} {
		args := message.AppendField(nil, tc.name, tc.v)
		_, err := x.s.DeclareQueue(background, QueueOptions{Name: "q", Args: args})
		var e *Error
		if errors.As(err, &e); tc.want == "" && err != nil || tc.want != "" && (e == nil || e.Kind != Invalid || e.Arg != tc.name || e.Detail != tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if err == nil {
			if _, err := x.s.DeleteQueue(background, "q", DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	args := message.AppendField(nil, "x-max-length", message.IntOf(message.Int32, 7))
	args = message.AppendField(args, "x-single-active-consumer", message.BoolOf(true))
	q := &catalog.Queue{}
	q.AutoDelete, q.Args = true, args
	if s := Settings(q); !s.AutoDelete || !s.SingleActive || s.HasTTL {
		t.Errorf("%+v", s)
	}
}

// Every error says what, where and why.
func TestErrorText(t *testing.T) {
	cause := errors.New("cause")
	e := &Error{Kind: Unavailable, Resource: QueueResource, Name: "q", VHost: "/", Op: "read", Detail: "detail", Err: cause}
	if got := e.Error(); got != "queue 'q' in vhost '/': unavailable (read): detail: cause" {
		t.Error(got)
	}
	if !errors.Is(e, cause) || KindOf(fmt.Errorf("wrapped: %w", e)) != Unavailable || KindOf(cause) != Internal {
		t.Error("the chain is broken")
	}
	for k := Internal; k <= Unavailable; k++ {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}
