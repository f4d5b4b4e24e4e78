package amqp091_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A fault is something a client must not do, with what it is told. Every text
// was compared with RabbitMQ 3.10 (go test -run TestErrors -peer ADDRESS); where
// later releases differ, old holds what 3.10 says.
type fault struct {
	name string
	do   func(p *peer) // on channel 1 of an open connection
	want string        // level, code, class.method, text
	old  string
	ours bool // RabbitMQ has no such answer
}

func field(key string, v wire.Value) wire.Field { return wire.Field{Key: key, Value: v} }

func args(fs ...wire.Field) wire.Table { return fs }

// sends is a fault of one method.
func sends(ms ...wire.Method) func(*peer) { return func(p *peer) { p.send(1, ms...) } }

func publishes(m message) func(*peer) { return func(p *peer) { p.publish(1, m) } }

// declared runs do after a queue of that name was declared.
func declared(name string, do func(*peer)) func(*peer) {
	return func(p *peer) {
		p.queue(1, name)
		do(p)
	}
}

// raws sends frames as they are.
func raws(fs ...wire.Frame) func(*peer) {
	return func(p *peer) {
		var b []byte
		for _, f := range fs {
			b = wire.AppendFrame(b, f)
		}
		p.raw(b)
	}
}

func method(channel uint16, m wire.Method) wire.Frame {
	return wire.Frame{Type: wire.FrameMethod, Channel: channel, Payload: m.Append(nil)}
}

func header(channel uint16, size uint64) wire.Frame {
	b := wire.AppendHeader(nil, channel, nil, size)
	return wire.Frame{Type: wire.FrameHeader, Channel: channel, Payload: b[7 : len(b)-1]}
}

func body(channel uint16, text string) wire.Frame {
	return wire.Frame{Type: wire.FrameBody, Channel: channel, Payload: []byte(text)}
}

// many returns short routing keys.
func many(n int) []wire.Value {
	vs := make([]wire.Value, n)
	for i := range vs {
		vs[i] = wire.String(strconv.Itoa(i))
	}
	return vs
}

const locked = "cannot obtain exclusive access to locked queue 'e.locked' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration."

// other declares an exclusive queue on another connection.
func other(do func(*peer)) func(*peer) {
	return func(p *peer) {
		o := session(p.t, p.nc.RemoteAddr().String())
		o.queue(1, "e.locked")
		p.t.Cleanup(o.close)
		do(p)
	}
}

