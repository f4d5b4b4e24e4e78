package amqp091_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// behaviour 8.
func TestConfirms(t *testing.T) {
	p := session(t, broker(t))
	p.durable(1, "c.durable")
	p.queue(1, "c.memory")
	p.confirms(1)
	p.confirms(1) // once more changes nothing
	const n = 500
	for i := range n {
		p.to(1, []string{"c.durable", "c.memory", "c.nobody"}[i%3], fmt.Sprint(i))
	}
	p.acked(1, n)
	if d, m := p.ready(1, "c.durable"), p.ready(1, "c.memory"); d != 167 || m != 167 {
		t.Errorf("%d and %d messages", d, m)
	}
	p.idle(1) // nothing is confirmed twice
}

// A fanout to several shards is confirmed once, when all have it.
func TestConfirmFanout(t *testing.T) {
	p := session(t, broker(t))
	p.send(1, &wire.ExchangeDeclare{Exchange: "c.fan", Type: "fanout", AutoDelete: true})
	expect[*wire.ExchangeDeclareOK](p, 1)
	var queues []string
	for i := range 6 {
		q := fmt.Sprintf("c.fan%d", i)
		if i%2 == 0 {
			p.durable(1, q)
		} else {
			p.queue(1, q)
		}
		p.send(1, &wire.QueueBind{Queue: q, Exchange: "c.fan"})
		expect[*wire.QueueBindOK](p, 1)
		queues = append(queues, q)
	}
	p.confirms(1)
	for i := range 50 {
		p.publish(1, message{exchange: "c.fan", body: fmt.Sprint(i)})
	}
	p.acked(1, 50)
	p.idle(1)
	for _, q := range queues {
		if n := p.ready(1, q); n != 50 {
			t.Errorf("%s has %d", q, n)
		}
	}
}

// A full queue refuses: the publisher hears of it by its number.
func TestConfirmRefused(t *testing.T) {
	for _, durable := range []bool{true, false} {
		p := session(t, broker(t))
		q := fmt.Sprintf("c.full.%v", durable)
		limits := args(field("x-max-length", wire.Int32(2)), field("x-overflow", wire.String("reject-publish")))
		p.send(1, &wire.QueueDeclare{Queue: q, Durable: durable, Arguments: limits})
		expect[*wire.QueueDeclareOK](p, 1)
		p.confirms(1)
		outcome := map[uint64]string{}
		p.to(1, q, "1", "2", "3", "4")
		for low := uint64(0); len(outcome) < 4; {
			_, m := p.next()
			switch m := m.(type) {
			case *wire.BasicAck:
				for tag := low + 1; tag <= m.DeliveryTag; tag++ {
					if (m.Multiple || tag == m.DeliveryTag) && outcome[tag] == "" {
						outcome[tag] = "ack"
					}
				}
			case *wire.BasicNack:
				for tag := low + 1; tag <= m.DeliveryTag; tag++ {
					if (m.Multiple || tag == m.DeliveryTag) && outcome[tag] == "" {
						outcome[tag] = "nack"
					}
				}
			default:
				t.Fatalf("%+v", m)
			}
		}
		if got := outcome[1] + outcome[2] + outcome[3] + outcome[4]; got != "ackacknacknack" {
			t.Errorf("durable %v: %v", durable, outcome)
		}
		p.send(1, &wire.QueueDelete{Queue: q})
		if n := expect[*wire.QueueDeleteOK](p, 1).MessageCount; n != 2 {
			t.Errorf("%d messages deleted", n)
		}
	}
}

