package amqp091_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// both runs a test with a durable queue and with one in memory.
func both(t *testing.T, f func(t *testing.T, p *peer, q string)) {
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprintf("durable=%v", durable), func(t *testing.T) {
			p := session(t, broker(t))
			name := "b." + strings.ReplaceAll(t.Name(), "/", ".")
			if durable {
				f(t, p, p.durable(1, name))
				return
			}
			p.send(1, &wire.QueueDeclare{Queue: name})
			expect[*wire.QueueDeclareOK](p, 1)
			t.Cleanup(func() { drop(t, broker(t), name) })
			f(t, p, name)
		})
	}
}

// What is given back takes its place again, and says that it was delivered
// (behaviour 9).
func TestGiveBack(t *testing.T) {
	for _, how := range []struct {
		name string
		do   func(p *peer)
	}{
		{"nack multiple", func(p *peer) { p.send(1, &wire.BasicNack{DeliveryTag: 3, Multiple: true, Requeue: true}) }},
		{"nack all", func(p *peer) { p.send(1, &wire.BasicNack{Multiple: true, Requeue: true}) }},
		{"nack backwards", func(p *peer) {
			for tag := uint64(3); tag > 0; tag-- {
				p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
			}
		}},
		{"reject", func(p *peer) {
			for _, tag := range []uint64{2, 1, 3} {
				p.send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
			}
		}},
		{"recover", func(p *peer) {
			p.send(1, &wire.BasicRecover{Requeue: true})
			expect[*wire.BasicRecoverOK](p, 1)
		}},
		{"recover-async", func(p *peer) { p.send(1, &wire.BasicRecoverAsync{Requeue: true}) }},
		{"channel", func(p *peer) { p.closeChannel(1) }},
		{"connection", (*peer).close},
		{"death", func(p *peer) { _ = p.nc.Close() }},
	} {
		t.Run(strings.ReplaceAll(how.name, " ", "-"), func(t *testing.T) {
			both(t, func(t *testing.T, p *peer, q string) {
				p.to(1, q, "1", "2", "3", "4")
				p.qos(1, 3, false)
				tag := p.consume(1, wire.BasicConsume{Queue: q})
				if got := p.deliveries(1, 3); got != "1 2 3" {
					t.Fatalf("got %s", got)
				}
				if how.name != "channel" && how.name != "connection" && how.name != "death" {
					p.send(1, &wire.BasicCancel{ConsumerTag: tag})
					expect[*wire.BasicCancelOK](p, 1)
				}
				how.do(p)
				o := session(t, broker(t))
				o.holds(1, q, 4)
				o.consume(1, wire.BasicConsume{Queue: q})
				if got := o.deliveries(1, 4); got != "1* 2* 3* 4" {
					t.Errorf("again: %s", got)
				}
			})
		})
	}
}

func TestReject(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1", "2", "3", "4", "5")
		p.consume(1, wire.BasicConsume{Queue: q})
		p.deliveries(1, 5)
		p.send(1, &wire.BasicReject{DeliveryTag: 1}, &wire.BasicNack{DeliveryTag: 2}, &wire.BasicAck{DeliveryTag: 3})
		p.closeChannel(1)
		p.channel(1)
		if got := p.drain(1, q); got != "4* 5*" {
			t.Errorf("left: %s", got)
		}
	})
}

// Close-ok is a promise: what was acknowledged before never comes again, what
// was not is there.
func TestCloseCommitsAcks(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		o := session(t, broker(t))
		for i := range 20 {
			p.channel(2)
			p.to(2, q, fmt.Sprint("a", i), fmt.Sprint("b", i))
			_, tag := p.get(2, q, false)
			p.get(2, q, false)
			p.send(2, &wire.BasicAck{DeliveryTag: tag})
			p.closeChannel(2)
			if got := o.drain(1, q); got != fmt.Sprintf("b%d*", i) {
				t.Fatalf("round %d: %q", i, got)
			}
		}
	})
}

