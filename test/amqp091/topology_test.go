package amqp091_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func (p *peer) bind(channel uint16, queue, exchange, key string, fs ...wire.Field) {
	p.t.Helper()
	p.send(channel, &wire.QueueBind{Queue: queue, Exchange: exchange, RoutingKey: key, Arguments: fs})
	expect[*wire.QueueBindOK](p, channel)
}

func TestServerNamedQueue(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	if !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(q) {
		t.Errorf("name %q", q)
	}
	// The empty name means the queue declared last, an empty key then too.
	p.send(1, &wire.QueueBind{Exchange: "amq.direct"})
	expect[*wire.QueueBindOK](p, 1)
	p.publish(1, message{exchange: "amq.direct", key: q, body: "x"})
	if got := p.drain(1, ""); got != "x" {
		t.Errorf("got %q", got)
	}
	if n := p.ready(1, q); n != 0 {
		t.Errorf("%d left", n)
	}
	if tag := p.consume(1, wire.BasicConsume{}); !regexp.MustCompile(`^amq\.ctag-[A-Za-z0-9_-]{22}$`).MatchString(tag) {
		t.Errorf("tag %q", tag)
	}
	p.send(1, &wire.QueueDelete{})
	expect[*wire.QueueDeleteOK](p, 1)
	p.send(1, &wire.QueueDeclare{Queue: q, Passive: true})
	if got := p.closed(); !strings.HasPrefix(got, "channel 404 50.10 NOT_FOUND - no queue '"+q) {
		t.Error(got)
	}
}

// behaviour 11.
func TestDeclareAgain(t *testing.T) {
	p := session(t, broker(t))
	q := p.durable(1, "t.again", field("x-max-length", wire.Int32(100)))
	p.to(1, q, "1", "2", "3")
	p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "t"})
	p.deliveries(1, 3)
	p.channel(2)
	// Integers compare by value, whatever their width; unknown arguments and
	// the type that is the default do not count.
	p.send(2, &wire.QueueDeclare{Queue: q, Durable: true, Arguments: args(field("x-max-length", wire.Int64(100)), field("x-queue-type", wire.String("classic")), field("what", wire.Bool(true)))})
	if ok := expect[*wire.QueueDeclareOK](p, 2); ok.MessageCount != 0 || ok.ConsumerCount != 1 {
		t.Errorf("%+v", ok)
	}
	p.to(2, q, "4")
	if got := p.deliveries(1, 1); got != "4" {
		t.Error(got)
	}
	p.closeChannel(1)
	p.send(2, &wire.QueueDeclare{Queue: q, Passive: true, Exclusive: true, AutoDelete: true}) // flags do not count
	if ok := expect[*wire.QueueDeclareOK](p, 2); ok.MessageCount != 4 || ok.ConsumerCount != 0 {
		t.Errorf("%+v", ok)
	}
	p.send(2, &wire.QueueDeclare{Queue: "line\r\nend", Exclusive: true})
	if ok := expect[*wire.QueueDeclareOK](p, 2); ok.Queue != "lineend" {
		t.Errorf("%+v", ok)
	}
}

func TestNames(t *testing.T) {
	p := session(t, broker(t))
	name := strings.Repeat("n", 255)
	q := p.queue(1, name)
	p.send(1, &wire.ExchangeDeclare{Exchange: name, Type: "topic", AutoDelete: true})
	expect[*wire.ExchangeDeclareOK](p, 1)
	key := strings.Repeat("w.", 127) + "w"
	p.bind(1, q, name, key)
	tag := p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: name})
	p.publish(1, message{exchange: name, key: key, body: "x"})
	d := p.deliver(1)
	if tag != name || string(d.ConsumerTag) != name || string(d.Exchange) != name || string(d.RoutingKey) != key {
		t.Errorf("%+v", d.BasicDeliver)
	}
	p.send(1, &wire.BasicAck{DeliveryTag: d.DeliveryTag})
	for _, name := range []string{"ünïcode 😀", "quotes ' \" <<>> %s", "\xff\xfe not text", "control \x01\x7f"} {
		p.queue(1, name)
		p.to(1, name, "x")
		if got := p.drain(1, name); got != "x" {
			t.Errorf("queue %q has %q", name, got)
		}
	}
	p.close()
}