func TestReturn(t *testing.T) {
	p := session(t, broker(t))
	p.confirms(1)
	props := wire.Properties{ContentType: "text/plain", DeliveryMode: 2, Headers: args(field("h", wire.Int32(1))), MessageID: "m"}
	for i, m := range []message{
		{key: "r.nobody"},
		{exchange: "amq.topic", key: "a.b", body: "topic"},
		{exchange: "amq.direct", key: strings.Repeat("k", 255), body: strings.Repeat("long", 50_000)},
	} {
		m.mandatory, m.props = true, props
		p.publish(1, m)
		r := expect[*wire.BasicReturn](p, 1)
		got, body := p.content(1)
		if r.ReplyCode != 312 || string(r.ReplyText) != "NO_ROUTE" || string(r.Exchange) != m.exchange || string(r.RoutingKey) != m.key {
			t.Errorf("%+v", r)
		}
		if string(got) != string(props.Append(nil)) || body != m.body {
			t.Errorf("the content came back as %q with %q", body, got)
		}
		if a := expect[*wire.BasicAck](p, 1); a.DeliveryTag != uint64(i+1) {
			t.Errorf("%+v", a)
		}
	}
	// Without mandatory it is dropped, and confirmed.
	p.publish(1, message{key: "r.nobody"})
	if a := expect[*wire.BasicAck](p, 1); a.DeliveryTag != 4 {
		t.Errorf("%+v", a)
	}
	// What goes somewhere does not come back.
	q := p.queue(1, "")
	p.publish(1, message{key: q, mandatory: true, body: "x"})
	expect[*wire.BasicAck](p, 1)
}

// All confirms and returns of a channel come before the end of the channel,
// nothing after it.
func TestConfirmsBeforeClose(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	for range 20 {
		p.channel(2)
		p.confirms(2)
		p.to(2, q, "1", "2", "3")
		p.send(2, &wire.ChannelClose{ReplyCode: 200})
		for closed := false; !closed; {
			ch, m := p.next()
			if ch != 2 {
				t.Fatalf("channel %d: %+v", ch, m)
			}
			_, closed = m.(*wire.ChannelCloseOK)
		}
		p.idle(1)
	}
}

// What stands behind a publish that fails is not published, what stands before
// it is.
func TestPublishesAroundAnError(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "p.around")
	p.channel(2)
	var b []byte
	for _, m := range []message{{key: q, body: "1"}, {key: q, body: "2"}, {exchange: "p.none", body: "3"}, {key: q, body: "4"}} {
		b = append(b, m.frames(2, p.max)...)
	}
	b = append(b, message{key: q, body: "other channel"}.frames(1, p.max)...)
	p.raw(b)
	if got := p.closed(); got != "channel 404 60.40 NOT_FOUND - no exchange 'p.none' in vhost '/'" {
		t.Error(got)
	}
	if got := p.drain(1, q); got != "1 2 other channel" {
		t.Errorf("queue has %q", got)
	}
}

// Methods see what was published before them in the same read.
func TestReadYourWrites(t *testing.T) {
	p := session(t, broker(t))
	for _, q := range []string{p.durable(1, "p.own"), p.queue(1, "")} {
		for i := range 50 {
			body := fmt.Sprint(i)
			b := message{key: q, body: body, props: wire.Properties{DeliveryMode: 2}}.frames(1, p.max)
			p.raw((&wire.BasicGet{Queue: q, NoAck: true}).AppendFrame(b, 1))
			expect[*wire.BasicGetOK](p, 1)
			if _, got := p.content(1); got != body {
				t.Fatalf("got %q, want %q", got, body)
			}
		}
		p.to(1, q, "a", "b")
		if n := p.ready(1, q); n != 2 {
			t.Errorf("%d ready", n)
		}
		p.to(1, q, "c")
		p.send(1, &wire.QueuePurge{Queue: q})
		if n := expect[*wire.QueuePurgeOK](p, 1).MessageCount; n != 3 {
			t.Errorf("%d purged", n)
		}
	}
}

