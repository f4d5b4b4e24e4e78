package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// fields prints a table.
func fields(t message.Table) string {
	var out []string
	for name, v := range t.All() {
		out = append(out, name+"="+fieldValue(v))
	}
	return strings.Join(out, " ")
}

func fieldValue(v message.Value) string {
	switch v.Kind() {
	case message.Map:
		t, _ := v.Table()
		return "{" + fields(t) + "}"
	case message.List:
		var items []string
		for _, it := range v.Values(nil) {
			items = append(items, fieldValue(it))
		}
		return "[" + strings.Join(items, " ") + "]"
	default:
		return printed(v)
	}
}

// traced returns what reached the trace exchange's queue, once it is n messages.
func (s *fakeShard) traced(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; {
		s.mu.Lock()
		keys := s.keys
		s.mu.Unlock()
		if len(keys) >= n {
			s.mu.Lock()
			s.keys = nil
			s.mu.Unlock()
			return keys
		}
		if time.Now().After(end) {
			t.Fatalf("traced only %q", keys)
		}
	}
}

func TestTracing(t *testing.T) {
	x := newBench(t, 0)
	x.b.o.Describe = func(m *message.Message) message.Table {
		return message.AppendField(nil, "size", message.IntOf(message.Int32, int64(len(m.Body))))
	}
	ctx, cancel := context.WithCancel(background)
	done := make(chan struct{})
	go func() { x.b.Run(ctx); close(done) }()
	defer func() { cancel(); <-done }()
	x.queue("q", true)
	x.queue("trace2", true) // in the second shard
	if err := x.s.Bind(background, Binding{Destination: "trace2", Source: TraceExchange, Key: "#"}); err != nil {
		t.Fatal(err)
	}
	p := x.s.NewPublisher(&fakeSink{})
	p.Channel = 7
	x.publish(p, publication(0, "", "q", "before"))
	if err := x.b.SetTracing(background, "/", true); err != nil {
		t.Fatal(err)
	}
	if !Tracing(x.b.View().VHost("/")) {
		t.Fatal("it is not on")
	}
	c := publication(0, "", "q", "abc")
	c.Message.Overlay = message.AppendCopies(nil, [][]byte{[]byte("cc")}, [][]byte{[]byte("bcc")})
	x.publish(p, c, publication(0, "amq.direct", "nobody", ""))
	const rest = "vhost=/ connection=invalid AddrPort ->  channel=%d user=u"
	want := []string{
		"publish. exchange_name= routing_keys=[q cc bcc] properties={size=3} node=n " + fmt.Sprintf(rest, 7) + " routed_queues=[q]",
		"publish.amq.direct exchange_name=amq.direct routing_keys=[nobody] properties={size=0} node=n " + fmt.Sprintf(rest, 7) + " routed_queues=[]",
	}
	if got := x.two.traced(t, 2); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("traced\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// Deliveries, but not those of what was traced.
	k, err := x.s.Consume(background, ConsumeOptions{Queue: "q", Channel: 8}, func(*Consumer) {})
	if err != nil {
		t.Fatal(err)
	}
	delivery := func(exchange string, again bool) shard.Delivery {
		m := publication(0, exchange, "key", "abc").Message
		return shard.Delivery{Blob: message.AppendTo(nil, m), Redelivered: again}
	}
	k.Delivered([]shard.Delivery{delivery(TraceExchange, false), delivery("amq.topic", true)})
	want = []string{"deliver.q exchange_name=amq.topic routing_keys=[key] properties={size=3} node=n redelivered=1 " + fmt.Sprintf(rest, 8)}
	if got := x.two.traced(t, 1); strings.Join(got, "\n") != want[0] {
		t.Errorf("traced\n%s\nwant\n%s", strings.Join(got, "\n"), want[0])
	}
	got := Got{GetResult: shard.GetResult{Delivery: delivery("", false)}, Queue: "q"}
	got.Trace(x.s, 9)
	if got := x.two.traced(t, 1); !strings.HasPrefix(got[0], "deliver.q exchange_name= ") {
		t.Errorf("traced %q", got)
	}

	// A full shard costs traces, not time.
	x.two.full = true
	for range 3 {
		x.publish(p, publication(0, "", "q", "abc"))
	}
	for end := time.Now().Add(5 * time.Second); x.b.TracesDropped() < 2; {
		if time.Now().After(end) {
			t.Fatalf("%d were dropped", x.b.TracesDropped())
		}
	}
	x.two.drained()

	if err := x.b.SetTracing(background, "/", false); err != nil {
		t.Fatal(err)
	}
	x.two.traced(t, 1)
	x.publish(p, publication(0, "", "q", "after"))
	k.Delivered([]shard.Delivery{delivery("amq.topic", false)})
	if n := len(x.b.traces.queue); n != 0 || x.b.traces.bytes.Load() != 0 {
		t.Errorf("%d traces after the end", n)
	}
	if err := x.b.SetTracing(background, "none", true); KindOf(err) != NotFound {
		t.Errorf("%v", err)
	}
}

// Untraced, a delivery costs one look at the catalog's revision.
func BenchmarkDelivered(b *testing.B) {
	x := newBench(b, 0)
	x.queue("q", true)
	k, err := x.s.Consume(background, ConsumeOptions{Queue: "q"}, func(*Consumer) {})
	if err != nil {
		b.Fatal(err)
	}
	ds := make([]shard.Delivery, 1)
	b.ReportAllocs()
	for b.Loop() {
		k.Delivered(ds)
	}
}