func TestNoWait(t *testing.T) {
	p := session(t, broker(t))
	p.send(1,
		&wire.ExchangeDeclare{Exchange: "t.nowait", Type: "fanout", AutoDelete: true, NoWait: true},
		&wire.QueueDeclare{Queue: "t.nowait", Exclusive: true, NoWait: true},
		&wire.QueueBind{Queue: "t.nowait", Exchange: "t.nowait", NoWait: true},
		&wire.ExchangeBind{Source: "amq.fanout", Destination: "t.nowait", NoWait: true},
		&wire.ExchangeUnbind{Source: "amq.fanout", Destination: "t.nowait", NoWait: true},
		&wire.ConfirmSelect{NoWait: true},
		&wire.BasicConsume{Queue: "t.nowait", ConsumerTag: "c", NoAck: true, NoWait: true})
	p.publish(1, message{exchange: "t.nowait", body: "x"})
	got := map[string]bool{}
	for range 2 {
		_, m := p.next()
		if d, ok := m.(*wire.BasicDeliver); ok {
			_, body := p.content(1)
			got[body+string(d.ConsumerTag)] = true
		} else {
			got[fmt.Sprintf("%T", m)] = true
		}
	}
	if !got["xc"] || !got["*wire.BasicAck"] {
		t.Errorf("%v", got)
	}
	p.send(1, &wire.BasicCancel{ConsumerTag: "c", NoWait: true}, &wire.QueuePurge{Queue: "t.nowait", NoWait: true},
		&wire.QueueDelete{Queue: "t.nowait", NoWait: true}, &wire.ExchangeDelete{Exchange: "t.nowait", NoWait: true})
	p.idle(1)
	p.send(1, &wire.ExchangeDeclare{Exchange: "t.nowait", Passive: true})
	if got := p.closed(); got != "channel 404 40.10 NOT_FOUND - no exchange 't.nowait' in vhost '/'" {
		t.Error(got)
	}
}

// Deleting and unbinding what is not there succeeds.
func TestMissingIsGone(t *testing.T) {
	p := session(t, broker(t))
	p.send(1, &wire.QueueDelete{Queue: "t.none"})
	if ok := expect[*wire.QueueDeleteOK](p, 1); ok.MessageCount != 0 {
		t.Errorf("%+v", ok)
	}
	p.send(1, &wire.ExchangeDelete{Exchange: "t.none"})
	expect[*wire.ExchangeDeleteOK](p, 1)
	q := p.queue(1, "")
	p.send(1, &wire.QueueUnbind{Queue: q, Exchange: "amq.direct", RoutingKey: "never"})
	expect[*wire.QueueUnbindOK](p, 1)
	p.send(1, &wire.BasicCancel{ConsumerTag: "never"})
	if ok := expect[*wire.BasicCancelOK](p, 1); ok.ConsumerTag != "never" {
		t.Errorf("%+v", ok)
	}
	p.send(1, &wire.AccessRequest{Realm: "/"})
	if ok := expect[*wire.AccessRequestOK](p, 1); ok.Ticket != 1 {
		t.Errorf("%+v", ok)
	}
	p.send(1, &wire.ChannelFlow{Active: true})
	if ok := expect[*wire.ChannelFlowOK](p, 1); !ok.Active {
		t.Errorf("%+v", ok)
	}
}

