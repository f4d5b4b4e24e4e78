//go:build interop

package amqp091go

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestTransactionCommits(t *testing.T) {
	ch, watch := channel(t), channel(t)
	q := durable(t, ch, nil)
	put(t, watch, q, "in")
	must(t, ch.Tx())
	d, ok, err := ch.Get(q, false)
	must(t, err)
	want(t, "got", ok, true)
	for _, body := range []string{"a", "b"} {
		must(t, ch.Publish("", q, false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}))
	}
	must(t, d.Ack(false))
	want(t, "messages before", depth(t, ch, q), 0)
	must(t, ch.TxCommit())
	want(t, "messages after", depth(t, watch, q), 2)
	must(t, ch.Close())
	wantBodies(t, contents(t, watch, q), "a", "b") // "in" was acknowledged
}

func TestTransactionRollsBack(t *testing.T) {
	ch, watch := channel(t), channel(t)
	q := durable(t, ch, nil)
	put(t, watch, q, "in")
	must(t, ch.Tx())
	d, _, err := ch.Get(q, false)
	must(t, err)
	must(t, ch.Publish("", q, false, false, amqp.Publishing{Body: []byte("never")}))
	must(t, d.Ack(false))
	must(t, ch.TxRollback())
	want(t, "messages", depth(t, watch, q), 0) // not requeued, but unacknowledged again:
	must(t, d.Ack(false))                      // so that it may be acknowledged once more
	must(t, ch.TxRollback())
	must(t, ch.Close())
	eventually(t, "requeued", func() bool { return depth(t, watch, q) == 1 })
	again, _ := get(t, watch, q)
	want(t, "body", string(again.Body), "in")
	want(t, "redelivered", again.Redelivered, true)
}

func TestTransactionReturnsAtCommit(t *testing.T) {
	ch := channel(t)
	must(t, ch.Tx())
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	must(t, ch.Publish("amq.direct", "no.such.key", true, false, amqp.Publishing{Body: []byte("x")}))
	must(t, ch.TxCommit())
	want(t, "code", next(t, returns, "return").ReplyCode, uint16(312))
}

func TestTransactionOfAChannelThatCloses(t *testing.T) {
	ch, watch := channel(t), channel(t)
	q := durable(t, watch, nil)
	must(t, ch.Tx())
	must(t, ch.Publish("", q, false, false, amqp.Publishing{Body: []byte("never")}))
	must(t, ch.Close())
	want(t, "messages", depth(t, watch, q), 0)
}

func TestTransactionMisused(t *testing.T) {
	wantError(t, channel(t), 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", func(ch *amqp.Channel) error {
		must(t, ch.Tx())
		return ch.Confirm(false)
	})
	wantError(t, channel(t), 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", func(ch *amqp.Channel) error {
		must(t, ch.Confirm(false))
		return ch.Tx()
	})
	wantError(t, channel(t), 406, "PRECONDITION_FAILED - channel is not transactional", (*amqp.Channel).TxCommit)
	wantError(t, channel(t), 406, "PRECONDITION_FAILED - channel is not transactional", (*amqp.Channel).TxRollback)
}
