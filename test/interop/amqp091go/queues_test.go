//go:build interop

package amqp091go

import (
	"errors"
	"regexp"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// missing asks on a connection of its own whether a queue is gone.
func missing(t *testing.T, queue string) bool {
	t.Helper()
	conn := shared.dial(t)
	defer conn.Close()
	_, err := channelOf(t, conn).QueueDeclarePassive(queue, false, false, false, false, nil)
	var e *amqp.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("passive declare of %s: %v", queue, err)
	}
	return e != nil && e.Code == 404 // 405 while its connection is not quite gone
}

func TestServerNamedQueue(t *testing.T) {
	ch := channel(t)
	q, err := ch.QueueDeclare("", false, false, true, false, nil)
	must(t, err)
	if !regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`).MatchString(q.Name) {
		t.Fatalf("name %q", q.Name)
	}
	// The empty name is the queue last declared on the channel; with an empty key it is the key too.
	must(t, ch.QueueBind("", "", "amq.direct", false, nil))
	publish(t, ch, "amq.direct", q.Name, amqp.Publishing{Body: []byte("x")})
	d, ok := get(t, ch, "")
	want(t, "got", ok, true)
	want(t, "body", string(d.Body), "x")
}

func TestExclusiveQueueGoesWithItsConnection(t *testing.T) {
	conn := shared.dial(t)
	ch := channelOf(t, conn)
	q, err := ch.QueueDeclare(unique(t), false, false, true, false, nil)
	must(t, err)
	locked := "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + q.Name + "' in vhost '/'"
	wantErrorPrefix(t, channel(t), 405, locked, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(q.Name, false, false, true, false, nil)
		return err
	})
	wantErrorPrefix(t, channel(t), 405, locked, func(ch *amqp.Channel) error {
		_, err := ch.Consume(q.Name, "", true, false, false, false, nil)
		return err
	})
	must(t, ch.Close()) // a channel is not enough
	want(t, "still there", depth(t, channelOf(t, conn), q.Name), 0)
	must(t, conn.Close())
	eventually(t, "gone", func() bool { return missing(t, q.Name) })
}

func TestAutoDeleteQueueGoesWithItsLastConsumer(t *testing.T) {
	ch := channel(t)
	q, err := ch.QueueDeclare(unique(t), false, true, false, false, nil)
	must(t, err)
	want(t, "missing before a consumer", missing(t, q.Name), false)
	for _, tag := range []string{"one", "two"} {
		_, err = ch.Consume(q.Name, tag, true, false, false, false, nil)
		must(t, err)
	}
	must(t, ch.Cancel("one", false))
	want(t, "missing with a consumer left", missing(t, q.Name), false)
	must(t, ch.Cancel("two", false))
	eventually(t, "gone", func() bool { return missing(t, q.Name) })
}

func TestAutoDeleteExchangeGoesWithItsLastBinding(t *testing.T) {
	ch := channel(t)
	x := exchange(t, ch, "fanout")
	q := bound(t, ch, x, "", nil)
	must(t, ch.QueueUnbind(q, "", x, nil))
	eventually(t, "gone", func() bool {
		probe := channelOf(t, shared.dial(t))
		return probe.ExchangeDeclarePassive(x, "fanout", false, true, false, false, nil) != nil
	})
}

func TestDeclareAgain(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, amqp.Table{"x-message-ttl": int32(60000)})
	put(t, ch, q, "a", "b")
	consume(t, channel(t), durable(t, ch, nil), true)
	again, err := ch.QueueDeclare(q, true, false, false, false, amqp.Table{"x-message-ttl": int64(60000)}) // equal by value
	must(t, err)
	want(t, "messages", again.Messages, 2)
	want(t, "consumers", again.Consumers, 0)
	consume(t, channel(t), q, false)
	eventually(t, "consumer and messages counted", func() bool {
		again, err = ch.QueueDeclarePassive(q, true, false, false, false, nil)
		must(t, err)
		return again.Messages == 0 && again.Consumers == 1 // ready ones only
	})
}

func TestDelete(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c")
	n, err := ch.QueueDelete(q, false, false, false)
	must(t, err)
	want(t, "deleted messages", n, 3)
	n, err = ch.QueueDelete(q, false, false, false) // a missing one is no error
	must(t, err)
	want(t, "deleted messages", n, 0)
	must(t, ch.ExchangeDelete("no.such.exchange", false, false))
	must(t, ch.QueueUnbind("no.such.queue", "k", "amq.direct", nil))
}

func TestNoWait(t *testing.T) {
	ch := channel(t)
	q, x := unique(t), unique(t)
	must(t, ch.ExchangeDeclare(x, "fanout", false, false, false, true, nil))
	_, err := ch.QueueDeclare(q, false, false, true, true, nil)
	must(t, err)
	must(t, ch.QueueBind(q, "", x, true, nil))
	publish(t, ch, x, "", amqp.Publishing{Body: []byte("x")})
	wantBodies(t, contents(t, ch, q), "x")
	must(t, ch.ExchangeDelete(x, false, true))
	want(t, "left", depth(t, ch, q), 0)
}

func TestTTLAndLength(t *testing.T) {
	ch := channel(t)
	short := durable(t, ch, amqp.Table{"x-message-ttl": int32(1)})
	put(t, ch, short, "gone")
	eventually(t, "expired by queue", func() bool { return depth(t, ch, short) == 0 })
	long := durable(t, ch, nil)
	publish(t, ch, "", long, amqp.Publishing{Body: []byte("gone"), Expiration: "1"})
	publish(t, ch, "", long, amqp.Publishing{Body: []byte("stays"), Expiration: "600000"})
	eventually(t, "expired by message", func() bool { return depth(t, ch, long) == 1 })
	wantBodies(t, contents(t, ch, long), "stays")

	head := durable(t, ch, amqp.Table{"x-max-length": int32(2)})
	put(t, ch, head, "a", "b", "c")
	eventually(t, "dropped", func() bool { return depth(t, ch, head) == 2 })
	wantBodies(t, contents(t, ch, head), "b", "c")

	full := durable(t, ch, amqp.Table{"x-max-length": int32(1), "x-overflow": "reject-publish"})
	put(t, ch, full, "a")
	eventually(t, "nack of a full queue", func() bool { // a few may still be taken
		d, err := ch.PublishWithDeferredConfirm("", full, false, false, amqp.Publishing{Body: []byte("b")})
		must(t, err)
		return !d.Wait()
	})
}
