//go:build interop

package amqp091go

import "testing"

func TestQosPerConsumer(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c", "d", "e")
	must(t, ch.Qos(2, 0, false))
	one := consume(t, ch, q, false)
	take(t, one, "a", "b")
	quiet(t, ch, q, one)
	must(t, ch.Qos(1, 0, false)) // for consumers from here on
	two := consume(t, ch, q, false)
	c := take(t, two, "c")[0]
	quiet(t, ch, q, two)
	must(t, c.Ack(false))
	take(t, two, "d")
	quiet(t, ch, q, one)
	want(t, "ready", depth(t, ch, q), 1)
}

func TestQosGlobalIsSharedByTheChannel(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Qos(3, 0, true))
	one, two := consume(t, ch, q, false), consume(t, ch, q, false)
	put(t, channel(t), q, "a", "b", "c", "d", "e")
	var tag uint64
	for range 3 {
		select {
		case d := <-one:
			tag = d.DeliveryTag
		case d := <-two:
			tag = d.DeliveryTag
		}
	}
	quiet(t, ch, q, one)
	quiet(t, ch, q, two)
	want(t, "ready", depth(t, ch, q), 2)
	must(t, ch.Ack(tag, true))
	eventually(t, "all delivered", func() bool { return depth(t, ch, q) == 0 })
}

func TestQosZeroIsUnlimitedAndAutoAckIgnoresIt(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c")
	must(t, ch.Qos(1, 0, false))
	take(t, consume(t, ch, q, true), "a", "b", "c")
	must(t, ch.Qos(0, 0, false))
	put(t, ch, q, "d", "e", "f")
	other := channel(t)
	rest := durable(t, other, nil)
	put(t, other, rest, "g", "h", "i")
	must(t, other.Qos(0, 0, false))
	take(t, consume(t, other, rest, false), "g", "h", "i")
}

// A worker that holds what it may not run yet takes more by raising the channel's
// window; what is delivered beyond a window that shrank is not taken back.
func TestQosOfALiveChannel(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Qos(2, 0, true))
	deliveries := consume(t, ch, q, false)
	put(t, channel(t), q, "a", "b", "c", "d", "e", "f")
	take(t, deliveries, "a", "b")
	quiet(t, ch, q, deliveries)
	must(t, ch.Qos(3, 0, true))
	take(t, deliveries, "c")
	quiet(t, ch, q, deliveries)
	must(t, ch.Qos(1, 0, true))
	must(t, ch.Ack(2, true))
	quiet(t, ch, q, deliveries)
	must(t, ch.Ack(3, false))
	take(t, deliveries, "d")
	must(t, ch.Qos(0, 0, true))
	take(t, deliveries, "e", "f")
}