func queueFaults() []fault {
	return []fault{
		{
			name: "passive", do: sends(&wire.QueueDeclare{Queue: "e.none", Passive: true}),
			want: "channel 404 50.10 NOT_FOUND - no queue 'e.none' in vhost '/'",
		},
		{
			name: "consume from nothing", do: sends(&wire.BasicConsume{Queue: "e.none"}),
			want: "channel 404 60.20 NOT_FOUND - no queue 'e.none' in vhost '/'",
		},
		{
			name: "get from nothing", do: sends(&wire.BasicGet{Queue: "e.none"}),
			want: "channel 404 60.70 NOT_FOUND - no queue 'e.none' in vhost '/'",
		},
		{
			name: "purge nothing", do: sends(&wire.QueuePurge{Queue: "e.none"}),
			want: "channel 404 50.30 NOT_FOUND - no queue 'e.none' in vhost '/'",
		},
		{
			name: "bind nothing", do: sends(&wire.QueueBind{Queue: "e.none", Exchange: "amq.direct"}),
			want: "channel 404 50.20 NOT_FOUND - no queue 'e.none' in vhost '/'",
		},
		{
			name: "bind to no exchange", do: declared("e.q", sends(&wire.QueueBind{Queue: "e.q", Exchange: "e.nox"})),
			want: "channel 404 50.20 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "no queue declared", do: sends(&wire.BasicConsume{}),
			want: "channel 404 60.20 NOT_FOUND - no previously declared queue",
		},
		{
			name: "no queue declared, bind", do: sends(&wire.QueueBind{Exchange: "amq.direct"}),
			want: "channel 404 50.20 NOT_FOUND - no previously declared queue",
		},
		{
			name: "no queue declared, passive", do: sends(&wire.QueueDeclare{Passive: true}),
			want: "channel 404 50.10 NOT_FOUND - no queue '' in vhost '/'",
		},
		{
			name: "locked, passive", do: other(sends(&wire.QueueDeclare{Queue: "e.locked", Passive: true})),
			want: "channel 405 50.10 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, declare", do: other(sends(&wire.QueueDeclare{Queue: "e.locked", Exclusive: true})),
			want: "channel 405 50.10 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, consume", do: other(sends(&wire.BasicConsume{Queue: "e.locked"})),
			want: "channel 405 60.20 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, get", do: other(sends(&wire.BasicGet{Queue: "e.locked"})),
			want: "channel 405 60.70 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, purge", do: other(sends(&wire.QueuePurge{Queue: "e.locked"})),
			want: "channel 405 50.30 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, delete", do: other(sends(&wire.QueueDelete{Queue: "e.locked"})),
			want: "channel 405 50.40 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "locked, bind", do: other(sends(&wire.QueueBind{Queue: "e.locked", Exchange: "amq.direct"})),
			want: "channel 405 50.20 RESOURCE_LOCKED - " + locked,
		},
		{
			name: "exclusive does not match", do: declared("e.locked", sends(&wire.QueueDeclare{Queue: "e.locked"})),
			want: "channel 405 50.10 RESOURCE_LOCKED - " + locked,
		},
		{name: "durable does not match", do: func(p *peer) {
			p.durable(1, "e.durable")
			p.send(1, &wire.QueueDeclare{Queue: "e.durable"})
		}, want: "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'e.durable' in vhost '/': received 'false' but current is 'true'"},
		{name: "auto-delete does not match", do: func(p *peer) {
			p.durable(1, "e.durable")
			p.send(1, &wire.QueueDeclare{Queue: "e.durable", Durable: true, AutoDelete: true})
		}, want: "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'e.durable' in vhost '/': received 'true' but current is 'false'"},
		{name: "argument does not match", do: func(p *peer) {
			p.durable(1, "e.args", field("x-message-ttl", wire.Int32(10000)))
			p.send(1, &wire.QueueDeclare{Queue: "e.args", Durable: true, Arguments: args(field("x-message-ttl", wire.Int32(20000)))})
		}, want: "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'e.args' in vhost '/': received '20000' but current is '10000'"},
		{name: "argument is missing", do: func(p *peer) {
			p.durable(1, "e.args", field("x-message-ttl", wire.Int32(10000)))
			p.send(1, &wire.QueueDeclare{Queue: "e.args", Durable: true})
		}, want: "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'e.args' in vhost '/': received none but current is the value '10000' of type 'signedint'"},
		{name: "argument is new", do: func(p *peer) {
			p.durable(1, "e.plain")
			p.send(1, &wire.QueueDeclare{Queue: "e.plain", Durable: true, Arguments: args(field("x-max-length", wire.Int64(5)))})
		}, want: "channel 406 50.10 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'e.plain' in vhost '/': received the value '5' of type 'long' but current is none"},
		{
			name: "negative ttl", do: sends(&wire.QueueDeclare{Queue: "e.bad1", Arguments: args(field("x-message-ttl", wire.Int32(-1)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'e.bad1' in vhost '/': {value_negative,-1}",
		},
		{
			name: "ttl of the wrong type", do: sends(&wire.QueueDeclare{Queue: "e.bad2", Arguments: args(field("x-message-ttl", wire.String("5")))}),
			want: `channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'e.bad2' in vhost '/': "expected integer, got longstr"`,
		},
		{
			name: "ttl too large", ours: true, do: sends(&wire.QueueDeclare{Queue: "e.bad3", Arguments: args(field("x-message-ttl", wire.Int64(1<<33)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'e.bad3' in vhost '/': {value_too_large,8589934592}",
		},
		{
			name: "negative length", do: sends(&wire.QueueDeclare{Queue: "e.bad4", Arguments: args(field("x-max-length", wire.Int32(-3)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-max-length' for queue 'e.bad4' in vhost '/': {value_negative,-3}",
		},
		{
			name: "length of the wrong type", do: sends(&wire.QueueDeclare{Queue: "e.bad5", Arguments: args(field("x-max-length-bytes", wire.Bool(true)))}),
			want: `channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-max-length-bytes' for queue 'e.bad5' in vhost '/': "expected integer, got bool"`,
		},
		{
			name: "priority too large", do: sends(&wire.QueueDeclare{Queue: "e.bad6", Arguments: args(field("x-max-priority", wire.Int32(256)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'e.bad6' in vhost '/': {max_value_exceeded,256}",
		},
		{
			name: "negative priority", do: sends(&wire.QueueDeclare{Queue: "e.bad7", Arguments: args(field("x-max-priority", wire.Int32(-1)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'e.bad7' in vhost '/': {value_negative,-1}",
		},
		{
			name: "overflow unknown", do: sends(&wire.QueueDeclare{Queue: "e.bad8", Arguments: args(field("x-overflow", wire.String("burst")))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'e.bad8' in vhost '/': invalid_overflow",
		},
		{
			name: "overflow of the wrong type", do: sends(&wire.QueueDeclare{Queue: "e.bad9", Arguments: args(field("x-overflow", wire.Int32(1)))}),
			want: `channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-overflow' for queue 'e.bad9' in vhost '/': {unacceptable_type,signedint}`,
		},
		{
			name: "single active of the wrong type", do: sends(&wire.QueueDeclare{Queue: "e.bad10", Arguments: args(field("x-single-active-consumer", wire.Int32(1)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-single-active-consumer' for queue 'e.bad10' in vhost '/': {unacceptable_type,signedint}",
		},
		{
			name: "quorum and exclusive", do: sends(&wire.QueueDeclare{Queue: "e.bad11", Durable: true, Exclusive: true, Arguments: args(field("x-queue-type", wire.String("quorum")))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid property 'exclusive-owner' for queue 'e.bad11' in vhost '/'",
		},
		{
			name: "quorum and auto-delete", do: sends(&wire.QueueDeclare{Queue: "e.bad12", Durable: true, AutoDelete: true, Arguments: args(field("x-queue-type", wire.String("quorum")))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid property 'auto-delete' for queue 'e.bad12' in vhost '/'",
		},
		{
			name: "quorum and transient", do: sends(&wire.QueueDeclare{Queue: "e.bad13", Arguments: args(field("x-queue-type", wire.String("quorum")))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid property 'non-durable' for queue 'e.bad13' in vhost '/'",
		},
		{
			name: "unknown queue mode", do: sends(&wire.QueueDeclare{Queue: "e.bad20", Arguments: args(field("x-queue-mode", wire.String("fast")))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'e.bad20' in vhost '/': invalid_queue_mode",
		},
		{
			name: "queue mode as a number", do: sends(&wire.QueueDeclare{Queue: "e.bad21", Arguments: args(field("x-queue-mode", wire.Int32(1)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-queue-mode' for queue 'e.bad21' in vhost '/': {unacceptable_type,signedint}",
		},
		{
			name: "no replicas", ours: true, do: sends(&wire.QueueDeclare{Queue: "e.bad22", Durable: true, Arguments: args(field("x-queue-type", wire.String("quorum")), field("x-quorum-initial-group-size", wire.Int32(0)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-quorum-initial-group-size' for queue 'e.bad22' in vhost '/': {value_zero,0}",
		},
		{
			name: "quorum with priorities", do: sends(&wire.QueueDeclare{Queue: "e.bad14", Durable: true, Arguments: args(field("x-queue-type", wire.String("quorum")), field("x-max-priority", wire.Int32(3)))}),
			want: "channel 406 50.10 PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'e.bad14' in vhost '/' of queue type rabbit_quorum_queue",
		},
		{
			name: "reserved name", do: sends(&wire.QueueDeclare{Queue: "amq.mine"}),
			want: "channel 403 50.10 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
		},
		{
			name: "bind the default exchange", do: declared("e.q", sends(&wire.QueueBind{Queue: "e.q", Exchange: "", RoutingKey: "k"})),
			want: "channel 403 50.20 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{
			name: "unbind the default exchange", do: declared("e.q", sends(&wire.QueueUnbind{Queue: "e.q", RoutingKey: "e.q"})),
			want: "channel 403 50.50 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{name: "delete in use", do: declared("e.q", func(p *peer) {
			p.consume(1, wire.BasicConsume{Queue: "e.q"})
			p.send(1, &wire.QueueDelete{Queue: "e.q", IfUnused: true})
		}), want: "channel 406 50.40 PRECONDITION_FAILED - queue 'e.q' in vhost '/' in use"},
		{name: "delete not empty", do: declared("e.q", func(p *peer) {
			p.to(1, "e.q", "x")
			p.send(1, &wire.QueueDelete{Queue: "e.q", IfEmpty: true})
		}), want: "channel 406 50.40 PRECONDITION_FAILED - queue 'e.q' in vhost '/' not empty"},
		{
			name: "headers binding", do: declared("e.q", sends(&wire.QueueBind{Queue: "e.q", Exchange: "amq.headers", Arguments: args(field("x-match", wire.String("foo")))})),
			want: `channel 406 50.20 PRECONDITION_FAILED - Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x`,
		},
		{
			name: "headers binding, type", do: declared("e.q", sends(&wire.QueueBind{Queue: "e.q", Exchange: "amq.headers", Arguments: args(field("x-match", wire.Int32(1)))})),
			want: `channel 406 50.20 PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr`,
		},
	}
}

func exchangeFaults() []fault {
	return []fault{
		{
			name: "passive exchange", do: sends(&wire.ExchangeDeclare{Exchange: "e.nox", Type: "direct", Passive: true}),
			want: "channel 404 40.10 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "publish to no exchange", do: publishes(message{exchange: "e.nox", key: "k", body: "x"}),
			want: "channel 404 60.40 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "exchange bind from nothing", do: sends(&wire.ExchangeBind{Source: "e.nox", Destination: "amq.fanout"}),
			want: "channel 404 40.30 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "exchange bind to nothing", do: sends(&wire.ExchangeBind{Source: "amq.fanout", Destination: "e.nox"}),
			want: "channel 404 40.30 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "exchange bind default", do: sends(&wire.ExchangeBind{Source: "", Destination: "amq.fanout"}),
			want: "channel 403 40.30 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{
			name: "type does not match", do: sends(&wire.ExchangeDeclare{Exchange: "amq.direct", Type: "fanout", Durable: true}),
			want: "channel 406 40.10 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'",
		},
		{
			name: "exchange durable does not match", do: sends(&wire.ExchangeDeclare{Exchange: "amq.direct", Type: "direct"}),
			want: "channel 406 40.10 PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true'",
		},
		{
			name: "reserved exchange name", do: sends(&wire.ExchangeDeclare{Exchange: "amq.mine", Type: "direct"}),
			want: "channel 403 40.10 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
		},
		{
			name: "declare the default exchange", do: sends(&wire.ExchangeDeclare{Exchange: "", Type: "direct", Durable: true}),
			want: "channel 403 40.10 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{
			name: "passive default exchange", do: sends(&wire.ExchangeDeclare{Exchange: "", Passive: true}),
			want: "channel 403 40.10 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{
			name: "delete the default exchange", do: sends(&wire.ExchangeDelete{Exchange: ""}),
			want: "channel 403 40.20 ACCESS_REFUSED - operation not permitted on the default exchange",
		},
		{
			name: "delete a system exchange", do: sends(&wire.ExchangeDelete{Exchange: "amq.direct"}),
			want: "channel 403 40.20 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
		},
		{name: "internal exchange", do: func(p *peer) {
			p.send(1, &wire.ExchangeDeclare{Exchange: "e.internal", Type: "fanout", AutoDelete: true, Internal: true})
			expect[*wire.ExchangeDeclareOK](p, 1)
			p.publish(1, message{exchange: "e.internal", body: "x"})
		}, want: "channel 403 60.40 ACCESS_REFUSED - cannot publish to internal exchange 'e.internal' in vhost '/'"},
		{
			name: "unknown type", do: sends(&wire.ExchangeDeclare{Exchange: "e.type", Type: "x-what"}),
			want: "channel 406 40.10 PRECONDITION_FAILED - unknown exchange type 'x-what'",
			old:  "connection 503 40.10 COMMAND_INVALID - unknown exchange type 'x-what'",
		},
		{name: "exchange in use", do: func(p *peer) {
			p.queue(1, "e.q")
			p.send(1, &wire.ExchangeDeclare{Exchange: "e.used", Type: "fanout", AutoDelete: true})
			expect[*wire.ExchangeDeclareOK](p, 1)
			p.send(1, &wire.QueueBind{Queue: "e.q", Exchange: "e.used"})
			expect[*wire.QueueBindOK](p, 1)
			p.send(1, &wire.ExchangeDelete{Exchange: "e.used", IfUnused: true})
		}, want: "channel 406 40.20 PRECONDITION_FAILED - exchange 'e.used' in vhost '/' in use"},
	}
}

func basicFaults() []fault {
	big := strings.Repeat("x", 70)
	return []fault{
		{name: "exclusive consumer is there", do: declared("e.q", func(p *peer) {
			p.consume(1, wire.BasicConsume{Queue: "e.q", Exclusive: true})
			p.send(1, &wire.BasicConsume{Queue: "e.q"})
		}), want: "channel 403 60.20 ACCESS_REFUSED - queue 'e.q' in vhost '/' in exclusive use"},
		{name: "exclusive where others are", do: declared("e.q", func(p *peer) {
			p.consume(1, wire.BasicConsume{Queue: "e.q"})
			p.send(1, &wire.BasicConsume{Queue: "e.q", Exclusive: true})
		}), want: "channel 403 60.20 ACCESS_REFUSED - queue 'e.q' in vhost '/' in exclusive use"},
		{
			name: "consumer priority in words", do: declared("e.q", sends(&wire.BasicConsume{Queue: "e.q", Arguments: args(field("x-priority", wire.String("high")))})),
			want: `channel 406 60.20 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'e.q' in vhost '/': "expected integer, got longstr"`,
		},
		{
			name: "offset in a stream", ours: true, do: declared("e.q", sends(&wire.BasicConsume{Queue: "e.q", Arguments: args(field("x-stream-offset", wire.String("first")))})),
			want: "channel 406 60.20 PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 'e.q' in vhost '/': streams come in a later release of Warren",
		},
		{
			name: "unknown tag", do: sends(&wire.BasicAck{DeliveryTag: 5}),
			want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 5",
		},
		{
			name: "tag 0", do: sends(&wire.BasicAck{}),
			want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 0",
		},
		{
			name: "nack of an unknown tag", do: sends(&wire.BasicNack{DeliveryTag: 7}),
			want: "channel 406 60.120 PRECONDITION_FAILED - unknown delivery tag 7",
		},
		{
			name: "reject of an unknown tag", do: sends(&wire.BasicReject{DeliveryTag: 7}),
			want: "channel 406 60.90 PRECONDITION_FAILED - unknown delivery tag 7",
		},
		{
			name: "unknown tag, multiple", do: sends(&wire.BasicAck{DeliveryTag: 9, Multiple: true}),
			want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 9",
		},
		{name: "ack twice", do: declared("e.q", func(p *peer) {
			p.to(1, "e.q", "x")
			p.get(1, "e.q", false)
			p.send(1, &wire.BasicAck{DeliveryTag: 1}, &wire.BasicAck{DeliveryTag: 1})
		}), want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"},
		{name: "ack twice, multiple", do: declared("e.q", func(p *peer) {
			p.to(1, "e.q", "x", "y")
			p.get(1, "e.q", false)
			p.get(1, "e.q", false)
			p.send(1, &wire.BasicAck{DeliveryTag: 2}, &wire.BasicAck{DeliveryTag: 2, Multiple: true})
		}), want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 2"},
		{name: "ack of what needs none", do: declared("e.q", func(p *peer) {
			p.to(1, "e.q", "x")
			p.get(1, "e.q", true)
			p.send(1, &wire.BasicAck{DeliveryTag: 1})
		}), want: "channel 406 60.80 PRECONDITION_FAILED - unknown delivery tag 1"},
		{name: "consumer tag again", do: declared("e.q", func(p *peer) {
			p.consume(1, wire.BasicConsume{Queue: "e.q", ConsumerTag: "t"})
			p.send(1, &wire.BasicConsume{Queue: "e.q", ConsumerTag: "t"})
		}), want: "connection 530 60.20 NOT_ALLOWED - attempt to reuse consumer tag 't'"},
		{name: "immediate", do: func(p *peer) {
			p.raw((&wire.BasicPublish{RoutingKey: []byte("k"), Immediate: true}).AppendFrame(nil, 1))
			p.raw(wire.AppendHeader(nil, 1, nil, 0))
		}, want: "connection 540 60.40 NOT_IMPLEMENTED - immediate=true"},
		{
			name: "prefetch in bytes", do: sends(&wire.BasicQos{PrefetchSize: 100}),
			want: "connection 540 60.10 NOT_IMPLEMENTED - prefetch_size!=0 (100)",
		},
		{
			name: "flow off", do: sends(&wire.ChannelFlow{}),
			want: "connection 540 20.20 NOT_IMPLEMENTED - active=false",
		},
		{
			name: "recover without requeue", do: sends(&wire.BasicRecover{}),
			want: "connection 540 60.110 NOT_IMPLEMENTED - requeue=false",
		},
		{
			name: "negative expiration", do: publishes(message{key: "k", props: wire.Properties{Expiration: "-1"}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
		},
		{
			name: "expiration in words", do: publishes(message{key: "k", props: wire.Properties{Expiration: "abc"}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration 'abc': no_integer",
		},
		{
			name: "expiration with a unit", do: publishes(message{key: "k", props: wire.Properties{Expiration: "10x"}}),
			want: `channel 406 60.40 PRECONDITION_FAILED - invalid expiration '10x': {leftover_string,"x"}`,
		},
		{
			name: "no expiration", do: publishes(message{key: "k", props: wire.Properties{Present: wire.HasExpiration}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration '': no_integer",
		},
		{
			name: "expiration too large", do: publishes(message{key: "k", props: wire.Properties{Expiration: "99999999999999"}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration '99999999999999': {value_too_large,99999999999999}",
		},
		{
			name: "expiration of many digits", ours: true, do: publishes(message{key: "k", props: wire.Properties{Expiration: big[:0] + strings.Repeat("9", 30)}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration '" + strings.Repeat("9", 30) + "': {value_too_large," + strings.Repeat("9", 30) + "}",
		},
		{
			name: "somebody else's user-id", do: publishes(message{key: "k", props: wire.Properties{UserID: "root"}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'",
		},
		{
			name: "CC is no array", do: publishes(message{key: "k", props: wire.Properties{Headers: args(field("CC", wire.String("q")))}}),
			want: `channel 406 60.40 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}`,
		},
		{
			name: "BCC is no array", do: publishes(message{key: "k", props: wire.Properties{Headers: args(field("BCC", wire.TableOf(nil)))}}),
			want: `channel 406 60.40 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",table}`,
		},
		{ // X14
			name: "more keys than a message may name", ours: true, do: publishes(message{key: "k", props: wire.Properties{
				Headers: args(field("CC", wire.Array(many(600)...)), field("BCC", wire.Array(many(401)...))),
			}}),
			want: `channel 406 60.40 PRECONDITION_FAILED - invalid message: {too_many_routing_keys,"BCC",1001}`,
		},
		{
			name: "faults with the exchange come before those with the message",
			do:   publishes(message{exchange: "e.nox", props: wire.Properties{Expiration: "-1", UserID: "root"}}),
			want: "channel 404 60.40 NOT_FOUND - no exchange 'e.nox' in vhost '/'",
		},
		{
			name: "the expiration before the user", do: publishes(message{key: "k", props: wire.Properties{
				Expiration: "x", UserID: "root", Headers: args(field("CC", wire.Bool(true))),
			}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - invalid expiration 'x': no_integer",
		},
		{
			name: "the user before the headers", do: publishes(message{key: "k", props: wire.Properties{
				UserID: "root", Headers: args(field("CC", wire.Bool(true))),
			}}),
			want: "channel 406 60.40 PRECONDITION_FAILED - user_id property set to 'root' but authenticated user was 'guest'",
		},
		{
			name: "message too large", ours: true, do: raws(method(1, &wire.BasicPublish{}), header(1, 1<<40)),
			want: "channel 406 60.40 PRECONDITION_FAILED - message size 1099511627776 is larger than configured max size 16777216",
		},
		{
			name: "commit without tx", do: sends(&wire.TxCommit{}),
			want: "channel 406 90.20 PRECONDITION_FAILED - channel is not transactional",
		},
		{
			name: "rollback without tx", do: sends(&wire.TxRollback{}),
			want: "channel 406 90.30 PRECONDITION_FAILED - channel is not transactional",
		},
		{
			name: "tx after confirm", do: sends(&wire.ConfirmSelect{NoWait: true}, &wire.TxSelect{}),
			want: "channel 406 90.10 PRECONDITION_FAILED - cannot switch from confirm to tx mode",
		},
		{
			name: "confirm after tx", do: func(p *peer) {
				p.send(1, &wire.TxSelect{})
				expect[*wire.TxSelectOK](p, 1)
				p.send(1, &wire.ConfirmSelect{})
			},
			want: "channel 406 85.10 PRECONDITION_FAILED - cannot switch from tx to confirm mode",
		},
	}
}

func frameFaults() []fault {
	return []fault{
		{
			name: "second open", do: sends(&wire.ChannelOpen{}),
			want: "connection 504 20.10 CHANNEL_ERROR - second 'channel.open' seen",
		},
		{
			name: "channel not open", do: func(p *peer) { p.send(2, &wire.QueueDeclare{Queue: "e.q"}) },
			want: "connection 504 50.10 CHANNEL_ERROR - expected 'channel.open'",
		},
		{
			name: "header without a method", do: raws(header(1, 5)),
			want: `connection 505 0.0 UNEXPECTED_FRAME - expected method frame, got non method frame instead`,
		},
		{
			name: "body without a method", do: raws(body(1, "12345")),
			want: `connection 505 0.0 UNEXPECTED_FRAME - expected method frame, got non method frame instead`,
		},
		{
			name: "method instead of a header", do: raws(method(1, &wire.BasicPublish{}), method(1, &wire.BasicQos{})),
			want: `connection 505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead`,
		},
		{
			name: "body instead of a header", do: raws(method(1, &wire.BasicPublish{}), body(1, "abc")),
			want: `connection 505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead`,
		},
		{
			name: "body longer than its header says", ours: true, do: raws(method(1, &wire.BasicPublish{}), header(1, 5), body(1, "123456")),
			want: `connection 505 60.40 UNEXPECTED_FRAME - type 3, all octets = <<"123456">>`,
		},
		{
			name: "header of another class", do: raws(method(1, &wire.BasicPublish{}), wire.Frame{Type: 2, Channel: 1, Payload: []byte{0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}),
			want: `connection 505 60.40 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead`,
		},
		{
			name: "method instead of a body", do: raws(method(1, &wire.BasicPublish{}), header(1, 5), method(1, &wire.BasicQos{})),
			want: `connection 505 60.40 UNEXPECTED_FRAME - expected content body, got non content body frame instead`,
		},
		{
			name: "header instead of a body", do: raws(method(1, &wire.BasicPublish{}), header(1, 5), header(1, 5)),
			want: `connection 505 60.40 UNEXPECTED_FRAME - expected content body, got non content body frame instead`,
		},
		{
			name: "heartbeat on a channel", do: raws(wire.Frame{Type: wire.FrameHeartbeat, Channel: 1}),
			want: `connection 505 0.0 UNEXPECTED_FRAME - type 8, all octets = <<>>`,
		},
		{
			name: "header on channel 0", do: raws(header(0, 0)),
			want: `connection 505 0.0 UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>`,
		},
		{
			name: "body on channel 0", do: raws(body(0, "0123456789012345678")),
			want: `connection 505 0.0 UNEXPECTED_FRAME - type 3, first 16 octets = <<"0123456789012345">>`,
		},
		{
			name: "unknown frame type", do: raws(wire.Frame{Type: 9, Channel: 1, Payload: []byte("x")}),
			want: `connection 501 0.0 FRAME_ERROR - type 9, all octets = <<"x">>: unknown_frame`,
		},
		{name: "bad end of frame", do: func(p *peer) {
			b := (&wire.BasicQos{}).AppendFrame(nil, 1)
			b[len(b)-1] = 0
			p.raw(b)
		}, want: `connection 501 0.0 FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0}`},
		{
			name: "frame too large", do: func(p *peer) { p.raw([]byte{3, 0, 1, 0, 2, 0, 9}) },
			want: `connection 501 0.0 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131081,131064}`,
		},
		{
			name: "unknown method", ours: true, do: raws(wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: []byte{0, 60, 0, 200}}),
			want: "connection 503 60.200 COMMAND_INVALID - unimplemented method",
		},
		{
			name: "unknown class", ours: true, do: raws(wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: []byte{1, 2, 0, 10}}),
			want: "connection 503 258.10 COMMAND_INVALID - unimplemented method",
		},
		{
			name: "method of the server", ours: true, do: sends(&wire.BasicDeliver{}),
			want: "connection 503 60.60 COMMAND_INVALID - unimplemented method",
		},
		{
			name: "channel method on channel 0", do: func(p *peer) { p.send(0, &wire.QueueDeclare{Queue: "q"}) },
			want: "connection 504 50.10 CHANNEL_ERROR - unexpected method in connection state running",
		},
		{
			name: "connection method on a channel", do: sends(&wire.ConnectionOpen{VirtualHost: "/"}),
			want: "connection 503 10.40 COMMAND_INVALID - unimplemented method",
		},
		{
			name: "open twice", do: func(p *peer) { p.send(0, &wire.ConnectionOpen{VirtualHost: "/"}) },
			want: "connection 504 10.40 CHANNEL_ERROR - unexpected method in connection state running",
		},
		{name: "unknown field type", ours: true, do: func(p *peer) {
			b := (&wire.QueueDeclare{Queue: "q", Arguments: args(field("k", wire.Bool(true)))}).Append(nil)
			b[len(b)-2] = '?'
			p.raw(wire.AppendFrame(nil, wire.Frame{Type: wire.FrameMethod, Channel: 1, Payload: b}))
		}, want: "connection 502 50.10 SYNTAX_ERROR - unknown field type \"?\" in field table"},
		{name: "channels", do: func(p *peer) {
			q := dial(p.t, p.nc.RemoteAddr().String())
			q.login(nil)
			q.send(0, &wire.ConnectionTuneOK{ChannelMax: 2, FrameMax: 131072}, &wire.ConnectionOpen{VirtualHost: "/"})
			expect[*wire.ConnectionOpenOK](q, 0)
			q.channel(1)
			q.channel(2)
			q.send(3, &wire.ChannelOpen{})
			p.nc, p.buf = q.nc, nil
		}, want: "connection 530 0.0 NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"},
		{name: "publish twice, both to no exchange", do: func(p *peer) {
			p.publish(1, message{exchange: "e.nox"}, message{exchange: "e.nox"}, message{exchange: "e.nox2"})
		}, want: "channel 404 60.40 NOT_FOUND - no exchange 'e.nox' in vhost '/'"},
		{
			name: "no reply asked for", do: sends(&wire.QueueDeclare{Queue: "amq.mine", NoWait: true}),
			want: "channel 403 50.10 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
		},
	}
}

// behaviours 1 (what closes the channel and what the connection), 2 (texts) and
// 3 (frames out of order)
//
// X2, X4, X10: sizes and counts beyond what was agreed.
func TestErrors(t *testing.T) {
	addr := *foreign
	if addr == "" {
		addr = broker(t)
	}
	for _, set := range [][]fault{queueFaults(), exchangeFaults(), basicFaults(), frameFaults()} {
		for _, f := range set {
			if *foreign != "" && f.ours {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				p := session(t, addr)
				f.do(p)
				got, want := p.closed(), f.want
				if *foreign != "" && f.old != "" {
					want = f.old
				}
				if got != want {
					t.Fatalf("\n got %s\nwant %s", got, want)
				}
				if *foreign != "" {
					return // it hangs up late
				}
				if strings.HasPrefix(got, "connection 501") {
					return // TestHangUp waits for the end
				}
				if strings.HasPrefix(got, "connection") {
					p.eof()
					return
				}
				// Nothing but the channel ended, and its number is free.
				p.channel(1)
				p.close()
			})
		}
	}
}
