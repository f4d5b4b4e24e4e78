//go:build interop

package amqp091go

import (
	"context"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ctl runs an operator's command against the broker.
func (b *broker) ctl(t *testing.T, args ...string) {
	t.Helper()
	must(t, b.run("ctl", args...))
}

// The memory alarm: publishers are told and held, consumers go on, and when it is
// over what was held is taken.
func TestBlockedConnection(t *testing.T) {
	publisher, other := shared.dial(t), shared.dial(t)
	blocked := publisher.NotifyBlocked(make(chan amqp.Blocking, 2))
	ch, reader := channelOf(t, publisher), channelOf(t, other)
	q := durable(t, reader, nil)
	put(t, ch, q, "before", "before too")

	t.Cleanup(func() { shared.ctl(t, "set_vm_memory_high_watermark", "0.4") })
	shared.ctl(t, "set_vm_memory_high_watermark", "0")
	d, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{Body: []byte("held")})
	must(t, err)
	told := next(t, blocked, "connection.blocked")
	want(t, "active", told.Active, true)
	want(t, "reason", told.Reason, "low on memory")

	deliveries := consume(t, reader, q, false)
	for _, d := range take(t, deliveries, "before", "before too") {
		must(t, d.Ack(false))
	}
	want(t, "ready", depth(t, reader, q), 0)
	held, err := other.Channel() // one that did not publish may still do anything else
	must(t, err)
	must(t, held.Close())

	shared.ctl(t, "set_vm_memory_high_watermark", "0.4")
	want(t, "active", next(t, blocked, "connection.unblocked").Active, false)
	want(t, "what was held is confirmed", d.Wait(), true)
	take(t, deliveries, "held")
}

func TestPolicyChangesALiveQueue(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	put(t, ch, q, "a", "b", "c", "d")
	pattern := "^" + q + "$"
	t.Cleanup(func() { shared.run("ctl", "clear_policy", "live") })

	shared.ctl(t, "set_policy", "live", pattern, `{"max-length":2}`, "--apply-to", "queues")
	eventually(t, "the head is dropped", func() bool { return depth(t, ch, q) == 2 })
	wantBodies(t, contents(t, ch, q), "c", "d")

	graves := durable(t, ch, nil)
	shared.ctl(t, "set_policy", "live", pattern, `{"message-ttl":20,"dead-letter-exchange":"","dead-letter-routing-key":"`+graves+`"}`,
		"--priority", "1", "--apply-to", "queues")
	put(t, ch, q, "e")
	dead := arrives(t, ch, graves)
	want(t, "body", string(dead.Body), "e")
	wantDeath(t, death(t, dead, 0), "expired", q, "", 1, q)

	shared.ctl(t, "set_policy", "live", pattern, `{"max-length":1,"overflow":"reject-publish"}`, "--apply-to", "queues")
	put(t, ch, q, "f")
	eventually(t, "nack of a full queue", func() bool {
		d, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{Body: []byte("g")})
		must(t, err)
		return !d.Wait()
	})

	shared.ctl(t, "clear_policy", "live")
	contents(t, ch, q)
	eventually(t, "no limit any more", func() bool {
		put(t, ch, q, "h", "i")
		return len(contents(t, ch, q)) == 2
	})
}

// A policy of an exchange: what it cannot route goes to its alternate exchange.
func TestPolicyOfAnExchange(t *testing.T) {
	ch := channel(t)
	main, lost := exchange(t, ch, "direct"), exchange(t, ch, "fanout")
	bound(t, ch, main, "known", nil)
	q := bound(t, ch, lost, "", nil)
	t.Cleanup(func() { shared.run("ctl", "clear_policy", "lost") })
	shared.ctl(t, "set_policy", "lost", "^"+main+"$", `{"alternate-exchange":"`+lost+`"}`, "--apply-to", "exchanges")
	must(t, ch.Confirm(false))
	eventually(t, "taken by the alternate exchange", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d, err := ch.PublishWithDeferredConfirmWithContext(ctx, main, "unknown", false, false, amqp.Publishing{Body: []byte("x")})
		must(t, err)
		want(t, "acked", d.Wait(), true)
		return len(contents(t, ch, q)) == 1
	})
}
