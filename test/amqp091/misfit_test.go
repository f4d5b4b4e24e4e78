package amqp091_test

import (
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// smallFrames returns a peer that takes the least frames, with channel 1 open.
func smallFrames(t *testing.T) *peer {
	t.Helper()
	p := dial(t, broker(t))
	p.max = wire.FrameFloor
	p.open(nil)
	p.channel(1)
	return p
}

// large are properties whose frame is larger than the least a client may ask for.
func large() wire.Properties {
	return wire.Properties{DeliveryMode: 2, Headers: args(field("h", wire.String(strings.Repeat("x", 6000))))}
}

// X16: a header can not be split. A client with small frames is sent what comes
// behind a message that does not fit, with nothing of its prefetch used; it keeps its
// channel, and is not kept busy.
func TestHeaderBeyondFrameMax(t *testing.T) {
	for _, kind := range []struct {
		name                   string
		durable, noAck, global bool
	}{
		{name: "memory"},
		{name: "durable", durable: true},
		{name: "no-ack", noAck: true},
		{name: "global", durable: true, global: true},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			big, small := session(t, broker(t)), smallFrames(t)
			q := "f.header." + kind.name
			big.send(1, &wire.QueueDeclare{Queue: q, Durable: kind.durable})
			expect[*wire.QueueDeclareOK](big, 1)
			t.Cleanup(func() { drop(t, broker(t), q) })
			small.qos(1, 1, kind.global)
			small.consume(1, wire.BasicConsume{Queue: q, NoAck: kind.noAck})
			for _, body := range []string{"1", "2"} {
				big.publish(1, message{key: q, body: "large", props: large()}, message{key: q, body: body, props: wire.Properties{DeliveryMode: 2}})
			}
			for i, want := range []string{"1", "2"} {
				d := small.deliver(1)
				if d.body != want || d.Redelivered || d.DeliveryTag != uint64(i+1) {
					t.Errorf("delivery %d is %s, redelivered %v, want %s", d.DeliveryTag, d.body, d.Redelivered, want)
				}
				if !kind.noAck {
					small.send(1, &wire.BasicAck{DeliveryTag: d.DeliveryTag})
				}
			}
			small.idle(1)
			small.closeChannel(1)
		})
	}
}

// X16: what did not fit one client stays for another. Nothing of it was logged, so
// a node that was stopped takes it for delivered.
func TestBeyondFrameMaxIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, err := run(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	small := dial(t, r.addr())
	small.max = wire.FrameFloor
	small.open(nil)
	small.channel(1)
	q := "f.kept"
	small.send(1, &wire.QueueDeclare{Queue: q, Durable: true})
	expect[*wire.QueueDeclareOK](small, 1)
	small.consume(1, wire.BasicConsume{Queue: q})
	big := session(t, r.addr())
	big.publish(1, message{key: q, body: "large", props: large()}, message{key: q, body: "1"})
	small.send(1, &wire.BasicAck{DeliveryTag: small.deliver(1).DeliveryTag})
	small.closeChannel(1)
	if err := r.halt(); err != nil {
		t.Fatal(err)
	}
	if r, err = run(options(dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.halt(); err != nil {
			t.Error(err)
		}
	})
	if got := session(t, r.addr()).drain(1, q); got != "large*" {
		t.Errorf("the queue holds %q, want what did not fit", got)
	}
}

// X16: a get meets a message that does not fit as if it were not there, and the
// next takes the one behind it.
func TestGetBeyondFrameMax(t *testing.T) {
	big, small := session(t, broker(t)), smallFrames(t)
	q := big.durable(1, "f.get")
	big.publish(1, message{key: q, body: "large", props: large()}, message{key: q, body: "1"})
	big.holds(1, q, 2)
	if got, _ := small.get(1, q, true); got != "-" {
		t.Errorf("got %s", got)
	}
	small.eventually(1, q, "1")
	small.idle(1)
}

// X16: where messages are delivered only so often, one that does not fit dies
// like any other that its consumers can not take, and is a dead letter.
func TestLimitBeyondFrameMax(t *testing.T) {
	big, small := session(t, broker(t)), smallFrames(t)
	dead := big.durable(1, "f.dead")
	q := big.durable(1, "f.limit", field("x-delivery-limit", wire.Int32(2)),
		field("x-dead-letter-exchange", wire.String("")), field("x-dead-letter-routing-key", wire.String(dead)))
	small.consume(1, wire.BasicConsume{Queue: q})
	big.publish(1, message{key: q, body: "large", props: large()}, message{key: q, body: "1"})
	if got := small.deliveries(1, 1); got != "1" {
		t.Errorf("delivered %s", got)
	}
	big.eventually(1, dead, "large")
	small.idle(1)
}

// X16: names as long as they may be are told as they are, also where the broker makes
// longer ones of them: the key of a copy that the firehose makes.
func TestLongestNames(t *testing.T) {
	r := own(t, nil)
	c := client.New(r.dir)
	t.Cleanup(c.Close)
	if _, err := c.SetTracing(t.Context(), client.SetTracing{VHost: "/", On: true}); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("n", 255)
	reader, writer := session(t, r.addr()), session(t, r.addr())
	for _, x := range []string{"amq.rabbitmq.trace", "amq.topic", long} {
		reader.send(1, &wire.ExchangeDeclare{Exchange: long, Type: "fanout"})
		expect[*wire.ExchangeDeclareOK](reader, 1)
		q := reader.queue(1, "")
		reader.send(1, &wire.QueueBind{Queue: q, Exchange: x, RoutingKey: "#"})
		expect[*wire.QueueBindOK](reader, 1)
		tag := reader.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: strings.Repeat(x[:1], 255), NoAck: true})
		to, wantKey := x, long
		if x == "amq.rabbitmq.trace" {
			to, wantKey = long, ("publish." + long)[:255]
		}
		writer.publish(1, message{exchange: to, key: long, body: "x"})
		if d := reader.deliver(1); string(d.RoutingKey) != wantKey || string(d.Exchange) != x || string(d.ConsumerTag) != tag {
			t.Errorf("of %s: exchange %s, key %s, tag %s", x, d.Exchange, d.RoutingKey, d.ConsumerTag)
		}
		reader.send(1, &wire.BasicCancel{ConsumerTag: tag})
		expect[*wire.BasicCancelOK](reader, 1)
	}
	writer.idle(1)
}