// behaviour 15.
func TestRouting(t *testing.T) {
	p := session(t, broker(t))
	queue := map[string]string{}
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		queue[n] = p.queue(1, "")
	}
	for _, kind := range []string{"direct", "fanout", "topic", "headers"} {
		p.send(1, &wire.ExchangeDeclare{Exchange: "t." + kind, Type: kind, AutoDelete: true})
		expect[*wire.ExchangeDeclareOK](p, 1)
	}
	p.bind(1, queue["a"], "t.direct", "k")
	p.bind(1, queue["a"], "t.direct", "k2")
	p.bind(1, queue["b"], "t.direct", "k")
	p.bind(1, queue["a"], "t.fanout", "x")
	p.bind(1, queue["a"], "t.fanout", "y") // one copy all the same
	p.bind(1, queue["c"], "t.fanout", "")
	p.bind(1, queue["a"], "t.topic", "stock.*.nyse")
	p.bind(1, queue["b"], "t.topic", "stock.#")
	p.bind(1, queue["c"], "t.topic", "#")
	p.bind(1, queue["d"], "t.topic", "*")
	p.bind(1, queue["a"], "t.headers", "", field("x-match", wire.String("all")), field("n", wire.Int32(1)), field("s", wire.String("v")))
	p.bind(1, queue["b"], "t.headers", "", field("x-match", wire.String("any")), field("n", wire.Int32(1)), field("s", wire.String("w")))
	p.bind(1, queue["c"], "t.headers", "", field("x-match", wire.String("all-with-x")), field("x-n", wire.Int32(1)))
	p.bind(1, queue["d"], "t.headers", "", field("s", wire.Void()))
	p.bind(1, queue["e"], "t.headers", "", field("x-match", wire.String("any")))
	p.send(1, &wire.ExchangeBind{Source: "t.direct", Destination: "t.fanout", RoutingKey: "on"})
	expect[*wire.ExchangeBindOK](p, 1)
	for _, tc := range []struct {
		exchange, key, want string
		headers             wire.Table
	}{
		{exchange: "t.direct", key: "k", want: "ab"},
		{exchange: "t.direct", key: "k2", want: "a"},
		{exchange: "t.direct", key: "none", want: ""},
		{exchange: "t.direct", key: "on", want: "ac"},
		{exchange: "t.fanout", key: "any", want: "ac"},
		{exchange: "t.topic", key: "stock.ibm.nyse", want: "abc"},
		{exchange: "t.topic", key: "stock", want: "bcd"},
		{exchange: "t.topic", key: "", want: "c"},
		{exchange: "t.topic", key: "a.b", want: "c"},
		{exchange: "t.headers", headers: args(field("n", wire.Int64(1)), field("s", wire.String("v"))), want: "abd"},
		{exchange: "t.headers", headers: args(field("s", wire.String("w"))), want: "bd"},
		{exchange: "t.headers", headers: args(field("x-n", wire.Int8(1))), want: "c"},
		{exchange: "t.headers", headers: nil, want: ""},
	} {
		p.publish(1, message{exchange: tc.exchange, key: tc.key, body: "m", props: wire.Properties{Headers: tc.headers}})
		got := ""
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			if body := p.drain(1, queue[n]); body == "m" {
				got += n
			} else if body != "" {
				t.Errorf("%s %s: %q in %s", tc.exchange, tc.key, body, n)
			}
		}
		if got != tc.want {
			t.Errorf("%s %q %v: to %q, want %q", tc.exchange, tc.key, tc.headers, got, tc.want)
		}
	}
	// The default exchange follows the queues.
	p.publish(1, message{key: queue["e"], body: "m"})
	if got := p.drain(1, queue["e"]); got != "m" {
		t.Errorf("default exchange: %q", got)
	}
	p.send(1, &wire.QueueUnbind{Queue: queue["a"], Exchange: "t.direct", RoutingKey: "k"})
	expect[*wire.QueueUnbindOK](p, 1)
	p.publish(1, message{exchange: "t.direct", key: "k", body: "m"})
	if a, b := p.drain(1, queue["a"]), p.drain(1, queue["b"]); a != "" || b != "m" {
		t.Errorf("after unbind: %q, %q", a, b)
	}
}

