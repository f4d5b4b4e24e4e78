package amqp091_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

const replyTo = "amq.rabbitmq.reply-to"

// requests has channel 1 take replies, and returns the address that a responder
// on another connection is told.
func requests(p, responder *peer) (address string) {
	p.t.Helper()
	p.consume(1, wire.BasicConsume{Queue: replyTo, ConsumerTag: "replies", NoAck: true})
	q := responder.queue(1, "")
	props := wire.Properties{
		ContentType: "text/plain", CorrelationID: "1", ReplyTo: replyTo, MessageID: "m",
		Headers: args(field("h", wire.Int64(7))),
	}
	p.publish(1, message{key: q, body: "request", props: props})
	p.idle(1)
	responder.send(1, &wire.BasicGet{Queue: q, NoAck: true})
	expect[*wire.BasicGetOK](responder, 1)
	got, _ := responder.content(1)
	address = string(got.ReplyTo())
	// Nothing but the address was changed.
	props.ReplyTo = address
	if !strings.HasPrefix(address, replyTo+".") || string(got) != string(props.Append(nil)) {
		p.t.Fatalf("the request came with %q", got)
	}
	return address
}

// behaviour 15.
func TestDirectReplyTo(t *testing.T) {
	p, responder := session(t, broker(t)), session(t, broker(t))
	address := requests(p, responder)
	responder.confirms(1)
	for i := range 3 {
		responder.publish(1, message{key: address, mandatory: true, body: fmt.Sprint("reply ", i), props: wire.Properties{CorrelationID: "1"}})
		d := p.deliver(1)
		if string(d.ConsumerTag) != "replies" || d.DeliveryTag != uint64(i+1) || d.Redelivered || string(d.Exchange) != "" || string(d.RoutingKey) != address {
			t.Fatalf("%+v", d.BasicDeliver)
		}
		if d.body != fmt.Sprint("reply ", i) || string(d.props.CorrelationID()) != "1" {
			t.Fatalf("%q %q", d.body, d.props)
		}
	}
	responder.acked(1, 3)
	// The address can be asked for while it is there, and is there for others.
	for _, name := range []string{address, replyTo} {
		for _, passive := range []bool{true, false} {
			responder.send(1, &wire.QueueDeclare{Queue: name, Passive: passive})
			if ok := expect[*wire.QueueDeclareOK](responder, 1); ok.Queue != name || ok.MessageCount != 0 || ok.ConsumerCount != 1 {
				t.Fatalf("%+v", ok)
			}
		}
	}
	// Cancelled, it is gone: a mandatory reply comes back.
	p.send(1, &wire.BasicCancel{ConsumerTag: "replies"})
	expect[*wire.BasicCancelOK](p, 1)
	responder.publish(1, message{key: address, mandatory: true, body: "late"})
	if r := expect[*wire.BasicReturn](responder, 1); r.ReplyCode != 312 || string(r.RoutingKey) != address {
		t.Fatalf("%+v", r)
	}
	responder.content(1)
	if a := expect[*wire.BasicAck](responder, 1); a.DeliveryTag != 4 {
		t.Fatalf("%+v", a)
	}
	responder.send(1, &wire.QueueDeclare{Queue: address, Passive: true})
	if got, want := responder.closed(), "channel 404 50.10 NOT_FOUND - no queue '"+address+"' in vhost '/'"; got != want {
		t.Errorf("%s", got)
	}
	// The channel may take replies again, under another address.
	if again := requests(p, session(t, broker(t))); again == address {
		t.Error("the address was given twice")
	}
}

// One message may name an address among other keys, and reaches it once.
func TestReplyCopies(t *testing.T) {
	p, responder := session(t, broker(t)), session(t, broker(t))
	address := requests(p, responder)
	q := responder.queue(1, "")
	responder.confirms(1)
	h := args(field("CC", wire.Array(wire.String(address), wire.String(q))), field("BCC", wire.Array(wire.String(address))))
	responder.publish(1, message{key: address, body: "m", props: wire.Properties{Headers: h}}, message{key: address, body: "end"})
	if a, b := p.deliver(1), p.deliver(1); a.body != "m" || b.body != "end" {
		t.Errorf("%q, %q", a.body, b.body)
	}
	responder.acked(1, 2)
	if n := responder.ready(1, q); n != 1 {
		t.Errorf("%d copies in the queue", n)
	}
}

