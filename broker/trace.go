package broker

import (
	"context"
	"sync/atomic"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// TraceExchange gets a copy of every message that is published in its vhost
// and of every one that is delivered there, while tracing is on: RabbitMQ's
// firehose. It is best effort: what it can not take at once is dropped.
const TraceExchange = "amq.rabbitmq.trace"

// attrTracing is the attribute of a vhost that says that tracing is on.
const attrTracing = "tracing"

// Bounds of what waits to be traced.
const (
	mostTraces     = 1024
	mostTraceBytes = 16 << 20
)

// SetTracing turns the tracing of a vhost on or off.
func (b *Broker) SetTracing(ctx context.Context, vhost string, on bool) error {
	b.limiting.Lock() // the attributes are read and written again
	defer b.limiting.Unlock()
	h := b.View().VHost(vhost)
	if h == nil {
		return &Error{Kind: NotFound, Resource: VHostResource, Name: vhost, VHost: vhost}
	}
	var attrs message.Table
	for name, v := range h.Attrs.All() {
		if name != attrTracing {
			attrs = message.AppendField(attrs, name, v)
		}
	}
	if on {
		attrs = message.AppendField(attrs, attrTracing, message.BoolOf(true))
	}
	_, err := b.operate(ctx, VHostResource, vhost, vhost, &catalog.SetVHost{Name: vhost, Attrs: attrs})
	return err
}

// Tracing reports whether a vhost, which may be nil, is traced.
func Tracing(h *catalog.VHost) bool {
	if h == nil {
		return false
	}
	v, ok := h.Attrs.Lookup(attrTracing)
	return ok && v.Kind() == message.Bool && v.Bool()
}

// A traceFlag remembers whether a vhost is traced while the catalog stays.
type traceFlag struct {
	revision uint64
	on       bool
}

func (f *traceFlag) in(view *catalog.View, vhost string) bool {
	if r := view.Revision(); r != f.revision {
		f.revision, f.on = r, Tracing(view.VHost(vhost))
	}
	return f.on
}

// A traced is a message to be copied to the trace exchange.
type traced struct {
	s           *Session
	channel     uint16
	blob        []byte
	queue       string          // it was delivered from; empty: it was published
	to          []shard.QueueID // it was published to
	redelivered bool
}

// traces are what waits to be traced. Run's goroutine publishes them, for
// deliveries come from turns of shards, from which nothing can be published.
type traces struct {
	queue   chan traced
	bytes   atomic.Int64
	dropped atomic.Uint64
	to      map[string]*Publisher // by vhost; owned by Run's goroutine
}

// TracesDropped counts the messages that were not traced for want of room.
func (b *Broker) TracesDropped() uint64 { return b.traces.dropped.Load() }

// add queues a message without waiting.
func (t *traces) add(x traced) {
	if t.bytes.Add(int64(len(x.blob))) <= mostTraceBytes {
		select {
		case t.queue <- x:
			return
		default:
		}
	}
	t.bytes.Add(-int64(len(x.blob)))
	t.dropped.Add(1)
}

// trace copies a publication on its way to its queues.
func (p *Publisher) trace(m *message.Message, r *route) {
	var to []shard.QueueID
	for i := range r.targets {
		if r.targets[i].delay == 0 {
			to = append(to, r.targets[i].queues...)
		}
	}
	p.s.b.traces.add(traced{
		s: p.s, channel: p.Channel, to: to,
		blob: message.AppendTo(make([]byte, 0, message.Size(m)), m),
	})
}

// trace copies deliveries of a queue. What came through the trace exchange is
// not traced again.
func (s *Session) trace(queue string, channel uint16, ds []shard.Delivery) {
	for i := range ds {
		m, err := message.Parse(ds[i].Blob)
		if err != nil || string(m.Exchange) == TraceExchange {
			continue
		}
		s.b.traces.add(traced{s: s, channel: channel, blob: ds[i].Blob, queue: queue, redelivered: ds[i].Redelivered})
	}
}

// copyTraced publishes a message to the trace exchange. It is called by Run.
func (b *Broker) copyTraced(x traced) {
	b.traces.bytes.Add(-int64(len(x.blob)))
	m, err := message.Parse(x.blob)
	if err != nil {
		return // who delivers it says so
	}
	view := b.View()
	if h := view.VHost(x.s.vhost); !Tracing(h) {
		delete(b.traces.to, x.s.vhost)
		return
	}
	p := b.traces.to[x.s.vhost]
	if p == nil {
		p = b.System(x.s.vhost).NewPublisher(deaf{})
		if b.traces.to == nil {
			b.traces.to = map[string]*Publisher{}
		}
		b.traces.to[x.s.vhost] = p
	}
	if held, _ := p.Held(); held {
		b.traces.dropped.Add(1)
		return
	}
	key := "publish." + string(m.Exchange)
	if x.queue != "" {
		key = "deliver." + x.queue
	}
	key = key[:min(len(key), maxKey)]
	headers := b.traceHeaders(view, &x, &m)
	c := &message.Message{
		Protocol: message.Internal, Exchange: []byte(TraceExchange), RoutingKey: []byte(key),
		Properties: headers, Body: m.Body,
	}
	if _, err := p.Publish([]Publication{{Message: c, Headers: headers}}); err != nil {
		b.traces.dropped.Add(1)
		b.o.Logger.Debug("not traced", "vhost", x.s.vhost, "err", err)
	}
}

// traceHeaders says of a message what RabbitMQ's firehose says.
func (b *Broker) traceHeaders(view *catalog.View, x *traced, m *message.Message) message.Table {
	var t message.Table
	text := func(name, value string) { t = message.AppendField(t, name, message.StringOf(value)) }
	texts := func(name string, values ...string) {
		var list []byte
		for _, v := range values {
			list = message.AppendValue(list, message.StringOf(v))
		}
		t = message.AppendField(t, name, message.BytesOf(message.List, list))
	}
	text("exchange_name", string(m.Exchange))
	keys := []string{string(m.RoutingKey)}
	shown, hidden, _ := m.Copies()
	for _, k := range append(shown, hidden...) {
		keys = append(keys, string(k))
	}
	texts("routing_keys", keys...)
	var props message.Table
	if b.o.Describe != nil {
		props = b.o.Describe(m)
	}
	t = message.AppendField(t, "properties", message.TableOf(props))
	if n := view.Node(b.o.Node); n != nil {
		text("node", n.Name)
	}
	if x.queue != "" {
		n := int64(0)
		if x.redelivered {
			n = 1
		}
		t = message.AppendField(t, "redelivered", message.IntOf(message.Int32, n))
	}
	text("vhost", x.s.vhost)
	text("connection", x.s.label())
	t = message.AppendField(t, "channel", message.IntOf(message.Int32, int64(x.channel)))
	text("user", x.s.ident.User)
	if x.queue == "" {
		texts("routed_queues", routedTo(view, x.to)...)
	}
	return t
}

// routedTo names queues.
func routedTo(view *catalog.View, ids []shard.QueueID) (names []string) {
	for _, id := range ids {
		if q := view.QueueByID(id); q != nil {
			names = append(names, q.Name)
		}
	}
	return names
}

// label names the session's connection as operators see it.
func (s *Session) label() string {
	c := Connection{Peer: s.info.Peer.String()}
	if sh := s.shown.Load(); sh != nil && sh.inspector != nil {
		sh.inspector.Inspect(&c)
	}
	return c.Label()
}

// A deaf sink does not care what became of publishes.
type deaf struct{}

func (deaf) Confirmed(uint64, uint32, bool) {}
func (deaf) Unknown(uint64, uint32)         {}
func (deaf) Wake()                          {}
func (deaf) Unroutable(int)                 {}
func (deaf) Ready()                         {}