// Exclusive queues go with their connection, before the next can be surprised.
func TestExclusiveQueueEnds(t *testing.T) {
	for range 5 {
		p := session(t, broker(t))
		p.queue(1, "t.exclusive")
		p.bind(1, "t.exclusive", "amq.fanout", "")
		p.close()
	}
	p := session(t, broker(t))
	p.send(1, &wire.QueueDeclare{Queue: "t.exclusive", Passive: true})
	if got := p.closed(); got != "channel 404 50.10 NOT_FOUND - no queue 't.exclusive' in vhost '/'" {
		t.Error(got)
	}
}

// An auto-delete queue goes with its last consumer, never before its first.
func TestAutoDelete(t *testing.T) {
	p := session(t, broker(t))
	for _, durable := range []bool{false, true} {
		name := fmt.Sprintf("t.auto.%v", durable)
		p.send(1, &wire.QueueDeclare{Queue: name, AutoDelete: true, Durable: durable})
		expect[*wire.QueueDeclareOK](p, 1)
		p.to(1, name, "x")
		p.get(1, name, true)
		p.consume(1, wire.BasicConsume{Queue: name, ConsumerTag: "1"})
		p.consume(1, wire.BasicConsume{Queue: name, ConsumerTag: "2"})
		p.send(1, &wire.BasicCancel{ConsumerTag: "1"})
		expect[*wire.BasicCancelOK](p, 1)
		p.ready(1, name) // still there
		p.send(1, &wire.BasicCancel{ConsumerTag: "2"})
		expect[*wire.BasicCancelOK](p, 1)
		p.gone(name)
	}
	// By the end of the channel, and of the connection.
	for _, end := range []func(o *peer){func(o *peer) { o.closeChannel(1) }, (*peer).close} {
		o := session(t, broker(t))
		o.send(1, &wire.QueueDeclare{Queue: "t.auto", AutoDelete: true})
		expect[*wire.QueueDeclareOK](o, 1)
		o.consume(1, wire.BasicConsume{Queue: "t.auto"})
		end(o)
		p.gone("t.auto")
	}
	// An exchange goes with the last binding from it.
	p.send(1, &wire.ExchangeDeclare{Exchange: "t.auto", Type: "direct", AutoDelete: true})
	expect[*wire.ExchangeDeclareOK](p, 1)
	q := p.queue(1, "")
	p.bind(1, q, "t.auto", "k")
	p.send(1, &wire.QueueUnbind{Queue: q, Exchange: "t.auto", RoutingKey: "k"})
	expect[*wire.QueueUnbindOK](p, 1)
	p.send(1, &wire.ExchangeDeclare{Exchange: "t.auto", Passive: true})
	if got := p.closed(); got != "channel 404 40.10 NOT_FOUND - no exchange 't.auto' in vhost '/'" {
		t.Error(got)
	}
}

// gone waits until a queue is not there any more.
func (p *peer) gone(name string) {
	p.t.Helper()
	for i := uint16(100); i < 1100; i++ {
		p.channel(i)
		p.send(i, &wire.QueueDeclare{Queue: name, Passive: true})
		_, m := p.next()
		if c, ok := m.(*wire.ChannelClose); ok {
			if c.ReplyCode != 404 {
				p.t.Errorf("%+v", c)
			}
			p.send(i, &wire.ChannelCloseOK{})
			return
		}
		p.closeChannel(i)
	}
	p.t.Fatalf("queue %s does not end", name)
}

