//go:build interop

package amqp091go

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const replyTo = "amq.rabbitmq.reply-to"

// serve answers every request with its body in capitals, as an RPC server does.
func serve(t *testing.T, ch *amqp.Channel, queue string) {
	t.Helper()
	requests := consume(t, ch, queue, false)
	go func() {
		for r := range requests {
			ch.Publish("", r.ReplyTo, false, false, amqp.Publishing{
				CorrelationId: r.CorrelationId, Body: []byte(strings.ToUpper(string(r.Body))),
			})
			r.Ack(false)
		}
	}()
}

func TestCallsByDirectReplyTo(t *testing.T) {
	client := channel(t)
	q := durable(t, client, nil)
	serve(t, channel(t), q)
	replies := consume(t, client, replyTo, true)
	for i := range 50 {
		must(t, client.Publish("", q, true, false, amqp.Publishing{
			ReplyTo: replyTo, CorrelationId: fmt.Sprint(i), Body: fmt.Append(nil, "call ", i),
		}))
	}
	for i := range 50 {
		r := next(t, replies, "reply")
		want(t, "correlation", r.CorrelationId, fmt.Sprint(i))
		want(t, "body", string(r.Body), fmt.Sprint("CALL ", i))
	}
}

func TestTheReplyAddressLivesAsLongAsItsChannel(t *testing.T) {
	client, server := channel(t), channel(t)
	q := durable(t, client, nil)
	consume(t, client, replyTo, true)
	must(t, client.Publish("", q, false, false, amqp.Publishing{ReplyTo: replyTo, Body: []byte("x")}))
	request := next(t, consume(t, server, q, true), "request")
	if !strings.HasPrefix(request.ReplyTo, replyTo+".") {
		t.Fatalf("reply-to %q", request.ReplyTo)
	}
	_, err := server.QueueDeclarePassive(request.ReplyTo, false, false, false, false, nil)
	must(t, err) // the way a server asks whether its client is still there
	must(t, client.Close())
	eventually(t, "the address is gone", func() bool {
		probe := channelOf(t, shared.dial(t))
		_, err := probe.QueueDeclarePassive(request.ReplyTo, false, false, false, false, nil)
		return err != nil
	})
	returns := server.NotifyReturn(make(chan amqp.Return, 1))
	must(t, server.Publish("", request.ReplyTo, true, false, amqp.Publishing{Body: []byte("late")}))
	want(t, "code", next(t, returns, "return").ReplyCode, uint16(312))
}

func TestDirectReplyToMisused(t *testing.T) {
	for _, row := range []struct {
		name, text string
		code       int
		do         func(*amqp.Channel) error
	}{
		{"with acks", "PRECONDITION_FAILED - reply consumer cannot acknowledge", 406, func(ch *amqp.Channel) error {
			_, err := ch.Consume(replyTo, "", false, false, false, false, nil)
			return err
		}},
		{"twice", "PRECONDITION_FAILED - reply consumer already set", 406, func(ch *amqp.Channel) error {
			if _, err := ch.Consume(replyTo, "", true, false, false, false, nil); err != nil {
				return err
			}
			_, err := ch.Consume(replyTo, "", true, false, false, false, nil)
			return err
		}},
		{"request without a consumer", "PRECONDITION_FAILED - fast reply consumer does not exist", 406, func(ch *amqp.Channel) error {
			if err := ch.Publish("", "anywhere", false, false, amqp.Publishing{ReplyTo: replyTo}); err != nil {
				return err
			}
			return ch.Tx() // waits for the answer
		}},
	} {
		t.Run(strings.ReplaceAll(row.name, " ", "-"), func(t *testing.T) {
			wantError(t, channel(t), row.code, row.text, row.do)
		})
	}
}
