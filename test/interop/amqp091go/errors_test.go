//go:build interop

package amqp091go

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// closed runs do and returns the error with which the broker closed the channel
// or the connection, and whether the connection survived.
func closed(t *testing.T, conn *amqp.Connection, ch *amqp.Channel, do func(*amqp.Channel) error) (*amqp.Error, bool) {
	t.Helper()
	end := ch.NotifyClose(make(chan *amqp.Error, 1))
	var e *amqp.Error
	if err := do(ch); err != nil && !errors.As(err, &e) {
		t.Fatalf("not the broker's answer: %v", err)
	}
	if got := next(t, end, "close"); got != nil {
		e = got
	}
	other, err := conn.Channel()
	if err == nil {
		err = other.Close()
	}
	return e, err == nil
}

// wantError wants do to close the channel with exactly this answer.
func wantError(t *testing.T, ch *amqp.Channel, code int, text string, do func(*amqp.Channel) error) {
	t.Helper()
	if e := channelError(t, ch, do); e.Code != code || e.Reason != text {
		t.Fatalf("got %d %q\nwant %d %q", e.Code, e.Reason, code, text)
	}
}

func wantErrorPrefix(t *testing.T, ch *amqp.Channel, code int, text string, do func(*amqp.Channel) error) {
	t.Helper()
	if e := channelError(t, ch, do); e.Code != code || !strings.HasPrefix(e.Reason, text) {
		t.Fatalf("got %d %q\nwant %d %q…", e.Code, e.Reason, code, text)
	}
}

func channelError(t *testing.T, ch *amqp.Channel, do func(*amqp.Channel) error) *amqp.Error {
	t.Helper()
	end := ch.NotifyClose(make(chan *amqp.Error, 1))
	var e *amqp.Error
	if err := do(ch); err != nil && !errors.As(err, &e) {
		t.Fatalf("not the broker's answer: %v", err)
	}
	return next(t, end, "close")
}

// scene is what a row of the error table finds: a durable queue q with one message,
// a direct exchange x with one binding, an internal exchange i, and a locked queue
// of another connection.
type scene struct{ q, x, internal, locked string }

func setScene(t *testing.T) scene {
	t.Helper()
	ch := channel(t)
	s := scene{q: durable(t, ch, nil), x: exchange(t, ch, "direct"), internal: unique(t)}
	put(t, ch, s.q, "one")
	must(t, ch.QueueBind(s.q, "k", s.x, false, nil))
	must(t, ch.ExchangeDeclare(s.internal, "fanout", false, true, true, false, nil))
	must(t, ch.ExchangeBind(s.internal, "", "amq.fanout", false, nil))
	locked, err := ch.QueueDeclare(unique(t), false, false, true, false, nil)
	must(t, err)
	s.locked = locked.Name
	return s
}

// expand fills the scene's names into a text.
func (s scene) expand(text string) string {
	return strings.NewReplacer("{q}", s.q, "{x}", s.x, "{i}", s.internal, "{locked}", s.locked).Replace(text)
}

type failing struct {
	name string
	code int
	conn bool // closes the connection
	text string
	do   func(s scene, ch *amqp.Channel) error
	// three says that RabbitMQ 3.x, the peer at hand, answers differently from 4.x:
	// its row is then only held to Warren.
	three bool
}

const lockedText = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{locked}' in vhost '/'. It could be originally declared on " +
	"another connection or the exclusive property value does not match that of the original declaration."

func declare(ch *amqp.Channel, name string, durable, autoDelete bool, args amqp.Table) error {
	_, err := ch.QueueDeclare(name, durable, autoDelete, false, false, args)
	return err
}

func fresh(ch *amqp.Channel, args amqp.Table) error {
	return declare(ch, "never.made", true, false, args)
}

func send(ch *amqp.Channel, exchange, key string, msg amqp.Publishing) error {
	return ch.Publish(exchange, key, false, false, msg)
}

func consumeAs(ch *amqp.Channel, queue, tag string) error {
	_, err := ch.Consume(queue, tag, false, false, false, false, nil)
	return err
}