// behaviour 10.
func TestPrefetch(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		for i := range 30 {
			p.to(1, q, fmt.Sprint(i))
		}
		p.ready(1, q)
		// For consumers to come, each its own.
		p.qos(1, 2, false)
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "a"})
		if got := p.deliveries(1, 2); got != "0 1" {
			t.Errorf("got %s", got)
		}
		p.qos(1, 3, false)
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "b"})
		if got := p.deliveries(1, 3); got != "2 3 4" {
			t.Errorf("got %s", got)
		}
		p.idle(1)
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		if d := p.deliver(1); d.body != "5" || string(d.ConsumerTag) != "a" {
			t.Errorf("%+v", d)
		}
		// For all of the channel together, besides.
		p.qos(1, 6, true)
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "c"})
		if d := p.deliver(1); d.body != "6" || string(d.ConsumerTag) != "c" {
			t.Errorf("%+v", d)
		}
		p.idle(1)
		p.send(1, &wire.BasicAck{Multiple: true})
		p.deliveries(1, 6)
		p.idle(1)
		p.qos(1, 0, true) // no limit of the channel any more
		p.deliveries(1, 2)
		p.idle(1)
		// What basic.get takes does not count.
		if body, _ := p.get(1, q, false); body == "-" {
			t.Error("nothing left to get")
		}
	})
}

func TestRoundRobin(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		for i := range 3 {
			p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: fmt.Sprint(i), NoAck: true})
		}
		const n = 300
		var b []byte
		for i := range n {
			b = append(b, message{key: q, body: fmt.Sprint(i)}.frames(1, p.max)...)
		}
		p.raw(b)
		count := map[string]int{}
		for range n {
			count[string(p.deliver(1).ConsumerTag)]++
		}
		for _, c := range count {
			if c != n/3 {
				t.Fatalf("unfair: %v", count)
			}
		}
		// A higher priority is served first as long as it takes more.
		p.qos(1, 2, false)
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "high", Arguments: args(field("x-priority", wire.Int32(5)))})
		p.to(1, q, "1", "2", "3")
		var got []string
		for range 3 {
			got = append(got, string(p.deliver(1).ConsumerTag))
		}
		slices.Sort(got)
		if got[1] != "high" || got[2] != "high" || got[0] == "high" {
			t.Errorf("to %v", got)
		}
	})
}

// behaviour 7.
func TestCancel(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		for i := range 200 {
			p.to(1, q, fmt.Sprint(i))
		}
		// Deliveries may come before cancel-ok, none after it; all of them
		// can be acknowledged.
		seen := map[string]bool{}
		for round := range 10 {
			tag := p.consume(1, wire.BasicConsume{Queue: q})
			p.send(1, &wire.BasicCancel{ConsumerTag: tag})
			for done := false; !done; {
				_, m := p.next()
				switch m := m.(type) {
				case *wire.BasicDeliver:
					_, body := p.content(1)
					if m.Redelivered != seen[body] {
						t.Fatalf("round %d: %s, redelivered %v", round, body, m.Redelivered)
					}
					seen[body] = true
				case *wire.BasicCancelOK:
					done = true
				default:
					t.Fatalf("%+v", m)
				}
			}
			p.idle(1)
			p.closeChannel(1)
			p.channel(1)
			if n := p.ready(1, q); n != 200 {
				t.Fatalf("round %d: %d left", round, n)
			}
		}
		p.send(1, &wire.BasicConsume{Queue: q, NoAck: true, ConsumerTag: "auto"}, &wire.BasicCancel{ConsumerTag: "auto"})
		expect[*wire.BasicConsumeOK](p, 1)
		got := 0
		for done := false; !done; {
			_, m := p.next()
			switch m.(type) {
			case *wire.BasicDeliver:
				p.content(1)
				got++
			case *wire.BasicCancelOK:
				done = true
			}
		}
		rest := len(strings.Fields(p.drain(1, q)))
		if got+rest != 200 {
			t.Errorf("%d delivered and %d left of 200", got, rest)
		}
	})
}