// An address ends with its channel and its connection.
func TestReplyEnds(t *testing.T) {
	responder := session(t, broker(t))
	a, b := session(t, broker(t)), session(t, broker(t))
	first, second := requests(a, responder), requests(b, responder)
	a.closeChannel(1)
	b.close()
	for _, address := range []string{first, second, replyTo + ".", replyTo + ".AAAA.1", first + "x", first[:len(first)-1]} {
		responder.publish(1, message{key: address, mandatory: true})
		expect[*wire.BasicReturn](responder, 1)
		responder.content(1)
	}
}

// X29: a name that looks like an address leads nowhere, and what a request says
// reaches the broker as it says it.
func TestReplyErrors(t *testing.T) {
	consume := func(tag string, noAck bool) *wire.BasicConsume {
		return &wire.BasicConsume{Queue: replyTo, ConsumerTag: tag, NoAck: noAck}
	}
	for _, f := range []fault{
		{
			name: "with acknowledgements", do: sends(consume("", false)),
			want: "channel 406 60.20 PRECONDITION_FAILED - reply consumer cannot acknowledge",
		},
		{
			name: "twice", do: sends(consume("a", true), consume("b", true)),
			want: "channel 406 60.20 PRECONDITION_FAILED - reply consumer already set",
		},
		{
			name: "the same tag", do: sends(consume("a", true), consume("a", true)),
			want: "connection 530 60.20 NOT_ALLOWED - attempt to reuse consumer tag 'a'",
		},
		{
			name: "request without a consumer", do: publishes(message{key: "k", props: wire.Properties{ReplyTo: replyTo}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - fast reply consumer does not exist",
		},
		{
			name: "request on another channel", do: func(p *peer) {
				p.channel(2)
				p.consume(2, *consume("a", true))
				p.publish(1, message{key: "k", props: wire.Properties{ReplyTo: replyTo}})
			},
			want: "channel 406 60.40 PRECONDITION_FAILED - fast reply consumer does not exist",
		},
		{
			name: "bind", do: sends(&wire.QueueBind{Queue: replyTo, Exchange: "amq.fanout"}),
			want: "channel 403 50.20 ACCESS_REFUSED - operation not permitted on queue 'amq.rabbitmq.reply-to' in vhost '/'",
		},
		{
			name: "get", do: sends(&wire.BasicGet{Queue: replyTo}),
			want: "channel 404 60.70 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'",
		},
		{
			name: "an address that nobody has", do: sends(&wire.QueueDeclare{Queue: replyTo + ".x"}),
			want: "channel 404 50.10 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'",
		},
		{
			name: "a name of the broker's", do: sends(&wire.QueueDeclare{Queue: replyTo + "x"}),
			want: "channel 403 50.10 ACCESS_REFUSED - queue name 'amq.rabbitmq.reply-tox' contains reserved prefix 'amq.*'",
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			p := session(t, broker(t))
			f.do(p)
			if got := p.closed(); got != f.want {
				t.Fatalf("\n got %s\nwant %s", got, f.want)
			}
		})
	}
}

// A requester that does not read loses replies beyond what waits for it; who
// answers is not held up, and the memory is bounded.
func TestReplySlowRequester(t *testing.T) {
	p, responder := session(t, broker(t)), session(t, broker(t))
	address := requests(p, responder)
	responder.confirms(1)
	const n, size = 2000, 64 << 10
	body := strings.Repeat("x", size)
	go func() { // reads confirms only after it wrote all of them
		for range n {
			responder.publish(1, message{key: address, body: body})
		}
	}()
	responder.acked(1, n)
	// What was kept arrives in order, then the channel serves on.
	p.send(1, &wire.BasicCancel{ConsumerTag: "replies"})
	got := 0
	for {
		_, m := p.next()
		if _, over := m.(*wire.BasicCancelOK); over {
			break
		}
		p.content(1)
		got++
	}
	if got == 0 || got >= n {
		t.Errorf("%d of %d replies", got, n)
	}
}
