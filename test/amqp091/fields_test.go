package amqp091_test

import (
	"math"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// behaviour 14: every type of field reaches the consumer bit by bit, also past
// a broker that takes a header out (BCC) or adds one (x-delivery-count), and is
// compared by its value in a headers exchange.
func TestFieldTypes(t *testing.T) {
	h := args(
		field("byte", wire.Int8(-128)), field("ubyte", wire.Uint8(255)), field("short", wire.Int16(math.MinInt16)),
		field("ushort", wire.Uint16(math.MaxUint16)), field("int", wire.Int32(math.MinInt32)), field("uint", wire.Uint32(math.MaxUint32)),
		field("long", wire.Int64(math.MinInt64)), field("float", wire.Float32(-0.5)), field("double", wire.Float64(math.SmallestNonzeroFloat64)),
		field("decimal", wire.DecimalOf(wire.Decimal{Scale: 3, Value: math.MaxUint32})), field("time", wire.Timestamp(math.MaxUint64)),
		field("text", wire.String("\x00\xff")), field("bytes", wire.Bytes([]byte{0, 1})), field("bool", wire.Bool(true)), field("void", wire.Void()),
		field("table", wire.TableOf(args(field("", wire.TableOf(nil)), field("twice", wire.Int8(1)), field("twice", wire.Int8(2))))),
		field("array", wire.Array(wire.Array(), wire.Void(), wire.Int16(-1))),
	)
	p := session(t, broker(t))
	q := p.durable(1, "f.types", field("x-queue-type", wire.String("quorum")))
	p.send(1, &wire.QueueBind{Queue: q, Exchange: "amq.headers", Arguments: args(
		field("x-match", wire.String("all")), field("short", wire.Int64(math.MinInt16)), field("ubyte", wire.Int32(255)),
		field("text", wire.String("\x00\xff")), field("void", wire.Void()), field("double", wire.Void()))})
	expect[*wire.QueueBindOK](p, 1)
	p.publish(1, message{exchange: "amq.headers", props: wire.Properties{
		Headers: append(h[:len(h):len(h)], field("BCC", wire.Array(wire.String("nobody")))), Timestamp: math.MaxUint64, Priority: 255,
	}})
	p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "c"})
	want := wire.Properties{Headers: h, Timestamp: math.MaxUint64, Priority: 255}
	d := p.deliver(1)
	if string(d.props) != string(want.Append(nil)) {
		t.Errorf("got\n%q\nwant\n%q", d.props, want.Append(nil))
	}
	p.send(1, &wire.BasicNack{DeliveryTag: d.DeliveryTag, Requeue: true})
	want.Headers = append(h[:len(h):len(h)], field("x-acquired-count", wire.Int64(1)), field("x-delivery-count", wire.Int64(1)))
	if d = p.deliver(1); string(d.props) != string(want.Append(nil)) {
		t.Errorf("again\n%q\nwant\n%q", d.props, want.Append(nil))
	}
	p.send(1, &wire.BasicAck{DeliveryTag: d.DeliveryTag})
}

// X14: numbers that clients give are taken for what they say, at their
// extremes.
func TestExtremeNumbers(t *testing.T) {
	p := session(t, broker(t))
	q := p.queue(1, "")
	p.to(1, q, "m")
	p.qos(1, 65535, false)
	p.qos(1, 65535, true)
	for i, v := range []wire.Value{wire.Int64(math.MaxInt64), wire.Int64(math.MinInt64), wire.Uint32(math.MaxUint32), wire.Int8(-1)} {
		p.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: string(rune('a' + i)), Arguments: args(field("x-priority", v))})
		if i == 0 {
			if got := p.deliveries(1, 1); got != "m" {
				t.Errorf("delivered %s", got)
			}
		}
	}
	p.send(1, &wire.BasicAck{DeliveryTag: math.MaxUint64})
	if got := p.closed(); got != "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 18446744073709551615" {
		t.Error(got)
	}
}

// X16: what one client publishes does not cost another its channel: a message
// with everything odd that may be in one is delivered as any other.
func TestPoison(t *testing.T) {
	reader, writer := session(t, broker(t)), session(t, broker(t))
	q := reader.queue(1, "")
	reader.consume(1, wire.BasicConsume{Queue: q, ConsumerTag: "c", NoAck: true})
	reader.send(1, &wire.QueueBind{Queue: q, Exchange: "amq.fanout"})
	expect[*wire.QueueBindOK](reader, 1)
	long := string(make([]byte, 255))
	odd := []wire.Properties{
		{},
		{Headers: args(field("x-death", wire.Array()), field("x-delivery-count", wire.String("many")))},
		{Headers: args(field("x-death", wire.Array(wire.Void(), wire.TableOf(args(field("count", wire.String("x")))))))},
		{Headers: args(field("CC", wire.Array(wire.String(long), wire.Void(), wire.TableOf(nil))))},
		{Headers: args(field("x-delay", wire.Int64(math.MinInt64)), field("x-match", wire.Int8(1)))},
		{ContentType: long, ContentEncoding: long, CorrelationID: long, ReplyTo: long, MessageID: long, Type: long, AppID: long, ClusterID: long},
		{DeliveryMode: 255, Priority: 255, Timestamp: math.MaxUint64, Expiration: "4294967295"},
		{ReplyTo: "amq.rabbitmq.reply-to.", Headers: args(field(long, wire.Void()))},
	}
	for i, props := range odd {
		writer.publish(1, message{exchange: "amq.fanout", key: long, body: "x", props: props})
		d := reader.deliver(1)
		if d.body != "x" || string(d.props) != string(props.Append(nil)) {
			t.Errorf("message %d came as %q", i, d.props)
		}
	}
	reader.idle(1)
	writer.idle(1)
}
