package amqp091_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Durable queues, their messages and bindings outlive the node; what was
// delivered and not acknowledged says so; the rest is gone.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.stop() }() // if the test ends early
	p := session(t, r.addr())
	p.send(1, &wire.QueueDeclare{Queue: "durable", Durable: true, Arguments: args(field("x-max-length", wire.Int32(100)))})
	expect[*wire.QueueDeclareOK](p, 1)
	p.send(1, &wire.QueueDeclare{Queue: "transient"})
	expect[*wire.QueueDeclareOK](p, 1)
	p.send(1, &wire.QueueDeclare{Queue: "exclusive", Exclusive: true, Durable: true})
	expect[*wire.QueueDeclareOK](p, 1)
	for name, durable := range map[string]bool{"x.durable": true, "x.transient": false} {
		p.send(1, &wire.ExchangeDeclare{Exchange: name, Type: "topic", Durable: durable})
		expect[*wire.ExchangeDeclareOK](p, 1)
		p.bind(1, "durable", name, "k.#")
	}
	p.confirms(1)
	big := strings.Repeat("big", 100_000)
	p.to(1, "durable", "1", "2", "3", "4", big)
	p.to(1, "transient", "x")
	p.acked(1, 6)
	p.channel(2)
	p.qos(2, 3, false)
	p.consume(2, wire.BasicConsume{Queue: "durable"})
	p.deliveries(2, 3)
	p.send(2, &wire.BasicAck{DeliveryTag: 2})
	p.closeChannel(2) // acknowledged for good
	p.channel(2)
	p.qos(2, 1, false)
	p.consume(2, wire.BasicConsume{Queue: "durable"})
	p.deliveries(2, 1)
	r.stop()
	if got := p.closed(); got != "connection 320 0.0 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'" {
		t.Error(got)
	}
	p.eof()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}

	if r, err = run(options(dir)); err != nil {
		t.Fatal(err)
	}
	p = session(t, r.addr())
	defer func() {
		_ = p.nc.Close()
		if err := r.halt(); err != nil {
			t.Error(err)
		}
	}()
	p.send(1, &wire.QueueDeclare{Queue: "durable", Durable: true, Arguments: args(field("x-max-length", wire.Int32(100)))})
	if ok := expect[*wire.QueueDeclareOK](p, 1); ok.MessageCount != 4 {
		t.Errorf("%+v", ok)
	}
	p.publish(1, message{exchange: "x.durable", key: "k.1", body: "new"})
	p.consume(1, wire.BasicConsume{Queue: "durable"})
	var got []string
	for range 5 {
		d := p.deliver(1)
		got = append(got, star(strings.ReplaceAll(d.body, big, "BIG"), d.Redelivered))
	}
	// After a restart all that may have been delivered counts as delivered.
	if s := strings.ReplaceAll(strings.Join(got, " "), "*", ""); s != "1 3 4 BIG new" {
		t.Errorf("after the restart: %s", got)
	}
	if got[0] != "1*" || got[1] != "3*" || got[4] != "new" {
		t.Errorf("flags: %v", got)
	}
	for _, q := range []string{"transient", "exclusive"} {
		p.channel(3)
		p.send(3, &wire.QueueDeclare{Queue: q, Passive: true})
		if got := p.closed(); !strings.HasPrefix(got, "channel 404") {
			t.Errorf("%s: %s", q, got)
		}
	}
	p.channel(3)
	p.send(3, &wire.ExchangeDeclare{Exchange: "x.transient", Passive: true})
	if got := p.closed(); !strings.HasPrefix(got, "channel 404") {
		t.Errorf("transient exchange: %s", got)
	}
}

// A node stops although clients neither read nor answer.
func TestStopWithStubbornClients(t *testing.T) {
	t.Parallel()
	r := own(t, func(o *node.Options) { o.Grace = 2e9 })
	p := session(t, r.addr())
	q := p.queue(1, "")
	slow := session(t, r.addr())
	p.send(1, &wire.QueueDeclare{Queue: "s"})
	expect[*wire.QueueDeclareOK](p, 1)
	slow.consume(1, wire.BasicConsume{Queue: "s"})
	for range 200 {
		p.to(1, "s", strings.Repeat("x", 64<<10))
	}
	p.ready(1, q)
	half := dial(t, r.addr())
	half.raw([]byte("AMQ"))
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done = nil
}

// A message on its way to a connection that dies comes to the next.
func TestDeathWithDeliveriesUnderWay(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		const n = 300
		body := strings.Repeat("x", 20<<10)
		for i := range n {
			p.to(1, q, fmt.Sprint(i, " ", body))
		}
		p.ready(1, q)
		for range 3 {
			o := session(t, broker(t))
			o.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
			// Cancelled, but what it was given is still being written.
			o.send(1, &wire.BasicCancel{ConsumerTag: "a"}, &wire.BasicGet{Queue: q}, &wire.BasicGet{Queue: q})
			if _, err := o.read(); err != nil {
				t.Fatal(err)
			}
			_ = o.nc.Close()
		}
		o := session(t, broker(t))
		o.holds(1, q, n)
		o.consume(1, wire.BasicConsume{Queue: q})
		for i := range n {
			if d := o.deliver(1); !strings.HasPrefix(d.body, fmt.Sprint(i, " ")) {
				t.Fatalf("message %d: %.10s", i, d.body)
			}
			if i%20 == 0 {
				o.send(1, &wire.BasicAck{Multiple: true})
			}
		}
	})
}

