package amqp091

import (
	"fmt"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func (ch *channel) qos(m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return errorf(wire.CodeNotImplemented, wire.IDBasicQos, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	ch.send(&wire.BasicQosOK{})
	if !m.Global {
		ch.prefetch = uint32(m.PrefetchCount)
		ch.seen.prefetch.Store(ch.prefetch)
		return nil
	}
	if ch.limit == nil {
		ch.limit = broker.NewLimit(0)
	}
	ch.limit.Set(uint32(m.PrefetchCount))
	ch.seen.global.Store(uint32(m.PrefetchCount))
	return nil
}

func (ch *channel) consume(m *wire.BasicConsume) error {
	name, err := ch.queueName(m.Queue, wire.IDBasicConsume)
	if err != nil {
		return err
	}
	tag, err := ch.newTag(m.ConsumerTag)
	if err != nil {
		return err
	}
	if name == broker.ReplyQueue {
		return ch.consumeReplies(m, tag)
	}
	if ch.limit == nil {
		ch.limit = broker.NewLimit(0)
	}
	priority, err := ch.priority(name, m.Arguments)
	if err != nil {
		return err
	}
	k := &consumer{ch: ch, tag: tag, name: name, noAck: m.NoAck, args: kept(m.Arguments)}
	if k.patience, k.ownPatience, err = consumerTimeout(m.Arguments); err != nil {
		return err
	}
	_, err = ch.c.session.Consume(ch.c.ctx, broker.ConsumeOptions{
		Queue: name, NoAck: m.NoAck, Exclusive: m.Exclusive, Priority: priority,
		Prefetch: ch.prefetch, Limit: ch.limit, Gate: ch, Sink: ch, User: k, Channel: ch.id, Count: &ch.seen.consumers,
	}, func(bc *broker.Consumer) {
		// From the shard's turn: deliveries come behind consume-ok.
		k.bc, k.queue, k.from, k.volatile = bc, bc.Queue, bc.Shard(), bc.Volatile
		k.quorum = bc.Quorum
		if !m.NoWait {
			ch.send(&wire.BasicConsumeOK{ConsumerTag: tag})
		}
	})
	if err != nil {
		return brokerError(err, wire.IDBasicConsume)
	}
	ch.consumers[tag] = k
	ch.c.watch(k)
	return nil
}

// newTag returns the tag of a consumer to come.
func (ch *channel) newTag(tag string) (string, error) {
	if tag == "" {
		tag = "amq.ctag-" + broker.RandomName()
	}
	ch.c.forgetEnded()
	if _, ok := ch.consumers[tag]; ok {
		return "", errorf(wire.CodeNotAllowed, wire.IDBasicConsume, "attempt to reuse consumer tag '%s'", tag)
	}
	if most := ch.c.f.o.MaxConsumers; most > 0 && len(ch.consumers) >= most {
		return "", errorf(wire.CodeNotAllowed, wire.IDBasicConsume, "reached maximum (%d) of consumers per channel", most)
	}
	return tag, nil
}

// priority reads a consumer's arguments. Streams are not here yet: what would
// be skipped in one must not come from another queue.
func (ch *channel) priority(queue string, args wire.Table) (int32, error) {
	bad := func(arg, format string, a ...any) error {
		return errorf(wire.CodePreconditionFailed, wire.IDBasicConsume, "invalid arg '%s' for queue '%s' in vhost '%s': %s",
			arg, queue, ch.c.session.VHost(), fmt.Sprintf(format, a...))
	}
	if _, ok := args.Get("x-stream-offset"); ok {
		return 0, bad("x-stream-offset", "streams come in a later release of Warren")
	}
	v, ok := args.Get("x-priority")
	if !ok {
		return 0, nil
	}
	n, ok := v.Int()
	if !ok {
		return 0, bad("x-priority", "%q", "expected integer, got "+broker.TypeName(value(v)))
	}
	return int32(min(max(n, -1<<31), 1<<31-1)), nil
}

func (ch *channel) cancel(m *wire.BasicCancel) error {
	ch.c.forgetEnded()
	if k := ch.consumers[m.ConsumerTag]; k != nil && k == ch.replies {
		ch.endReply()
		delete(ch.consumers, m.ConsumerTag)
	} else if k != nil {
		if err := k.bc.Cancel(ch.c.ctx); err != nil {
			return brokerError(err, wire.IDBasicCancel)
		}
		delete(ch.consumers, m.ConsumerTag)
	}
	return ch.reply(m.NoWait, &wire.BasicCancelOK{ConsumerTag: m.ConsumerTag})
}

func (ch *channel) get(m *wire.BasicGet) error {
	name, err := ch.queueName(m.Queue, wire.IDBasicGet)
	if err != nil {
		return err
	}
	got, err := ch.c.session.Get(ch.c.ctx, name)
	if err != nil {
		return brokerError(err, wire.IDBasicGet)
	}
	if got.Empty {
		ch.send(&wire.BasicGetEmpty{})
		return nil
	}
	got.Trace(ch.c.session, ch.id)
	k := ch.getter[name]
	if k == nil || k.queue != got.ID || k.noAck != m.NoAck {
		k = &consumer{ch: ch, name: name, noAck: m.NoAck, queue: got.ID, from: got.From, volatile: got.Volatile, quorum: got.Quorum}
		if ch.getter == nil || len(ch.getter) >= maxGetters {
			ch.getter = map[string]*consumer{}
		}
		ch.getter[name] = k
	}
	ch.c.watch(k)
	ch.c.out.got(k, got.Delivery, count(got.Remaining))
	return nil
}

// maxGetters bounds the queues a channel remembers of basic.get.
const maxGetters = 64

// forgetEnded forgets the consumers that the broker ended.
func (c *conn) forgetEnded() {
	for _, k := range c.out.takeEnded() {
		if k.ch.consumers[k.tag] == k {
			delete(k.ch.consumers, k.tag)
		}
		if k.ch.limit != nil {
			k.ch.limit.Done(0)
		}
	}
}

// recover gives back everything the channel holds.
func (ch *channel) recover(requeue bool, id wire.ID) error {
	if !requeue {
		return errorf(wire.CodeNotImplemented, id, "requeue=false")
	}
	if err := ch.settle(0, true, broker.Requeue, id); err != nil {
		return err
	}
	ch.c.flushSettles()
	return nil
}
