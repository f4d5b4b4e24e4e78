//go:build interop

package amqp091go

import (
	"fmt"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestManualAckInOrder(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	var bodies []string
	for i := range 200 {
		bodies = append(bodies, fmt.Sprint(i))
	}
	put(t, ch, q, bodies...)
	for i, d := range take(t, consume(t, ch, q, false), bodies...) {
		want(t, "tag", d.DeliveryTag, uint64(i+1))
		want(t, "redelivered", d.Redelivered, false)
		must(t, d.Ack(false))
	}
	must(t, ch.Close())
	want(t, "left", depth(t, channel(t), q), 0)
}

func TestAckMultiple(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c", "d", "e")
	got := take(t, consume(t, ch, q, false), "a", "b", "c", "d", "e")
	must(t, got[1].Ack(false))
	must(t, got[3].Ack(true)) // a, c, d
	must(t, ch.Close())
	other := channel(t)
	again := take(t, consume(t, other, q, false), "e")
	want(t, "redelivered", again[0].Redelivered, true)
	must(t, other.Ack(0, true)) // everything outstanding
	must(t, other.Ack(0, true)) // nothing outstanding is no error
	must(t, other.Close())
	want(t, "left", depth(t, channel(t), q), 0)
}

func TestNackRequeuesToItsPlaceAndFlags(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c", "d")
	must(t, ch.Qos(2, 0, false))
	deliveries := consume(t, ch, q, false)
	first := take(t, deliveries, "a", "b")
	must(t, first[0].Nack(false, true))
	again := next(t, deliveries, "a again")
	want(t, "body", string(again.Body), "a")
	want(t, "redelivered", again.Redelivered, true)
	must(t, again.Ack(false))
	third := next(t, deliveries, "c")
	want(t, "body", string(third.Body), "c")
	want(t, "redelivered", third.Redelivered, false)
	must(t, ch.Nack(third.DeliveryTag, true, true)) // b and c
	for _, body := range []string{"b", "c"} {
		d := take(t, deliveries, body)[0]
		want(t, "redelivered", d.Redelivered, true)
		must(t, d.Ack(false))
	}
	last := take(t, deliveries, "d")[0]
	want(t, "redelivered", last.Redelivered, false)
	must(t, last.Ack(false))
}

func TestRejectWithoutRequeueDrops(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c")
	got := take(t, consume(t, ch, q, false), "a", "b", "c")
	must(t, got[0].Reject(false))
	must(t, got[1].Nack(false, false))
	must(t, got[2].Reject(true))
	must(t, ch.Close())
	other := channel(t)
	wantBodies(t, contents(t, other, q), "c")
}

func TestRecoverRequeues(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b")
	deliveries := consume(t, ch, q, false)
	take(t, deliveries, "a", "b")
	must(t, ch.Recover(true))
	for _, d := range take(t, deliveries, "a", "b") {
		want(t, "redelivered", d.Redelivered, true)
		must(t, d.Ack(false))
	}
}

func TestEndOfChannelAndConnectionRequeue(t *testing.T) {
	watch := channel(t)
	for _, end := range []struct {
		name string
		do   func(*testing.T, *amqp.Connection, *amqp.Channel)
	}{
		{"channel close", func(t *testing.T, _ *amqp.Connection, ch *amqp.Channel) { must(t, ch.Close()) }},
		{"connection close", func(t *testing.T, c *amqp.Connection, _ *amqp.Channel) { must(t, c.Close()) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			conn := shared.dial(t)
			ch := channelOf(t, conn)
			q := durable(t, ch, nil)
			put(t, ch, q, "a", "b", "c")
			got := take(t, consume(t, ch, q, false), "a", "b", "c")
			must(t, got[1].Ack(false))
			end.do(t, conn, ch)
			eventually(t, "requeued", func() bool { return depth(t, watch, q) == 2 })
			for _, body := range []string{"a", "c"} {
				d, _ := get(t, watch, q)
				want(t, "body", string(d.Body), body)
				want(t, "redelivered", d.Redelivered, true)
			}
		})
	}
}

func TestCancelStopsAndKeepsUnacked(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b")
	must(t, ch.Qos(1, 0, false))
	deliveries, err := ch.Consume(q, "tag", false, false, false, false, nil)
	must(t, err)
	a := take(t, deliveries, "a")[0]
	want(t, "consumer tag", a.ConsumerTag, "tag")
	must(t, ch.Cancel("tag", false))
	must(t, ch.Cancel("unknown", false)) // is no error
	must(t, a.Ack(false))                // still valid
	want(t, "left", depth(t, ch, q), 1)
	d, _ := get(t, ch, q)
	want(t, "redelivered", d.Redelivered, false)
}

func TestBrokerCancelsConsumersOfADeletedQueue(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	cancelled := ch.NotifyCancel(make(chan string, 1))
	deliveries, err := ch.Consume(q, "watcher", false, false, false, false, nil)
	must(t, err)
	_, err = channel(t).QueueDelete(q, false, false, false)
	must(t, err)
	want(t, "cancelled", next(t, cancelled, "basic.cancel"), "watcher")
	for range deliveries {
		t.Fatal("delivery from a deleted queue")
	}
}

func TestConsumersTakeTurns(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Qos(1, 0, false))
	one, two := consume(t, ch, q, false), consume(t, ch, q, false)
	put(t, channel(t), q, "a", "b")
	first, second := next(t, one, "first consumer"), next(t, two, "second consumer")
	if string(first.Body)+string(second.Body) != "ab" && string(first.Body)+string(second.Body) != "ba" {
		t.Fatalf("got %q and %q", first.Body, second.Body)
	}
}

func TestExclusiveConsumer(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	_, err := ch.Consume(q, "only", false, true, false, false, nil)
	must(t, err)
	wantError(t, channel(t), 403, fmt.Sprintf("ACCESS_REFUSED - queue '%s' in vhost '/' in exclusive use", q), func(ch *amqp.Channel) error {
		_, err := ch.Consume(q, "", false, false, false, false, nil)
		return err
	})
	must(t, ch.Cancel("only", false))
	_, err = channel(t).Consume(q, "", false, true, false, false, nil)
	must(t, err)
}
