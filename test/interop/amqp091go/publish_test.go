//go:build interop

package amqp091go

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestConfirmsCoverEveryPublish(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Confirm(false))
	const n = 5000
	// The client turns "multiple" into one confirmation a tag, in order.
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation, n))
	for i := range n {
		must(t, ch.PublishWithContext(context.Background(), "", q, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, Body: fmt.Append(nil, i),
		}))
	}
	for i := range n {
		c := next(t, confirms, "confirm")
		if c.DeliveryTag != uint64(i+1) || !c.Ack {
			t.Fatalf("confirm %d: %+v", i, c)
		}
	}
	want(t, "messages", depth(t, ch, q), n)
}

func TestConfirmOneByOne(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	for i := range 50 {
		put(t, ch, q, fmt.Sprint(i)) // confirm.select again is a no-op
	}
	want(t, "messages", depth(t, ch, q), 50)
}

func TestTransientQueueConfirms(t *testing.T) {
	ch := channel(t)
	q := bound(t, ch, "amq.fanout", "", nil)
	put(t, ch, q, "a", "b")
	wantBodies(t, contents(t, ch, q), "a", "b")
}

func TestMandatoryReturnComesBeforeItsConfirm(t *testing.T) {
	ch := channel(t)
	must(t, ch.Confirm(false))
	// Unbuffered both: the client's reader waits for us at each, in the broker's order.
	returns := ch.NotifyReturn(make(chan amqp.Return))
	confirms := ch.NotifyPublish(make(chan amqp.Confirmation))
	msg := amqp.Publishing{
		Body: []byte("nobody wants me"), ContentType: "text/plain", MessageId: "m-1", Headers: amqp.Table{"k": "v"},
	}
	must(t, ch.PublishWithContext(context.Background(), "amq.direct", "no.such.key", true, false, msg))
	var r amqp.Return
	select {
	case r = <-returns:
	case c := <-confirms:
		t.Fatalf("confirm %+v came before the return", c)
	case <-time.After(patience):
		t.Fatal("neither return nor confirm")
	}
	want(t, "code", r.ReplyCode, uint16(312))
	want(t, "text", r.ReplyText, "NO_ROUTE")
	want(t, "exchange", r.Exchange, "amq.direct")
	want(t, "key", r.RoutingKey, "no.such.key")
	want(t, "body", string(r.Body), "nobody wants me")
	want(t, "message-id", r.MessageId, "m-1")
	want(t, "header", r.Headers["k"], any("v"))
	want(t, "confirm", next(t, confirms, "confirm").Ack, true)

	// Not mandatory: dropped, and confirmed all the same.
	must(t, ch.PublishWithContext(context.Background(), "amq.direct", "no.such.key", false, false, msg))
	want(t, "confirm", next(t, confirms, "confirm").DeliveryTag, uint64(2))
}

func TestMandatoryRoutedIsNotReturned(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	d, err := ch.PublishWithDeferredConfirm("", q, true, false, amqp.Publishing{Body: []byte("x")})
	must(t, err)
	want(t, "acked", d.Wait(), true)
	select {
	case r := <-returns:
		t.Fatalf("returned: %+v", r)
	default:
	}
}

func TestPropertiesAndHeadersArriveAsSent(t *testing.T) {
	ch := channel(t)
	q := durable(t, ch, nil)
	must(t, ch.Confirm(false))
	sent := amqp.Publishing{
		ContentType: "application/json", ContentEncoding: "gzip", DeliveryMode: amqp.Persistent, Priority: 7,
		CorrelationId: "c", ReplyTo: "r", Expiration: "60000", MessageId: "m", Timestamp: time.Unix(1700000000, 0).UTC(),
		Type: "t", UserId: "guest", AppId: "a", Body: []byte("{}"),
		Headers: amqp.Table{
			"bool": true, "int8": int8(-8), "uint8": byte(8), "int16": int16(-16), "int32": int32(-32), "int64": int64(-64),
			"float": float32(1.5), "double": 2.5, "decimal": amqp.Decimal{Scale: 2, Value: 314}, "string": "ä string",
			"bytes": []byte{0, 1, 0xce}, "time": time.Unix(1600000000, 0).UTC(), "void": nil,
			"array": []any{"x", int32(1), amqp.Table{"deep": []any{false}}}, "table": amqp.Table{"in": amqp.Table{"side": int64(1)}},
		},
	}
	d, err := ch.PublishWithDeferredConfirm("", q, false, false, sent)
	must(t, err)
	want(t, "acked", d.Wait(), true)
	got, ok := get(t, ch, q)
	want(t, "got one", ok, true)
	received := amqp.Publishing{
		ContentType: got.ContentType, ContentEncoding: got.ContentEncoding, DeliveryMode: got.DeliveryMode, Priority: got.Priority,
		CorrelationId: got.CorrelationId, ReplyTo: got.ReplyTo, Expiration: got.Expiration, MessageId: got.MessageId,
		Timestamp: got.Timestamp.UTC(), Type: got.Type, UserId: got.UserId, AppId: got.AppId, Body: got.Body, Headers: got.Headers,
	}
	if at, ok := received.Headers["time"].(time.Time); ok {
		received.Headers["time"] = at.UTC()
	}
	if !reflect.DeepEqual(received, sent) {
		t.Fatalf("received\n%#v\nwant\n%#v", received, sent)
	}
}

func TestBodiesOfAnySize(t *testing.T) {
	conn, err := amqp.DialConfig("amqp://guest:guest@"+shared.address(t, "amqp")+"/", amqp.Config{FrameSize: 8192})
	must(t, err)
	defer conn.Close()
	ch := channelOf(t, conn)
	q := durable(t, ch, nil)
	for _, size := range []int{0, 1, 8192 - 9, 8192 - 8, 8192 - 7, 8192, 100_000, 3 << 20} {
		body := bytes.Repeat([]byte{0xce, 'w'}, size/2+1)[:size]
		put(t, ch, q, string(body))
		d, ok := get(t, ch, q)
		if !ok || !bytes.Equal(d.Body, body) {
			t.Fatalf("size %d: got %d bytes, %v", size, len(d.Body), ok)
		}
	}
}

func TestPublishingChannelsInterleave(t *testing.T) {
	conn := shared.dial(t)
	q := durable(t, channelOf(t, conn), nil)
	done := make(chan error)
	const channels, each = 8, 200
	for c := range channels {
		ch := channelOf(t, conn)
		go func() {
			done <- func() error {
				if err := ch.Confirm(false); err != nil {
					return err
				}
				var last *amqp.DeferredConfirmation
				for i := range each {
					d, err := ch.PublishWithDeferredConfirm("", q, false, false, amqp.Publishing{
						DeliveryMode: amqp.Persistent, Body: fmt.Appendf(nil, "%d %d", c, i),
					})
					if err != nil {
						return err
					}
					last = d
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				_, err := last.WaitContext(ctx)
				return err
			}()
		}()
	}
	for range channels {
		must(t, next(t, done, "publisher"))
	}
	ch := channelOf(t, conn)
	deliveries := consume(t, ch, q, true)
	var expect [channels]int
	for range channels * each {
		var c, i int
		d := next(t, deliveries, "delivery")
		if _, err := fmt.Sscanf(string(d.Body), "%d %d", &c, &i); err != nil || expect[c] != i {
			t.Fatalf("got %q, want number %d of its channel", d.Body, expect[c])
		}
		expect[c]++
	}
}