// Who sends what is no frame is told so, and hung up on whatever it goes on
// sending.
func TestHangUp(t *testing.T) {
	t.Parallel()
	p := session(t, broker(t))
	p.raw([]byte("no frame at all, no frame at all"))
	if got := p.closed(); !strings.HasPrefix(got, "connection 501 0.0 FRAME_ERROR - type 110, ") {
		t.Error(got)
	}
	p.raw(make([]byte, 100_000))
	p.eof()
}

// The client that applications use sees what it expects.
func TestForeignClient(t *testing.T) {
	conn, err := amqp.Dial("amqp://guest:guest@" + broker(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = ch.QueueDeclare("g.q", true, false, false, false, amqp.Table{"x-max-length": 1000}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := ch.QueueDelete("g.q", false, false, false); err != nil {
			t.Error(err)
		}
	}()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var pending []*amqp.DeferredConfirmation
	for i := range 300 {
		d, err := ch.PublishWithDeferredConfirm("", "g.q", false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i), Headers: amqp.Table{"n": int32(i), "t": amqp.Table{"x": "y"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, d)
	}
	for i, d := range pending {
		if ok, err := d.WaitContext(ctx); !ok || err != nil {
			t.Fatalf("publish %d: %v, %v", i, ok, err)
		}
	}
	ds, err := ch.Consume("g.q", "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		d := <-ds
		if string(d.Body) != fmt.Sprint(i) || d.Headers["n"] != int32(i) {
			t.Fatalf("delivery %d: %s %v", i, d.Body, d.Headers)
		}
		if i == 0 && !d.Redelivered {
			if err := d.Nack(false, true); err != nil {
				t.Fatal(err)
			}
			if d = <-ds; string(d.Body) != "0" && string(d.Body) != "1" {
				t.Fatalf("after the nack: %s", d.Body)
			}
			if string(d.Body) == "1" {
				// It was on its way already: the one given back comes later.
				if err := d.Nack(true, true); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if err := d.Ack(false); err != nil {
			t.Fatal(err)
		}
	}
	_, err = ch.QueueDeclarePassive("g.none", false, false, false, false, nil)
	var ae *amqp.Error
	if e, ok := err.(*amqp.Error); ok {
		ae = e
	}
	if ae == nil || ae.Code != 404 || !strings.Contains(ae.Reason, "no queue 'g.none' in vhost '/'") {
		t.Errorf("%v", err)
	}
	if ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
}

// Publishers of a node whose memory is full wait, are told, and go on.
func TestMemoryFull(t *testing.T) {
	t.Parallel()
	r := own(t, small)
	p := dial(t, r.addr())
	p.open(args(field("connection.blocked", wire.Bool(true))))
	p.channel(1)
	p.send(1, &wire.QueueDeclare{Queue: "m"})
	expect[*wire.QueueDeclareOK](p, 1)
	c := session(t, r.addr())
	const n = 40 // of 512 KiB
	go func() {  // ends when all is written: the deliveries below make room
		for i := range n {
			p.publish(1, message{key: "m", body: fmt.Sprint(i, strings.Repeat(" ", 512<<10))})
		}
	}()
	if b := expect[*wire.ConnectionBlocked](p, 0); b.Reason != "low on memory" {
		t.Errorf("%+v", b)
	}
	c.consume(1, wire.BasicConsume{Queue: "m", NoAck: true})
	for i := range n {
		if d := c.deliver(1); strings.TrimSpace(d.body) != fmt.Sprint(i) {
			t.Fatalf("message %d: %.10q", i, d.body)
		}
	}
	expect[*wire.ConnectionUnblocked](p, 0)
}

// A client that has more to send when it closes is answered all the same: what
// comes behind connection.close is read and dropped.
func TestCloseAheadOfPublishes(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	behind := message{key: q, body: strings.Repeat("b", 1000)}.frames(1, p.max)
	out := (&wire.ConnectionClose{ReplyCode: 200}).AppendFrame(nil, 0)
	for range 20_000 {
		out = append(out, behind...)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := p.nc.Write(out)
		sent <- err
	}()
	expect[*wire.ConnectionCloseOK](p, 0)
	p.eof()
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// What was taken for good before a stop does not come back: the last of it may
// not have been in the log yet.
func TestStopKeepsSettles(t *testing.T) {
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { r.stop() }()
	p := session(t, r.addr())
	p.durable(1, "taken")
	p.confirms(1)
	for range 100 {
		p.to(1, "taken", "m")
	}
	p.acked(1, 100)
	for range 100 {
		p.get(1, "taken", true)
	}
	r.stop()
	p.closed()
	if err := <-r.done; err != nil {
		t.Fatal(err)
	}
	if r, err = run(options(dir)); err != nil {
		t.Fatal(err)
	}
	p = session(t, r.addr())
	if n := p.ready(1, "taken"); n != 0 {
		t.Errorf("%d messages came back", n)
	}
}
