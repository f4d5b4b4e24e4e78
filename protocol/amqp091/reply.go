package amqp091

import (
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// consumeReplies has the channel get what is sent to an address of its own:
// RabbitMQ's direct reply-to.
func (ch *channel) consumeReplies(m *wire.BasicConsume, tag string) error {
	switch {
	case ch.replies != nil:
		return errorf(wire.CodePreconditionFailed, wire.IDBasicConsume, "reply consumer already set")
	case !m.NoAck:
		return errorf(wire.CodePreconditionFailed, wire.IDBasicConsume, "reply consumer cannot acknowledge")
	}
	k := &consumer{ch: ch, tag: tag, name: m.Queue, noAck: true}
	var err error
	if k.reply, err = ch.c.session.OpenReply(k); err != nil {
		return brokerError(err, wire.IDBasicConsume)
	}
	// Nobody knows the address yet: no reply is before consume-ok.
	ch.replies = k
	ch.consumers[tag] = k
	return ch.reply(m.NoWait, &wire.BasicConsumeOK{ConsumerTag: tag})
}

// endReply closes the channel's address for replies, if it has one.
func (ch *channel) endReply() {
	if ch.replies != nil {
		ch.replies.reply.Close()
		ch.replies = nil
	}
}

// Reply implements broker.ReplySink.
func (k *consumer) Reply(blob []byte) bool { return k.ch.c.out.reply(k, blob) }

var _ broker.ReplySink = (*consumer)(nil)
