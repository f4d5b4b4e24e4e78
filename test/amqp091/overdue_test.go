package amqp091_test

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// What is held for too long closes its channel, and is there for others. Who
// settles in time, or says that it takes longer, is left alone.
func TestConsumerTimeout(t *testing.T) {
	t.Parallel()
	r := own(t, func(o *node.Options) { o.Limits.ConsumerTimeout = time.Second })
	const late = "channel 406 0.0 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: "
	const hint = " ms. This timeout value can be configured, see consumers doc guide to learn more"
	type hold func(p *peer, q string)
	consume := func(fs ...wire.Field) hold {
		return func(p *peer, q string) {
			p.consume(1, wire.BasicConsume{Queue: q, Arguments: fs})
			p.deliveries(1, 2)
		}
	}
	queueArg := args(field("x-consumer-timeout", wire.Int32(300)))
	for _, tc := range []struct {
		name string
		fs   []wire.Field // of the queue
		do   hold
		want string // the time
	}{
		{"node", nil, consume(), "1000"},
		{"queue", queueArg, consume(), "300"},
		{"consumer", queueArg, consume(field("x-consumer-timeout", wire.Int32(500))), "500"},
		{"get", queueArg, func(p *peer, q string) { p.get(1, q, false) }, "300"},
		{"cancelled", queueArg, func(p *peer, q string) {
			tag := p.consume(1, wire.BasicConsume{Queue: q})
			p.deliveries(1, 2)
			p.cancel(1, tag)
		}, "300"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, o := session(t, r.addr()), session(t, r.addr())
			q := p.durable(1, "late."+tc.name, tc.fs...)
			p.to(1, q, "1", "2")
			p.ready(1, q)
			began := time.Now()
			tc.do(p, q)
			if got := p.closed(); got != late+tc.want+hint {
				t.Error(got)
			}
			if took := time.Since(began); took < 250*time.Millisecond || tc.want == "1000" && took < 900*time.Millisecond {
				t.Errorf("after %v", took)
			}
			p.channel(1) // the connection goes on
			o.holds(1, q, 2)
			o.send(1, &wire.QueuePurge{Queue: q})
			expect[*wire.QueuePurgeOK](o, 1)
		})
	}
	t.Run("in time", func(t *testing.T) {
		queueArg := args(field("x-consumer-timeout", wire.Int32(1000))) // of which no acknowledgement needs much
		p := session(t, r.addr())
		q := p.durable(1, "late.not", queueArg...)
		p.consume(1, wire.BasicConsume{Queue: q, Arguments: args(field("x-consumer-timeout", wire.Int32(0)))}) // for ever
		p.channel(2)
		p.consume(2, wire.BasicConsume{Queue: p.durable(2, "late.acked", queueArg...)})
		p.to(1, q, "held")
		p.deliver(1)
		for end := time.Now().Add(1800 * time.Millisecond); time.Now().Before(end); {
			p.to(1, "late.acked", "x")
			p.send(2, &wire.BasicAck{DeliveryTag: p.deliver(2).DeliveryTag})
		}
		p.send(1, &wire.BasicAck{DeliveryTag: 1})
		p.closeChannel(1)
	})
}
