//go:build interop

package amqp091go

import (
	"errors"
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// redial connects again and again, as a client that lost its broker does.
func (b *broker) redial(t *testing.T) *amqp.Connection {
	t.Helper()
	var conn *amqp.Connection
	eventually(t, "reconnected", func() bool {
		c, err := amqp.DialConfig("amqp://guest:guest@"+b.address(t, "amqp")+"/", amqp.Config{Dial: amqp.DefaultDial(2 * time.Second)})
		conn = c
		return err == nil
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// What was confirmed is there after kill -9, in order, with its topology; what
// was held comes back flagged; what was transient is gone.
func TestReconnectAfterKill(t *testing.T) {
	b := &broker{dir: t.TempDir()}
	must(t, b.run("start"))
	t.Cleanup(func() { must(t, b.run("stop")) })

	conn := b.dial(t)
	ch := channelOf(t, conn)
	_, err := ch.QueueDeclare("kept", true, false, false, false, amqp.Table{"x-max-length": int32(100000)})
	must(t, err)
	_, err = ch.QueueDeclare("held", true, false, false, false, nil)
	must(t, err)
	_, err = ch.QueueDeclare("transient", false, false, false, false, nil)
	must(t, err)
	must(t, ch.ExchangeDeclare("routes", "topic", true, false, false, false, nil))
	must(t, ch.QueueBind("kept", "k.#", "routes", false, nil))
	must(t, ch.Confirm(false))
	const n = 2000
	var confirms []*amqp.DeferredConfirmation
	for i := range n {
		d, err := ch.PublishWithDeferredConfirm("routes", "k.x", true, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i), MessageId: fmt.Sprint(i),
		})
		must(t, err)
		confirms = append(confirms, d)
	}
	for _, d := range confirms {
		want(t, "confirmed", d.Wait(), true)
	}
	put(t, ch, "held", "h")
	held := take(t, consume(t, ch, "held", false), "h")
	want(t, "redelivered", held[0].Redelivered, false)
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))

	must(t, b.run("kill"))
	next(t, closes, "the client's notice")
	must(t, b.run("start"))

	ch = channelOf(t, b.redial(t))
	q, err := ch.QueueDeclare("kept", true, false, false, false, amqp.Table{"x-max-length": int32(100000)})
	must(t, err)
	want(t, "messages", q.Messages, n)
	must(t, ch.ExchangeDeclarePassive("routes", "topic", true, false, false, false, nil))
	put(t, ch, "held", "i")
	deliveries := consume(t, ch, "kept", false)
	for i := range n {
		d := next(t, deliveries, "delivery")
		if string(d.Body) != fmt.Sprint(i) || d.MessageId != fmt.Sprint(i) || d.Exchange != "routes" || d.RoutingKey != "k.x" {
			t.Fatalf("delivery %d: %q %q %q %q", i, d.Body, d.MessageId, d.Exchange, d.RoutingKey)
		}
		must(t, d.Ack(false))
	}
	again := take(t, consume(t, ch, "held", false), "h", "i")
	want(t, "redelivered", again[0].Redelivered, true)

	_, err = channelOf(t, b.redial(t)).QueueDeclarePassive("transient", false, false, false, false, nil)
	var e *amqp.Error
	if !errors.As(err, &e) || e.Code != 404 {
		t.Fatalf("transient queue after a restart: %v", err)
	}

	// A binding survived too.
	d, err := ch.PublishWithDeferredConfirm("routes", "k", true, false, amqp.Publishing{Body: []byte("after")})
	must(t, err)
	want(t, "confirmed", d.Wait(), true)
	take(t, deliveries, "after")
}

// Acknowledged and gone: asked nicely to stop, the broker brings nothing back.
func TestStopAndStart(t *testing.T) {
	b := &broker{dir: t.TempDir()}
	must(t, b.run("start"))
	t.Cleanup(func() { must(t, b.run("stop")) })
	conn := b.dial(t)
	ch := channelOf(t, conn)
	_, err := ch.QueueDeclare("q", true, false, false, false, nil)
	must(t, err)
	put(t, ch, "q", "a", "b", "c")
	for range 2 {
		d, _, err := ch.Get("q", false)
		must(t, err)
		must(t, d.Ack(false))
	}
	depth(t, ch, "q")
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))
	must(t, b.run("stop"))
	e := next(t, closes, "connection.close")
	want(t, "code", e.Code, 320)
	want(t, "text", e.Reason, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
	must(t, b.run("start"))
	wantBodies(t, contents(t, channelOf(t, b.redial(t)), "q"), "c")
}

// The client's own recovery: it finds its way back after kill -9, declares anew what
// was transient, and its consumer goes on with what was durable.
func TestAutomaticRecovery(t *testing.T) {
	b := &broker{dir: t.TempDir()}
	must(t, b.run("start"))
	t.Cleanup(func() { must(t, b.run("stop")) })
	conn, err := amqp.DialConfig("amqp://guest:guest@"+b.address(t, "amqp")+"/", amqp.Config{
		Dial:     amqp.DefaultDial(2 * time.Second),
		Recovery: &amqp.Recovery{ReconnectionConfig: &amqp.ReconnectionConfig{MaxRetryCount: 400, RetryInterval: 50 * time.Millisecond}},
	})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	states := make(chan *amqp.StateChanged, 100)
	conn.NotifyStateChange(states)
	ch := channelOf(t, conn)
	_, err = ch.QueueDeclare("kept", true, false, false, false, nil)
	must(t, err)
	must(t, ch.ExchangeDeclare("routes", "topic", false, false, false, false, nil)) // transient
	must(t, ch.QueueBind("kept", "k.#", "routes", false, nil))
	must(t, ch.Qos(1, 0, false))
	deliveries := consume(t, ch, "kept", false)
	publisher := channelOf(t, b.dial(t))
	put(t, publisher, "kept", "held", "waiting")
	take(t, deliveries, "held")

	must(t, b.run("kill"))
	must(t, b.run("start"))
	for change := next(t, states, "a change of state"); change.To != amqp.StateOpen; change = next(t, states, "recovered") {
	}
	publisher = channelOf(t, b.redial(t))
	must(t, publisher.Confirm(false))
	d, err := publisher.PublishWithDeferredConfirm("routes", "k.x", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("after")})
	must(t, err)
	want(t, "confirmed", d.Wait(), true)
	for _, body := range []string{"held", "waiting", "after"} {
		d := take(t, deliveries, body)[0]
		must(t, d.Ack(false))
	}
}
