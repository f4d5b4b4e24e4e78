package amqp091_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// eachKind declares a queue of each kind with arguments and runs f with it.
func eachKind(t *testing.T, fs []wire.Field, f func(t *testing.T, p *peer, q string)) {
	for _, kind := range []string{"durable", "memory", "quorum"} {
		t.Run(kind, func(t *testing.T) {
			p := session(t, broker(t))
			a := args(fs...)
			if kind == "quorum" {
				for _, x := range fs {
					if x.Key == "x-max-priority" {
						return // quorum queues have none
					}
				}
				a = append(a, field("x-queue-type", wire.String("quorum")))
			}
			q := strings.ReplaceAll(t.Name(), "/", ".")
			p.send(1, &wire.QueueDeclare{Queue: q, Durable: kind != "memory", Arguments: a})
			expect[*wire.QueueDeclareOK](p, 1)
			t.Cleanup(func() { drop(t, broker(t), q) })
			f(t, p, q)
		})
	}
}

func (p *peer) cancel(channel uint16, tag string) {
	p.t.Helper()
	p.send(channel, &wire.BasicCancel{ConsumerTag: tag})
	expect[*wire.BasicCancelOK](p, channel)
}

// One consumer of a queue with a single active consumer gets everything. The
// next takes over by priority, then by age; what the one before holds stays its
// own.
func TestSingleActiveConsumer(t *testing.T) {
	sac := []wire.Field{field("x-single-active-consumer", wire.Bool(true))}
	eachKind(t, sac, func(t *testing.T, p *peer, q string) {
		first, second, high := session(t, broker(t)), session(t, broker(t)), session(t, broker(t))
		for _, x := range []*peer{first, second, high} {
			x.qos(1, 2, false)
		}
		first.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "c"})
		second.consume(1, wire.BasicConsume{Queue: q})
		high.consume(1, wire.BasicConsume{Queue: q, Arguments: args(field("x-priority", wire.Int32(1)))})
		p.to(1, q, "1", "2", "3", "4", "5", "6")
		if got := first.deliveries(1, 2); got != "1 2" {
			t.Fatalf("the first got %s", got)
		}
		first.cancel(1, "c")
		if got := high.deliveries(1, 2); got != "3 4" {
			t.Fatalf("the one with priority got %s", got)
		}
		first.send(1, &wire.BasicAck{DeliveryTag: 1})
		high.closeChannel(1)
		if got := second.deliveries(1, 2); got != "3* 4*" {
			t.Fatalf("the last got %s", got)
		}
		first.closeChannel(1)
		second.send(1, &wire.BasicAck{Multiple: true})
		if got := second.deliveries(1, 2); got != "2* 5" {
			t.Fatalf("then %s", got)
		}
	})
}

// Who asks to be the only consumer of a queue that chooses that itself is
// refused, and quorum queues of that kind know no basic.get.
func TestSingleActiveConsumerRefusals(t *testing.T) {
	sac := []wire.Field{field("x-single-active-consumer", wire.Bool(true))}
	eachKind(t, sac, func(t *testing.T, p *peer, q string) {
		p.send(1, &wire.BasicConsume{Queue: q, Exclusive: true})
		if got, want := p.closed(), "channel 403 60.20 ACCESS_REFUSED - queue '"+q+"' in vhost '/' in exclusive use"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		p.channel(1)
		if strings.HasSuffix(q, ".quorum") {
			p.send(1, &wire.BasicGet{Queue: q})
			want := "channel 405 60.70 RESOURCE_LOCKED - cannot obtain access to locked queue '" + q + "' in vhost '/'. basic.get operations are not supported by quorum queues with single active consumer"
			if got := p.closed(); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		} else if body, _ := p.get(1, q, true); body != "-" {
			t.Error(body)
		}
	})
}