var failures = []failing{
	// what is missing
	{name: "passive declare of a missing queue", code: 404, text: "NOT_FOUND - no queue 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive("nope", true, false, false, false, nil)
		return err
	}},
	{name: "passive declare of a missing exchange", code: 404, text: "NOT_FOUND - no exchange 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive("nope", "direct", true, false, false, false, nil)
	}},
	{name: "consume from a missing queue", code: 404, text: "NOT_FOUND - no queue 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		return consumeAs(ch, "nope", "")
	}},
	{name: "get from a missing queue", code: 404, text: "NOT_FOUND - no queue 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		_, _, err := ch.Get("nope", true)
		return err
	}},
	{name: "purge of a missing queue", code: 404, text: "NOT_FOUND - no queue 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		_, err := ch.QueuePurge("nope", false)
		return err
	}},
	{name: "bind of a missing queue", code: 404, text: "NOT_FOUND - no queue 'nope' in vhost '/'", do: func(s scene, ch *amqp.Channel) error {
		return ch.QueueBind("nope", "k", s.x, false, nil)
	}},
	{name: "bind to a missing exchange", code: 404, text: "NOT_FOUND - no exchange 'nope' in vhost '/'", do: func(s scene, ch *amqp.Channel) error {
		return ch.QueueBind(s.q, "k", "nope", false, nil)
	}},
	{name: "publish to a missing exchange", code: 404, text: "NOT_FOUND - no exchange 'nope' in vhost '/'", do: func(_ scene, ch *amqp.Channel) error {
		return send(ch, "nope", "k", amqp.Publishing{})
	}},
	{name: "empty queue name before any declare", code: 404, text: "NOT_FOUND - no previously declared queue", do: func(_ scene, ch *amqp.Channel) error {
		return consumeAs(ch, "", "")
	}},

	// what is another's
	{name: "declare of a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		return declare(ch, s.locked, false, false, nil)
	}},
	{name: "passive declare of a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(s.locked, false, false, false, false, nil)
		return err
	}},
	{name: "get from a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		_, _, err := ch.Get(s.locked, true)
		return err
	}},
	{name: "bind of a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		return ch.QueueBind(s.locked, "k", s.x, false, nil)
	}},
	{name: "purge of a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		_, err := ch.QueuePurge(s.locked, false)
		return err
	}},
	{name: "delete of a locked queue", code: 405, text: lockedText, do: func(s scene, ch *amqp.Channel) error {
		_, err := ch.QueueDelete(s.locked, false, false, false)
		return err
	}},

	// what does not match
	{
		name: "durable differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{q}' in vhost '/': received 'false' but current is 'true'",
		do: func(s scene, ch *amqp.Channel) error { return declare(ch, s.q, false, false, nil) },
	},
	{
		name: "auto_delete differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '{q}' in vhost '/': received 'true' but current is 'false'",
		do: func(s scene, ch *amqp.Channel) error { return declare(ch, s.q, true, true, nil) },
	},
	{
		name: "an argument is new", code: 406,
		text: "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '{q}' in vhost '/': received the value '10' of type 'signedint' but current is none",
		do: func(s scene, ch *amqp.Channel) error {
			return declare(ch, s.q, true, false, amqp.Table{"x-message-ttl": int32(10)})
		},
	},
	{
		name: "an exchange's type differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{x}' in vhost '/': received 'fanout' but current is 'direct'",
		do: func(s scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare(s.x, "fanout", false, true, false, false, nil)
		},
	},
	{
		name: "an exchange's durable differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '{x}' in vhost '/': received 'true' but current is 'false'",
		do: func(s scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare(s.x, "direct", true, true, false, false, nil)
		},
	},
	{
		name: "an exchange's auto_delete differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange '{x}' in vhost '/': received 'false' but current is 'true'",
		do: func(s scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare(s.x, "direct", false, false, false, false, nil)
		},
	},
	{
		name: "an exchange's internal differs", code: 406, text: "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange '{x}' in vhost '/': received 'true' but current is 'false'",
		do: func(s scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare(s.x, "direct", false, true, true, false, nil)
		},
	},

	// arguments that make no sense
	{
		name: "negative TTL", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'never.made' in vhost '/': {value_negative,-1}",
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-message-ttl": int32(-1)}) },
	},
	{
		name: "zero expires", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-expires' for queue 'never.made' in vhost '/': {value_zero,0}",
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-expires": int32(0)}) },
	},
	{
		name: "TTL of the wrong type", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'never.made' in vhost '/': \"expected integer, got longstr\"", three: true,
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-message-ttl": "soon"}) },
	},
	{
		name: "too many priorities", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'never.made' in vhost '/': {max_value_exceeded,256}",
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-max-priority": int32(256)}) },
	},
	{
		name: "negative length", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'never.made' in vhost '/': {value_negative,-5}",
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-max-length": int32(-5)}) },
	},
	{
		name: "dead letter key without exchange", code: 406,
		text: "PRECONDITION_FAILED - invalid arg 'x-dead-letter-routing-key' for queue 'never.made' in vhost '/': routing_key_but_no_dlx_defined",
		do:   func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-dead-letter-routing-key": "k"}) },
	},
	{
		name: "unknown overflow", code: 406, text: "PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'never.made' in vhost '/': invalid_overflow",
		do: func(_ scene, ch *amqp.Channel) error { return fresh(ch, amqp.Table{"x-overflow": "spill"}) },
	},
	{
		name: "x-match that is none", code: 406, text: "PRECONDITION_FAILED - Invalid x-match field value <<\"foo\">>; expected all, any, all-with-x, or any-with-x", three: true,
		do: func(s scene, ch *amqp.Channel) error {
			return ch.QueueBind(s.q, "", "amq.headers", false, amqp.Table{"x-match": "foo"})
		},
	},
	{
		name: "unknown exchange type", code: 406, text: "PRECONDITION_FAILED - unknown exchange type 'nope'", three: true,
		do: func(_ scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare("never.made", "nope", false, true, false, false, nil)
		},
	},

	// what is reserved
	{
		name: "reserved queue name", code: 403, text: "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
		do: func(_ scene, ch *amqp.Channel) error { return declare(ch, "amq.mine", false, false, nil) },
	},
	{
		name: "reserved exchange name", code: 403, text: "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
		do: func(_ scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare("amq.mine", "direct", false, false, false, false, nil)
		},
	},
	{
		name: "declare of the default exchange", code: 403, text: "ACCESS_REFUSED - operation not permitted on the default exchange",
		do: func(_ scene, ch *amqp.Channel) error {
			return ch.ExchangeDeclare("", "direct", true, false, false, false, nil)
		},
	},
	{
		name: "bind to the default exchange", code: 403, text: "ACCESS_REFUSED - operation not permitted on the default exchange",
		do: func(s scene, ch *amqp.Channel) error { return ch.QueueBind(s.q, "k", "", false, nil) },
	},
	{
		name: "unbind from the default exchange", code: 403, text: "ACCESS_REFUSED - operation not permitted on the default exchange",
		do: func(s scene, ch *amqp.Channel) error { return ch.QueueUnbind(s.q, "k", "", nil) },
	},
	{
		name: "delete of the default exchange", code: 403, text: "ACCESS_REFUSED - operation not permitted on the default exchange",
		do: func(_ scene, ch *amqp.Channel) error { return ch.ExchangeDelete("", false, false) },
	},
	{
		name: "delete of a system exchange", code: 403, text: "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
		do: func(_ scene, ch *amqp.Channel) error { return ch.ExchangeDelete("amq.direct", false, false) },
	},
	{
		name: "publish to an internal exchange", code: 403, text: "ACCESS_REFUSED - cannot publish to internal exchange '{i}' in vhost '/'",
		do: func(s scene, ch *amqp.Channel) error { return send(ch, s.internal, "", amqp.Publishing{}) },
	},

	// what is in use
	{name: "delete if unused of a used queue", code: 406, text: "PRECONDITION_FAILED - queue '{q}' in vhost '/' in use", do: func(s scene, ch *amqp.Channel) error {
		if err := consumeAs(ch, s.q, "user"); err != nil {
			return err
		}
		_, err := ch.QueueDelete(s.q, true, false, false)
		return err
	}},
	{name: "delete if empty of a full queue", code: 406, text: "PRECONDITION_FAILED - queue '{q}' in vhost '/' not empty", do: func(s scene, ch *amqp.Channel) error {
		_, err := ch.QueueDelete(s.q, false, true, false)
		return err
	}},
	{name: "delete if unused of a bound exchange", code: 406, text: "PRECONDITION_FAILED - exchange '{x}' in vhost '/' in use", do: func(s scene, ch *amqp.Channel) error {
		return ch.ExchangeDelete(s.x, true, false)
	}},

	// tags and properties
	{
		name: "ack of an unknown tag", code: 406, text: "PRECONDITION_FAILED - unknown delivery tag 7",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Ack(7, false) },
	},
	{
		name: "ack of tag zero", code: 406, text: "PRECONDITION_FAILED - unknown delivery tag 0",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Ack(0, false) },
	},
	{
		name: "reject of an unknown tag", code: 406, text: "PRECONDITION_FAILED - unknown delivery tag 7",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Reject(7, true) },
	},
	{name: "ack twice", code: 406, text: "PRECONDITION_FAILED - unknown delivery tag 1", do: func(s scene, ch *amqp.Channel) error {
		d, _, err := ch.Get(s.q, false)
		return errors.Join(err, d.Ack(false), d.Ack(false))
	}},
	{name: "ack of an auto-acked get", code: 406, text: "PRECONDITION_FAILED - unknown delivery tag 1", do: func(s scene, ch *amqp.Channel) error {
		d, _, err := ch.Get(s.q, true)
		return errors.Join(err, d.Ack(false))
	}},
	{
		name: "negative expiration", code: 406, text: "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
		do: func(s scene, ch *amqp.Channel) error { return send(ch, "", s.q, amqp.Publishing{Expiration: "-1"}) },
	},
	{
		name: "expiration without a number", code: 406, text: "PRECONDITION_FAILED - invalid expiration 'abc': no_integer",
		do: func(s scene, ch *amqp.Channel) error { return send(ch, "", s.q, amqp.Publishing{Expiration: "abc"}) },
	},
	{
		name: "expiration with a rest", code: 406, text: "PRECONDITION_FAILED - invalid expiration '10x': {leftover_string,\"x\"}",
		do: func(s scene, ch *amqp.Channel) error { return send(ch, "", s.q, amqp.Publishing{Expiration: "10x"}) },
	},
	{
		name: "another's user-id", code: 406, text: "PRECONDITION_FAILED - user_id property set to 'ada' but authenticated user was 'guest'",
		do: func(s scene, ch *amqp.Channel) error { return send(ch, "", s.q, amqp.Publishing{UserId: "ada"}) },
	},
	{
		name: "tx after confirm", code: 406, text: "PRECONDITION_FAILED - cannot switch from confirm to tx mode",
		do: func(_ scene, ch *amqp.Channel) error {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			return ch.Tx()
		},
	},
	{
		name: "commit without select", code: 406, text: "PRECONDITION_FAILED - channel is not transactional",
		do: func(_ scene, ch *amqp.Channel) error { return ch.TxCommit() },
	},

	// what ends the connection
	{
		name: "prefetch size", code: 540, conn: true, text: "NOT_IMPLEMENTED - prefetch_size!=0 (10)",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Qos(1, 10, false) },
	},
	{
		name: "immediate", code: 540, conn: true, text: "NOT_IMPLEMENTED - immediate=true",
		do: func(s scene, ch *amqp.Channel) error { return ch.Publish("", s.q, false, true, amqp.Publishing{}) },
	},
	{
		name: "flow off", code: 540, conn: true, text: "NOT_IMPLEMENTED - active=false",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Flow(false) },
	},
	{
		name: "recover without requeue", code: 540, conn: true, text: "NOT_IMPLEMENTED - requeue=false",
		do: func(_ scene, ch *amqp.Channel) error { return ch.Recover(false) },
	},
	{
		name: "consumer tag twice", code: 530, conn: true, text: "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
		do: func(s scene, ch *amqp.Channel) error {
			if err := consumeAs(ch, s.q, "twice"); err != nil {
				return err
			}
			return consumeAs(ch, s.q, "twice")
		},
	},
}

