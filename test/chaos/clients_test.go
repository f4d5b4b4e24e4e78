//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// window is how many messages a producer has unconfirmed at most.
const window = 300

func queueName(i int) string { return fmt.Sprintf("chaos-%d", i) }

func connect(b *broker) (*amqp.Connection, *amqp.Channel, error) {
	conn, err := amqp.DialConfig("amqp://guest:guest@"+b.address()+"/", amqp.Config{
		Dial: amqp.DefaultDial(2 * time.Second), Heartbeat: 5 * time.Second,
	})
	if err != nil {
		return nil, nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, ch, nil
}

func declare(t *testing.T, b *broker) {
	t.Helper()
	conn, ch, err := connect(b)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range queues {
		if _, err := ch.QueueDeclare(queueName(i), true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// takeRest takes what the queues still hold when no consumer is left: what was
// on its way to them is ready again.
func takeRest(t *testing.T, b *broker, c *checker.Checker) {
	t.Helper()
	conn, ch, err := connect(b)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range queues {
		for {
			d, ok, err := ch.Get(queueName(i), false)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			c.Received(d.Body, d.Redelivered)
			if err := d.Ack(false); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// drained reports whether the queues hold nothing ready.
func drained(b *broker) bool {
	conn, ch, err := connect(b)
	if err != nil {
		return false
	}
	defer conn.Close()
	for i := range queues {
		q, err := ch.QueueDeclarePassive(queueName(i), true, false, false, false, nil)
		if err != nil || q.Messages > 0 {
			return false
		}
	}
	return true
}

// pause waits a little before the next try, or ends early with ctx.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// produce publishes to one queue until ctx ends, through as many connections as
// it takes. What is unconfirmed when a connection breaks is never sent again.
func produce(ctx context.Context, b *broker, c *checker.Checker, number uint32) {
	next := uint64(0)
	for ctx.Err() == nil {
		conn, ch, err := connect(b)
		if err != nil {
			pause(ctx)
			continue
		}
		next = publish(ctx, ch, c, number, next)
		conn.Close()
	}
}

// publish uses one channel until it breaks or ctx ends, and returns the next number.
func publish(ctx context.Context, ch *amqp.Channel, c *checker.Checker, number uint32, first uint64) uint64 {
	if ch.Confirm(false) != nil {
		return first
	}
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, window)) // closed with the channel
	next, answered := first, first
	answer := func(a amqp.Confirmation) {
		answered++
		if a.Ack {
			c.Confirmed(checker.ID{Producer: number, Seq: first + a.DeliveryTag - 1})
		}
	}
	for ctx.Err() == nil {
		for next-answered >= window {
			a, ok := <-confirms
			if !ok {
				return next
			}
			answer(a)
		}
		id := checker.ID{Producer: number, Seq: next}
		c.Sent(id)
		next++
		err := ch.Publish("", queueName(int(number)%queues), false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: checker.AppendBody(nil, id, size(id)),
		})
		if err != nil {
			break
		}
		for drained := false; !drained; {
			select {
			case a, ok := <-confirms:
				if !ok {
					return next
				}
				answer(a)
			default:
				drained = true
			}
		}
	}
	for next > answered { // the last confirms, or the end of the channel
		select {
		case a, ok := <-confirms:
			if !ok {
				return next
			}
			answer(a)
		case <-time.After(patience):
			return next
		}
	}
	return next
}

// size varies from a few bytes to several frames.
func size(id checker.ID) int {
	switch id.Seq % 50 {
	case 0:
		return 200_000
	case 1, 2, 3:
		return 16
	}
	return 100 + int(id.Seq%17)*120
}

// consume takes what a queue has until ctx ends, through as many connections as it takes.
func consume(ctx context.Context, b *broker, c *checker.Checker, queue string) {
	for ctx.Err() == nil {
		conn, ch, err := connect(b)
		if err != nil {
			pause(ctx)
			continue
		}
		drain(ctx, ch, c, queue)
		conn.Close()
	}
}

// drain acknowledges singly and in groups.
func drain(ctx context.Context, ch *amqp.Channel, c *checker.Checker, queue string) {
	if ch.Qos(200, 0, false) != nil {
		return
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return
	}
	idle := time.NewTicker(50 * time.Millisecond)
	defer idle.Stop()
	var last, acked uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			if last > acked && ch.Ack(last, true) != nil {
				return
			}
			acked = last
		case d, ok := <-deliveries:
			if !ok {
				return
			}
			c.Received(d.Body, d.Redelivered)
			if last = d.DeliveryTag; last%16 == 0 || last%16 == 5 {
				if d.Ack(true) != nil {
					return
				}
				acked = last
			}
		}
	}
}