func TestLargeMessages(t *testing.T) {
	p := session(t, broker(t))
	p.confirms(1)
	for _, q := range []string{p.durable(1, "p.large"), p.queue(1, "")} {
		for _, size := range []int{0, 1, 131063, 131064, 131065, 1 << 20, 16 << 20} {
			body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			p.to(1, q, body)
			expect[*wire.BasicAck](p, 1)
			if got, _ := p.get(1, q, true); got != body {
				t.Fatalf("body of %d bytes came as %d", size, len(got))
			}
		}
	}
	p.publish(1, message{key: "q", body: strings.Repeat("x", 16<<20+1)})
	if got := p.closed(); got != "channel 406 60.40 PRECONDITION_FAILED - message size 16777217 is larger than configured max size 16777216" {
		t.Error(got)
	}
	p.channel(1) // the bodies that were on their way are ignored
}

// Contents may be cut anywhere and interleave between channels.
func TestInterleavedContents(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	const channels = 40
	frames := make([][]byte, channels)
	for i := range frames {
		id := uint16(i + 2)
		p.channel(id)
		m := message{key: q, body: strings.Repeat(string(rune('A'+i)), 3000+i), props: wire.Properties{MessageID: fmt.Sprint("id", i), Headers: args(field("n", wire.Int32(int32(i))))}}
		b := wire.AppendPublish(nil, id, "", q, false)
		b = wire.AppendHeader(b, id, m.props.Append(nil), uint64(len(m.body)))
		for rest := []byte(m.body); len(rest) > 0; {
			part := rest[:min(len(rest), 500+i)]
			rest = rest[len(part):]
			b = wire.AppendFrame(b, wire.Frame{Type: wire.FrameBody, Channel: id, Payload: part})
		}
		frames[i] = b
	}
	// One frame of each channel in turn, in writes that end within frames.
	var all []byte
	for left := channels; left > 0; {
		for i, b := range frames {
			if len(b) == 0 {
				continue
			}
			n := wire.FrameLen(b)
			all = append(all, b[:n]...)
			if frames[i] = b[n:]; len(frames[i]) == 0 {
				left--
			}
		}
	}
	for len(all) > 0 {
		n := min(len(all), 997)
		p.raw(all[:n])
		all = all[n:]
	}
	for i := range channels {
		p.send(uint16(i+2), &wire.BasicQos{}) // its publish was read
		expect[*wire.BasicQosOK](p, uint16(i+2))
	}
	seen := map[string]bool{}
	for range channels {
		p.send(1, &wire.BasicGet{Queue: q, NoAck: true})
		expect[*wire.BasicGetOK](p, 1)
		props, body := p.content(1)
		i := int(body[0] - 'A')
		if len(body) != 3000+i || strings.Trim(body, body[:1]) != "" || string(props.MessageID()) != fmt.Sprint("id", i) {
			t.Fatalf("message %q of %d bytes", props.MessageID(), len(body))
		}
		seen[body] = true
	}
	if len(seen) != channels {
		t.Errorf("%d messages", len(seen))
	}
}

// Every frame of a content may come in a read of its own.
func TestContentInPieces(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	m := message{key: q, body: "body", props: wire.Properties{ContentType: "text/plain", CorrelationID: strings.Repeat("c", 255), Headers: args(field("k", wire.String("v")))}}
	b := m.frames(1, p.max)
	for i := range b {
		p.raw(b[i : i+1])
		if i%50 == 0 {
			// An answer on another channel shows that the read was handled.
			p.raw(nil)
		}
	}
	p.idle(1)
	p.send(1, &wire.BasicGet{Queue: q, NoAck: true})
	got := expect[*wire.BasicGetOK](p, 1)
	props, body := p.content(1)
	if string(props) != string(m.props.Append(nil)) || body != "body" || string(got.RoutingKey) != q {
		t.Errorf("%q with %q", body, props)
	}
	// The header comes in a later read than the method, the body later still,
	// and frames of another channel between them.
	p.channel(2)
	for n := 0; len(b) > 0; b = b[n:] {
		n = wire.FrameLen(b)
		p.raw(b[:n])
		for range 5 {
			p.idle(2)
			p.to(2, "nobody", strings.Repeat("overwrites", 100))
		}
	}
	p.idle(1)
	p.send(1, &wire.BasicGet{Queue: q, NoAck: true})
	expect[*wire.BasicGetOK](p, 1)
	if props, body = p.content(1); string(props) != string(m.props.Append(nil)) || body != "body" {
		t.Errorf("%q with %q", body, props)
	}
}