// What is delivered without acknowledgement is delivered once, whatever ends
// while it is on its way.
func TestNoAckOnce(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		const n = 2000
		pad := strings.Repeat(" ", 4<<10)
		var b []byte
		for i := range n {
			b = append(b, message{key: q, body: fmt.Sprint(i, pad), props: wire.Properties{DeliveryMode: 2}}.frames(1, p.max)...)
		}
		p.raw(b)
		p.ready(1, q)
		seen := map[string]bool{}
		count := func(body string) {
			if body = strings.TrimSpace(body); seen[body] {
				t.Fatalf("%s came twice", body)
			}
			seen[body] = true
		}
		for i := 0; i < 5 && len(seen) < n-500; i++ {
			p.channel(2)
			p.consume(2, wire.BasicConsume{Queue: q, NoAck: true})
			for range 100 {
				count(p.deliver(2).body)
			}
			if i == 2 {
				p.send(2, &wire.QueueDeclare{Queue: "b.nothing", Passive: true}) // an error ends the channel
			} else {
				p.send(2, &wire.ChannelClose{ReplyCode: 200})
			}
			for done := false; !done; {
				_, m := p.next()
				switch m.(type) {
				case *wire.BasicDeliver:
					_, body := p.content(2)
					count(body)
				case *wire.ChannelClose:
					p.send(2, &wire.ChannelCloseOK{})
					done = true
				case *wire.ChannelCloseOK:
					done = true
				}
			}
		}
		// What was on its way and was not written is given back; that may take
		// a moment to be committed.
		o := session(t, broker(t))
		o.consume(1, wire.BasicConsume{Queue: q, NoAck: true})
		for len(seen) < n {
			count(o.deliver(1).body)
		}
	})
}

// The flag of a message that was fetched and given back.
func TestGet(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		if body, _ := p.get(1, q, false); body != "-" {
			t.Errorf("got %q of nothing", body)
		}
		p.to(1, q, "1", "2", "3")
		p.send(1, &wire.BasicGet{Queue: q})
		if ok := expect[*wire.BasicGetOK](p, 1); ok.MessageCount != 2 || ok.DeliveryTag != 1 || ok.Redelivered {
			t.Errorf("%+v", ok)
		}
		p.content(1)
		p.send(1, &wire.BasicReject{DeliveryTag: 1, Requeue: true})
		p.closeChannel(1)
		p.channel(1)
		if body, tag := p.get(1, q, false); body != "1*" || tag != 1 {
			t.Errorf("%s, %d", body, tag)
		}
		if body, tag := p.get(1, q, true); body != "2" || tag != 2 {
			t.Errorf("%s, %d", body, tag)
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		if got := p.drain(1, q); got != "3" {
			t.Errorf("left %s", got)
		}
		p.to(1, q, "a", "b")
		p.send(1, &wire.QueueDelete{Queue: q})
		if ok := expect[*wire.QueueDeleteOK](p, 1); ok.MessageCount != 2 {
			t.Errorf("%+v", ok)
		}
	})
}

func TestExclusiveConsumer(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		o := session(t, broker(t))
		p.consume(1, wire.BasicConsume{Queue: q, Exclusive: true})
		o.send(1, &wire.BasicConsume{Queue: q})
		if got := o.closed(); !strings.HasSuffix(got, "in exclusive use") {
			t.Error(got)
		}
		p.closeChannel(1)
		o.channel(1)
		o.consume(1, wire.BasicConsume{Queue: q, Exclusive: true})
	})
}

// A consumer that never reads stops nobody else, and what waits for it is
// bounded.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		slow := session(t, broker(t))
		slow.consume(1, wire.BasicConsume{Queue: q})
		slow.channel(2)
		slow.consume(2, wire.BasicConsume{Queue: q, NoAck: true})
		fast := session(t, broker(t))
		fast.consume(1, wire.BasicConsume{Queue: q, NoAck: true})
		const n, size = 300, 64 << 10 // less than a queue may hold in memory
		body := strings.Repeat("s", size)
		p.confirms(1)
		go func() { // ends with its last write; the confirms below are its answers
			for range n {
				p.publish(1, message{key: q, body: body, props: wire.Properties{DeliveryMode: 2}})
			}
		}()
		p.acked(1, n)
		for range n / 4 {
			if d := fast.deliver(1); len(d.body) != size {
				t.Fatal("short")
			}
		}
		_ = slow.nc.Close()
		// All that the slow one was to get comes to the other, but for what
		// was written to its socket without acknowledgement.
		p.channel(3)
		p.closeChannel(3)
	})
}

