package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// amqpLink is a link over one channel of an AMQP 0-9-1 connection.
type amqpLink struct {
	conn *client.Conn
	ch   *client.Channel

	settled func(from, to uint64, ok bool) // set before the first publish
	sent    atomic.Uint64                  // messages published
	lowest  uint64                         // least number not known to be settled; owned by the reading goroutine

	props       []byte // scratch of Publish
	propsMean   meaning
	incoming    []incoming    // scratch of the reading goroutine
	canceled    chan struct{} // closed when the broker took the consumer away
	done        chan struct{} // closed when the link has ended, for either reason
	watchEnding sync.WaitGroup
}

// meaning is what the properties of a message depend on.
type meaning struct {
	id         string
	persistent bool
}

// dialAMQP is the dialFunc of this protocol.
func dialAMQP(ctx context.Context, b broker, who login) (link, error) {
	o := client.Options{
		Addr: b.Addr, VHost: b.VHost, User: who.User, Password: wire.Secret(who.Password), ConnectionName: "warren",
	}
	if b.TLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	conn, err := client.Dial(ctx, o)
	if err != nil {
		return nil, judge(err, errDenied)
	}
	l := &amqpLink{conn: conn, lowest: 1, canceled: make(chan struct{}), done: make(chan struct{})}
	l.ch, err = conn.Channel(ctx, client.ChannelOptions{
		OnConfirm: l.confirm,
		OnCancel:  func(string) { close(l.canceled) }, // a link has one consumer
	})
	if err != nil {
		return nil, errors.Join(judge(err, errRefused), conn.Close(ctx))
	}
	l.watchEnding.Go(func() {
		select {
		case <-l.ch.Done():
		case <-l.canceled:
		}
		close(l.done)
	})
	return l, nil
}

// judge marks what would fail the same way again. refused is what a 403 means
// here.
func judge(err, refused error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case wire.CodeAccessRefused:
		return fmt.Errorf("%w: %w", refused, err)
	case wire.CodeInvalidPath, wire.CodeNotFound, wire.CodePreconditionFailed, wire.CodeNotAllowed, wire.CodeNotImplemented, wire.CodeSyntaxError:
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

func (l *amqpLink) Declare(ctx context.Context, q queueSpec) error {
	var args wire.Table
	if q.Expires > 0 {
		args = args.With("x-expires", wire.Int64(q.Expires))
	}
	if _, err := l.ch.QueueDeclare(ctx, wire.QueueDeclare{Queue: q.Name, Durable: q.Durable, Arguments: args}); err != nil {
		return fmt.Errorf("declare %s: %w", q, judge(err, errRefused))
	}
	if q.Exchange == "" {
		return nil
	}
	if err := l.ch.QueueBind(ctx, wire.QueueBind{Queue: q.Name, Exchange: q.Exchange, RoutingKey: q.Key}); err != nil {
		return fmt.Errorf("bind %s to %q: %w", q, q.Exchange, judge(err, errRefused))
	}
	return nil
}

func (l *amqpLink) Delete(ctx context.Context, queue string) error {
	_, err := l.ch.QueueDelete(ctx, wire.QueueDelete{Queue: queue})
	return judge(err, errRefused)
}

func (l *amqpLink) Confirms(ctx context.Context, settled func(from, to uint64, ok bool)) error {
	l.settled = settled
	return judge(l.ch.Confirm(ctx), errRefused)
}

func (l *amqpLink) confirm(c client.Confirmation) {
	if c.Tag == 0 || c.Tag > l.sent.Load() || l.settled == nil {
		return // a broker that confirms what was never sent confirms nothing
	}
	from := c.Tag
	if c.Multiple {
		from = min(l.lowest, c.Tag)
	}
	if c.Multiple || c.Tag == l.lowest {
		l.lowest = max(l.lowest, c.Tag+1)
	}
	l.settled(from, c.Tag, c.Ack)
}

func (l *amqpLink) Publish(_ context.Context, msgs []outgoing) error {
	for i := range msgs {
		m := &msgs[i]
		if means := (meaning{m.ID, m.Persistent}); l.props == nil || means != l.propsMean {
			p := wire.Properties{DeliveryMode: 1, MessageID: m.ID, Present: wire.HasDeliveryMode}
			if m.Persistent {
				p.DeliveryMode = 2
			}
			l.props, l.propsMean = p.Append(l.props[:0]), means
		}
		l.sent.Add(1)
		if _, err := l.ch.Publish(&client.Publishing{Exchange: m.Exchange, RoutingKey: m.Key, Props: l.props, Body: m.Body}); err != nil {
			return judge(err, errRefused)
		}
	}
	return l.Flush()
}

func (l *amqpLink) Consume(ctx context.Context, queue string, o consumeOptions, got func([]incoming)) error {
	if o.Prefetch > 0 {
		if err := l.ch.Qos(ctx, wire.BasicQos{PrefetchCount: uint16(min(o.Prefetch, 65535))}); err != nil {
			return judge(err, errRefused)
		}
	}
	_, err := l.ch.Consume(ctx, wire.BasicConsume{Queue: queue, NoAck: o.AutoAck}, func(batch []client.Delivery) {
		l.incoming = l.incoming[:0]
		for i := range batch {
			d := &batch[i]
			l.incoming = append(l.incoming, incoming{Tag: d.Tag, Redelivered: d.Redelivered, ID: string(d.Props.MessageID()), Body: d.Body})
		}
		got(l.incoming)
		clear(l.incoming)
	})
	if err != nil {
		return fmt.Errorf("consume from %q: %w", queue, judge(err, errRefused))
	}
	return nil
}

func (l *amqpLink) Ack(tag uint64, multiple bool) error {
	return l.ch.Ack(wire.BasicAck{DeliveryTag: tag, Multiple: multiple})
}

func (l *amqpLink) Flush() error { return judge(l.ch.Flush(), errRefused) }

func (l *amqpLink) Done() <-chan struct{} { return l.done }

func (l *amqpLink) Err() error {
	if err := l.ch.Err(); err != nil {
		return judge(err, errRefused)
	}
	select {
	case <-l.canceled:
		return errors.New("the broker took the consumer away")
	default:
		return nil
	}
}

func (l *amqpLink) Close(ctx context.Context) error {
	err := l.conn.Close(ctx)
	l.watchEnding.Wait() // the channel ends with its connection
	return err
}
