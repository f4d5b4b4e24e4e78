//go:build interop

package amqp091go

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestPriorityQueue(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, amqp.Table{"x-max-priority": int32(5)})
	for _, m := range []struct {
		body     string
		priority uint8
	}{{"none", 0}, {"low", 1}, {"high", 5}, {"mid", 3}, {"over", 9}, {"low2", 1}, {"high2", 5}} {
		publish(t, ch, "", q, amqp.Publishing{Priority: m.priority, DeliveryMode: amqp.Persistent, Body: []byte(m.body)})
	}
	got := take(t, consume(t, ch, q, false), "high", "over", "high2", "mid", "low", "low2", "none")
	want(t, "priority is delivered as sent", got[1].Priority, uint8(9))
	must(t, got[6].Nack(true, true))
	must(t, ch.Close())
	wantBodies(t, contents(t, channel(t), q), "high", "over", "high2", "mid", "low", "low2", "none")
}

func TestConsumerPriorities(t *testing.T) {
	conn := shared.dial(t)
	ch := channelOf(t, conn)
	q := durable(t, ch, nil)
	must(t, ch.Qos(2, 0, false))
	low := consume(t, ch, q, false)
	high, err := ch.Consume(q, "", false, false, false, false, amqp.Table{"x-priority": int32(10)})
	must(t, err)
	put(t, channel(t), q, "a", "b", "c")
	first := take(t, high, "a", "b")
	c := take(t, low, "c")[0] // the high one is full
	must(t, first[0].Ack(false))
	must(t, c.Ack(false))
	put(t, channel(t), q, "d")
	take(t, high, "d")
}

func TestSingleActiveConsumer(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, amqp.Table{"x-single-active-consumer": true})
	one, two := channel(t), channel(t)
	first := consume(t, one, q, false)
	second := consume(t, two, q, false)
	put(t, ch, q, "a", "b", "c")
	held := take(t, first, "a", "b", "c")
	quiet(t, ch, q, second)
	must(t, held[0].Ack(false))
	must(t, one.Close()) // the next one takes over with what was not acknowledged
	for _, d := range take(t, second, "b", "c") {
		want(t, "redelivered", d.Redelivered, true)
		must(t, d.Ack(false))
	}
	put(t, ch, q, "d")
	take(t, second, "d")
	wantError(t, channel(t), 403, "ACCESS_REFUSED - queue '"+q+"' in vhost '/' in exclusive use", func(ch *amqp.Channel) error {
		_, err := ch.Consume(q, "", false, true, false, false, nil)
		return err
	})
}
