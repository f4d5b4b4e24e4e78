package client

import (
	"context"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A Delivery is a message to a consumer. Its slices are good until the callback
// returns: copy what is to be kept.
type Delivery struct {
	ConsumerTag string
	Tag         uint64
	Redelivered bool
	Exchange    []byte
	RoutingKey  []byte
	Props       wire.Props // checked
	Body        []byte
}

// A Message is a message that was fetched. It is the caller's.
type Message struct {
	Delivery
	Remaining uint32 // messages left in the queue
}

// A Return is a message that came back. Its slices are good until the callback
// returns.
type Return struct {
	Code       wire.ReplyCode
	Text       []byte
	Exchange   []byte
	RoutingKey []byte
	Props      wire.Props // checked
	Body       []byte
}

// A consumer is owned by readLoop.
type consumer struct {
	tag     string
	deliver func([]Delivery)
	batch   []Delivery
}

func (k *consumer) handOut() {
	if len(k.batch) == 0 {
		return
	}
	k.deliver(k.batch)
	clear(k.batch)
	k.batch = k.batch[:0]
}

// Consume starts a consumer and returns its tag. The callback gets all the
// messages of one read at once; it runs on the connection's reading goroutine.
// Messages can come before Consume returns. NoWait is ignored.
func (ch *Channel) Consume(ctx context.Context, m wire.BasicConsume, deliver func([]Delivery)) (tag string, err error) {
	m.NoWait = false
	a, err := ch.call(ctx, &m, call{want: wire.IDBasicConsumeOK, deliver: deliver})
	if err != nil {
		return "", err
	}
	return a.method.(*wire.BasicConsumeOK).ConsumerTag, nil
}

// Cancel ends a consumer. When it returns, the callback has had its last call.
// NoWait is ignored.
func (ch *Channel) Cancel(ctx context.Context, consumerTag string) error {
	_, err := ch.call(ctx, &wire.BasicCancel{ConsumerTag: consumerTag}, call{want: wire.IDBasicCancelOK})
	return err
}

// Get fetches one message, nil when the queue is empty.
func (ch *Channel) Get(ctx context.Context, m wire.BasicGet) (*Message, error) {
	a, err := ch.call(ctx, &m, call{want: wire.IDBasicGetOK, or: wire.IDBasicGetEmpty})
	if err != nil {
		return nil, err
	}
	return a.message, nil
}

// Ack buffers an acknowledgement.
func (ch *Channel) Ack(m wire.BasicAck) error {
	c := ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ch.unusable(); err != nil {
		return err
	}
	c.mu.out = wire.AppendAck(c.mu.out, ch.number, m.DeliveryTag, m.Multiple)
	return nil
}

// Nack buffers a negative acknowledgement.
func (ch *Channel) Nack(m wire.BasicNack) error {
	c := ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ch.unusable(); err != nil {
		return err
	}
	c.mu.out = wire.AppendNack(c.mu.out, ch.number, m.DeliveryTag, m.Multiple, m.Requeue)
	return nil
}

// Reject buffers a rejection.
func (ch *Channel) Reject(m wire.BasicReject) error { return ch.send(&m, nil) }