func TestErrors(t *testing.T) {
	for _, row := range failures {
		t.Run(strings.ReplaceAll(row.name, " ", "-"), func(t *testing.T) {
			s := setScene(t)
			conn := shared.dial(t)
			e, alive := closed(t, conn, channelOf(t, conn), func(ch *amqp.Channel) error { return row.do(s, ch) })
			if e == nil {
				t.Fatal("closed without a reason")
			}
			if row.three && isPeer() {
				t.Logf("the peer says %d %q", e.Code, e.Reason)
				return
			}
			text := s.expand(row.text)
			if len(text) > 255 {
				text = text[:252] + "..."
			}
			if e.Code != row.code || e.Reason != text {
				t.Errorf("got  %d %q\nwant %d %q", e.Code, e.Reason, row.code, text)
			}
			if alive == row.conn {
				t.Errorf("connection survived: %v, want %v", alive, !row.conn)
			}
		})
	}
}

// A channel that was closed by an error is closed for good; its number may be
// opened again and its neighbours do not notice.
func TestAChannelErrorSparesTheNeighbours(t *testing.T) {
	conn := shared.dial(t)
	neighbour := channelOf(t, conn)
	q := durable(t, neighbour, nil)
	deliveries := consume(t, neighbour, q, true)
	for i := range 20 {
		ch := channelOf(t, conn)
		wantError(t, ch, 404, "NOT_FOUND - no queue 'nope' in vhost '/'", func(ch *amqp.Channel) error {
			_, _, err := ch.Get("nope", true)
			return err
		})
		put(t, neighbour, q, fmt.Sprint(i))
		take(t, deliveries, fmt.Sprint(i))
	}
}