// A message goes back as often as the delivery limit says, and then is gone.
// What its consumer left behind when it went does not count.
func TestDeliveryLimit(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fs    []wire.Field
		limit int // of failures; -1 for none
	}{
		{"quorum", args(field("x-queue-type", wire.String("quorum"))), 20},
		{"quorum without", args(field("x-queue-type", wire.String("quorum")), field("x-delivery-limit", wire.Int32(-1))), -1},
		{"three", args(field("x-delivery-limit", wire.Int32(3))), 3},
		{"none", nil, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := session(t, broker(t))
			q := p.durable(1, "limit."+tc.name, tc.fs...)
			p.to(1, q, "x")
			for range 25 { // nothing of this counts
				p.channel(2)
				p.get(2, q, false)
				p.closeChannel(2)
			}
			failures := 0
			for ; failures < 30; failures++ {
				body, tag := p.get(1, q, false)
				if body == "-" {
					break
				}
				if failures%2 == 0 {
					p.send(1, &wire.BasicNack{DeliveryTag: tag, Requeue: true})
				} else {
					p.send(1, &wire.BasicReject{DeliveryTag: tag, Requeue: true})
				}
			}
			// The failure after the last that is allowed removes it.
			want := tc.limit + 1
			if tc.limit < 0 {
				want = 30
			}
			if failures != want {
				t.Errorf("delivered %d times, want %d", failures, want)
			}
		})
	}
}

// Higher priorities first, capped by what the queue has; equal ones in order;
// what goes back keeps both.
func TestPriorities(t *testing.T) {
	eachKind(t, []wire.Field{field("x-max-priority", wire.Int32(5))}, func(t *testing.T, p *peer, q string) {
		for i, prio := range []uint8{0, 5, 255, 1, 5, 0} {
			p.publish(1, message{key: q, body: fmt.Sprintf("%d/%d", prio, i), props: wire.Properties{Priority: prio}})
		}
		p.ready(1, q)
		p.qos(1, 3, false)
		tag := p.consume(1, wire.BasicConsume{Queue: q})
		if got := p.deliveries(1, 3); got != "5/1 255/2 5/4" {
			t.Fatalf("first %s", got)
		}
		p.cancel(1, tag)
		p.send(1, &wire.BasicNack{DeliveryTag: 2, Requeue: true}, &wire.BasicNack{DeliveryTag: 1, Requeue: true})
		p.holds(1, q, 5)
		if got := p.drain(1, q); got != "5/1* 255/2* 1/3 0/0 0/5" {
			t.Errorf("then %s", got)
		}
	})
}

// behaviour 13: a negative or impossible time or length is refused; what expires
// and what does not fit is gone, or refused, by the queue's own rule.
func TestTimesAndLengths(t *testing.T) {
	p := session(t, broker(t))
	for _, tc := range []struct {
		arg   string
		value int64
		why   string
	}{
		{"x-expires", 0, "{value_zero,0}"},
		{"x-expires", -5, "{value_negative,-5}"},
		{"x-message-ttl", -1, "{value_negative,-1}"},
		{"x-max-length", -1, "{value_negative,-1}"},
		{"x-max-length-bytes", -1, "{value_negative,-1}"},
	} {
		p.send(1, &wire.QueueDeclare{Queue: "never", Arguments: args(field(tc.arg, wire.Int64(tc.value)))})
		want := fmt.Sprintf("channel 406 50.10 PRECONDITION_FAILED - invalid arg '%s' for queue 'never' in vhost '/': %s", tc.arg, tc.why)
		if got := p.closed(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		p.channel(1)
	}
	eachKind(t, []wire.Field{field("x-max-length", wire.Int32(2))}, func(t *testing.T, p *peer, q string) {
		p.to(1, q, "1", "2", "3")
		p.holds(1, q, 2)
		if got := p.drain(1, q); got != "2 3" {
			t.Errorf("left: %s", got)
		}
	})
	reject := []wire.Field{field("x-max-length", wire.Int32(1)), field("x-overflow", wire.String("reject-publish"))}
	eachKind(t, reject, func(t *testing.T, p *peer, q string) {
		p.confirms(1)
		p.to(1, q, "1")
		expect[*wire.BasicAck](p, 1)
		p.to(1, q, "2")
		expect[*wire.BasicNack](p, 1)
		if got := p.drain(1, q); got != "1" {
			t.Errorf("left: %s", got)
		}
	})
}