func TestCopies(t *testing.T) {
	p := session(t, broker(t))
	a, b, c := p.queue(1, ""), p.queue(1, ""), p.queue(1, "")
	h := args(field("CC", wire.Array(wire.String(b), wire.String(a), wire.Int32(1))), field("BCC", wire.Array(wire.String(c))), field("x", wire.Int32(7)))
	p.publish(1, message{key: a, body: "m", props: wire.Properties{Headers: h}})
	for _, q := range []string{a, b, c} {
		if n := p.ready(1, q); n != 1 {
			t.Fatalf("%d copies", n)
		}
		p.send(1, &wire.BasicGet{Queue: q, NoAck: true})
		expect[*wire.BasicGetOK](p, 1)
		props, _ := p.content(1)
		got, err := props.Decode()
		if err != nil || len(got.Headers) != 2 || got.Headers[0].Key != "CC" || got.Headers[1].Key != "x" {
			t.Errorf("headers %v, %v", got.Headers, err)
		}
	}
}

// A publisher's messages keep their order, through any mix of sizes and reads.
func TestOrder(t *testing.T) {
	p := session(t, broker(t))
	for _, q := range []string{p.durable(1, "p.order"), p.queue(1, "")} {
		const n = 2000
		var b []byte
		for i := range n {
			b = append(b, message{key: q, body: fmt.Sprint(i) + strings.Repeat(" ", i*7%3000), props: wire.Properties{DeliveryMode: 2}}.frames(1, p.max)...)
		}
		p.raw(b)
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: q, NoAck: true})
		for i := range n {
			if d := p.deliver(1); strings.TrimSpace(d.body) != fmt.Sprint(i) || d.DeliveryTag != uint64(i+1) || d.Redelivered {
				t.Fatalf("delivery %d: %+v", i, d.BasicDeliver)
			}
		}
		p.closeChannel(1)
		p.channel(1)
	}
}

// What an alternate exchange takes counts as routed, also behind a binding
// between exchanges; what it can not place comes back (behaviour 15).
func TestAlternateExchange(t *testing.T) {
	p := session(t, broker(t))
	p.confirms(1)
	p.send(1, &wire.ExchangeDeclare{Exchange: "p.rest", Type: "topic", AutoDelete: true},
		&wire.ExchangeDeclare{Exchange: "p.alt", Type: "direct", AutoDelete: true, Arguments: args(field("alternate-exchange", wire.String("p.rest")))},
		&wire.ExchangeDeclare{Exchange: "p.front", Type: "fanout", AutoDelete: true},
		&wire.ExchangeBind{Destination: "p.alt", Source: "p.front"})
	for range 3 {
		expect[*wire.ExchangeDeclareOK](p, 1)
	}
	expect[*wire.ExchangeBindOK](p, 1)
	q := p.queue(1, "")
	p.send(1, &wire.QueueBind{Queue: q, Exchange: "p.rest", RoutingKey: "taken.#"})
	expect[*wire.QueueBindOK](p, 1)
	for _, x := range []string{"p.alt", "p.front"} {
		p.publish(1, message{exchange: x, key: "taken." + x, mandatory: true, body: x})
		expect[*wire.BasicAck](p, 1)
		if body, _ := p.get(1, q, true); body != x {
			t.Errorf("through %s: %q", x, body)
		}
	}
	p.publish(1, message{exchange: "p.alt", key: "left", mandatory: true})
	if r := expect[*wire.BasicReturn](p, 1); string(r.Exchange) != "p.alt" || string(r.RoutingKey) != "left" {
		t.Errorf("%+v", r)
	}
	p.content(1)
	expect[*wire.BasicAck](p, 1)
}