// Many channels of one connection work side by side.
func TestManyChannels(t *testing.T) {
	p := session(t, broker(t))
	const n = 500
	q := p.queue(1, "")
	for i := range n {
		p.send(uint16(i+2), &wire.ChannelOpen{}, &wire.BasicConsume{Queue: q, ConsumerTag: "t", NoAck: true})
	}
	for range 2 * n {
		p.next()
	}
	for i := range n {
		p.to(1, q, fmt.Sprint(i))
	}
	got := map[uint16]int{}
	for range n {
		ch, m := p.next()
		if _, ok := m.(*wire.BasicDeliver); !ok {
			t.Fatalf("%+v", m)
		}
		p.content(ch)
		got[ch]++
	}
	if len(got) != n {
		t.Errorf("only %d channels got something", len(got))
	}
	p.close()
}

// The same consumer, again and again: nothing of the ones before stays.
func TestConsumeCancelAgain(t *testing.T) {
	both(t, func(t *testing.T, p *peer, q string) {
		for i := range 100 {
			p.to(1, q, fmt.Sprint(i))
			p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "same"})
			d := p.deliver(1)
			if d.body != fmt.Sprint(i) {
				t.Fatalf("round %d: %s", i, d.body)
			}
			p.send(1, &wire.BasicAck{DeliveryTag: d.DeliveryTag}, &wire.BasicCancel{ConsumerTag: "same"})
			expect[*wire.BasicCancelOK](p, 1)
		}
	})
}

// What a quorum queue delivers again says how often it was delivered, what
// another queue delivers says nothing of it.
func TestDeliveryCount(t *testing.T) {
	p := session(t, broker(t))
	quorum := p.durable(1, "c.quorum", field("x-queue-type", wire.String("quorum")))
	classic := p.durable(1, "c.classic")
	for _, q := range []string{quorum, classic} {
		mine := args(field("h", wire.Int32(1)))
		p.publish(1, message{key: q, body: "m", props: wire.Properties{Headers: mine}})
		tag := p.consume(1, wire.BasicConsume{Queue: q})
		want := wire.Properties{Headers: mine}
		for i := range 4 {
			d := p.deliver(1)
			if string(d.props) != string(want.Append(nil)) {
				t.Fatalf("delivery %d from %s has %q, want %q", i, q, d.props, want.Append(nil))
			}
			p.send(1, &wire.BasicNack{DeliveryTag: d.DeliveryTag, Requeue: true})
			if q == quorum {
				want.Headers = args(mine[0], field("x-acquired-count", wire.Int64(int64(i+1))), field("x-delivery-count", wire.Int64(int64(i+1))))
			}
		}
		p.send(1, &wire.BasicAck{DeliveryTag: p.deliver(1).DeliveryTag}, &wire.BasicCancel{ConsumerTag: tag})
		expect[*wire.BasicCancelOK](p, 1)
		// Who left without a word did not fail.
		p.publish(1, message{key: q, body: "n"})
		if body, _ := p.get(1, q, false); body != "n" {
			t.Fatal(body)
		}
		p.closeChannel(1)
		p.channel(1)
		p.send(1, &wire.BasicGet{Queue: q, NoAck: true})
		if ok := expect[*wire.BasicGetOK](p, 1); !ok.Redelivered {
			t.Errorf("%+v", ok)
		}
		got, _ := p.content(1)
		none := wire.Properties{}
		if q == quorum {
			none.Headers = args(field("x-acquired-count", wire.Int64(1)))
		}
		if string(got) != string(none.Append(nil)) {
			t.Errorf("got from %s with %q, want %q", q, got, none.Append(nil))
		}
	}
}