// A consumer hears of the end of its queue, if it can.
func TestQueueDeletedUnderConsumer(t *testing.T) {
	able := dial(t, broker(t))
	able.open(args(field("consumer_cancel_notify", wire.Bool(true))))
	able.channel(1)
	plainPeer := session(t, broker(t))
	for _, durable := range []bool{true, false} {
		able.send(1, &wire.QueueDeclare{Queue: "t.under", Durable: durable})
		expect[*wire.QueueDeclareOK](able, 1)
		able.to(1, "t.under", "1", "2")
		able.consume(1, wire.BasicConsume{Queue: "t.under", ConsumerTag: "a"})
		if got := able.deliveries(1, 2); got != "1 2" {
			t.Error(got)
		}
		plainPeer.consume(1, wire.BasicConsume{Queue: "t.under", ConsumerTag: "p"})
		plainPeer.send(1, &wire.QueueDelete{Queue: "t.under"})
		expect[*wire.QueueDeleteOK](plainPeer, 1)
		if c := expect[*wire.BasicCancel](able, 1); c.ConsumerTag != "a" || !c.NoWait {
			t.Errorf("%+v", c)
		}
		// Acknowledging what it still has is no error, and the tag is free.
		able.send(1, &wire.BasicAck{Multiple: true})
		plainPeer.idle(1)
	}
	q := able.queue(1, "")
	able.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
	able.close()
}

// Every combination of durable, exclusive and auto-delete is a queue that
// works, and that the same declaration finds again (behaviours 11 and 13).
func TestQueueProperties(t *testing.T) {
	for i := range 8 {
		m := wire.QueueDeclare{Queue: fmt.Sprint("t.kind.", i), Durable: i&1 != 0, Exclusive: i&2 != 0, AutoDelete: i&4 != 0}
		t.Run(fmt.Sprintf("durable=%v/exclusive=%v/autodelete=%v", m.Durable, m.Exclusive, m.AutoDelete), func(t *testing.T) {
			p := session(t, broker(t))
			for range 2 {
				p.send(1, &m)
				expect[*wire.QueueDeclareOK](p, 1)
			}
			p.to(1, m.Queue, "a", "b")
			p.consume(1, wire.BasicConsume{Queue: m.Queue, ConsumerTag: "c"})
			if got := p.deliveries(1, 2); got != "a b" {
				t.Errorf("delivered %s", got)
			}
			p.send(1, &wire.BasicAck{DeliveryTag: 2, Multiple: true}, &wire.BasicCancel{ConsumerTag: "c"})
			expect[*wire.BasicCancelOK](p, 1)
			p.close()
			// Who comes later finds it, unless it was to go.
			p = session(t, broker(t))
			p.send(1, &wire.QueueDeclare{Queue: m.Queue, Passive: true})
			_, answer := p.next()
			if _, there := answer.(*wire.QueueDeclareOK); there != (!m.Exclusive && !m.AutoDelete) {
				t.Errorf("afterwards: %+v", answer)
			} else if there {
				p.send(1, &wire.QueueDelete{Queue: m.Queue})
				expect[*wire.QueueDeleteOK](p, 1)
			}
		})
	}
}

// Arguments that tune what is one way here are taken, and compared with those
// of the next declaration where RabbitMQ compares them.
func TestIgnoredArguments(t *testing.T) {
	p := session(t, broker(t))
	a := args(
		field("x-queue-mode", wire.String("lazy")), field("x-queue-version", wire.Int32(2)),
		field("x-max-in-memory-length", wire.Int32(0)), field("x-max-in-memory-bytes", wire.Int64(5)),
		field("x-queue-leader-locator", wire.String("client-local")), field("x-queue-master-locator", wire.String("min-masters")),
		field("x-quorum-initial-group-size", wire.Int16(3)), field("ours", wire.Bool(true)))
	q := p.durable(1, "t.ignored", a...)
	p.to(1, q, "m")
	if got := p.drain(1, q); got != "m" {
		t.Errorf("the queue holds %s", got)
	}
	p.send(1, &wire.QueueDeclare{Queue: q, Durable: true, Arguments: a[:len(a)-1]})
	expect[*wire.QueueDeclareOK](p, 1)
	p.send(1, &wire.QueueDeclare{Queue: q, Durable: true})
	want := "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'x-queue-mode' for queue 't.ignored' in vhost '/': received none but current is the value 'lazy' of type 'longstr'"
	if got := p.closed(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
