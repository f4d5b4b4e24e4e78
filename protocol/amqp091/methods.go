package amqp091

import (
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// method handles a method of the channel. The hot ones come first and leave
// what this read published where it is; the others see it published.
func (ch *channel) method(f wire.Frame) error {
	payload := f.Payload
	id, args, err := wire.SplitMethod(payload)
	if err != nil {
		return err
	}
	switch id {
	case wire.IDBasicPublish:
		if ch.mustWait() {
			ch.park(f)
			return nil
		}
		return ch.content.begin(args)
	case wire.IDBasicAck:
		var m wire.BasicAck
		if err := m.Decode(args); err != nil {
			return err
		}
		return ch.settle(m.DeliveryTag, m.Multiple, broker.Accept, id)
	case wire.IDBasicNack:
		var m wire.BasicNack
		if err := m.Decode(args); err != nil {
			return err
		}
		return ch.settle(m.DeliveryTag, m.Multiple, rejected(m.Requeue), id)
	case wire.IDBasicReject:
		var m wire.BasicReject
		if err := m.Decode(args); err != nil {
			return err
		}
		return ch.settle(m.DeliveryTag, false, rejected(m.Requeue), id)
	}
	if err := ch.c.flush(); err != nil {
		return err
	}
	if ch.closing {
		return ch.closingFrame(f) // a publish before it failed
	}
	if ch.held {
		ch.waiting(f) // one before it does
		return nil
	}
	if asksQueue(id) {
		if err := ch.settlePublishes(); err != nil {
			return err
		}
	}
	m, err := wire.DecodeMethod(payload)
	if err != nil {
		return err
	}
	return ch.rare(id, m)
}

// asksQueue reports whether the answer to a method depends on what is in a
// queue.
func asksQueue(id wire.ID) bool {
	switch id {
	case wire.IDBasicGet, wire.IDQueueDeclare, wire.IDQueuePurge, wire.IDQueueDelete:
		return true
	default:
		return false
	}
}

func rejected(requeue bool) broker.Outcome {
	if requeue {
		return broker.Requeue
	}
	return broker.Reject
}

// rare handles everything but publishes and settles.
func (ch *channel) rare(id wire.ID, m wire.Method) error {
	switch m := m.(type) {
	case *wire.ChannelOpen:
		return errorf(wire.CodeChannelError, id, "second 'channel.open' seen")
	case *wire.ChannelClose:
		return ch.peerCloses()
	case *wire.ChannelCloseOK:
		return nil
	case *wire.ChannelFlow:
		if !m.Active {
			return errorf(wire.CodeNotImplemented, id, "active=false")
		}
		ch.send(&wire.ChannelFlowOK{Active: true})
		return nil
	case *wire.ChannelFlowOK:
		return nil
	case *wire.AccessRequest:
		ch.send(&wire.AccessRequestOK{Ticket: 1})
		return nil
	case *wire.ConfirmSelect:
		if ch.tx != nil {
			return errorf(wire.CodePreconditionFailed, id, "cannot switch from tx to confirm mode")
		}
		ch.confirm = true
		ch.seen.confirm.Store(true)
		return ch.reply(m.NoWait, &wire.ConfirmSelectOK{})
	case *wire.BasicQos:
		return ch.qos(m)
	case *wire.BasicConsume:
		return ch.consume(m)
	case *wire.BasicCancel:
		return ch.cancel(m)
	case *wire.BasicCancelOK:
		return nil
	case *wire.BasicGet:
		return ch.get(m)
	case *wire.BasicRecover:
		if err := ch.recover(m.Requeue, id); err != nil {
			return err
		}
		ch.send(&wire.BasicRecoverOK{})
		return nil
	case *wire.BasicRecoverAsync:
		return ch.recover(m.Requeue, id)
	case *wire.TxSelect:
		return ch.txSelect()
	case *wire.TxCommit:
		return ch.txCommit()
	case *wire.TxRollback:
		return ch.txRollback()
	}
	return ch.topology(id, m)
}

// reply answers unless the client asked for no answer.
func (ch *channel) reply(noWait bool, m wire.Method) error {
	if !noWait {
		ch.send(m)
	}
	return nil
}

// topology handles the classes exchange and queue.
func (ch *channel) topology(id wire.ID, m wire.Method) error {
	ctx, s := ch.c.ctx, ch.c.session
	switch m := m.(type) {
	case *wire.ExchangeDeclare:
		err := s.DeclareExchange(ctx, broker.ExchangeOptions{
			Name: m.Exchange, Type: m.Type, Passive: m.Passive, Durable: m.Durable,
			AutoDelete: m.AutoDelete, Internal: m.Internal, Args: table(m.Arguments),
		})
		return ch.answered(id, err, m.NoWait, &wire.ExchangeDeclareOK{})
	case *wire.ExchangeDelete:
		err := s.DeleteExchange(ctx, m.Exchange, m.IfUnused)
		return ch.answered(id, err, m.NoWait, &wire.ExchangeDeleteOK{})
	case *wire.ExchangeBind:
		err := s.Bind(ctx, broker.Binding{To: exchange.Exchange, Destination: m.Destination, Source: m.Source, Key: m.RoutingKey, Args: table(m.Arguments)})
		return ch.answered(id, err, m.NoWait, &wire.ExchangeBindOK{})
	case *wire.ExchangeUnbind:
		err := s.Unbind(ctx, broker.Binding{To: exchange.Exchange, Destination: m.Destination, Source: m.Source, Key: m.RoutingKey, Args: table(m.Arguments)})
		return ch.answered(id, err, m.NoWait, &wire.ExchangeUnbindOK{})
	case *wire.QueueDeclare:
		return ch.declareQueue(m)
	case *wire.QueueBind:
		name, err := ch.queueName(m.Queue, id)
		if err != nil {
			return err
		}
		key := m.RoutingKey
		if m.Queue == "" && key == "" {
			key = name
		}
		err = s.Bind(ctx, broker.Binding{Destination: name, Source: m.Exchange, Key: key, Args: table(m.Arguments)})
		return ch.answered(id, err, m.NoWait, &wire.QueueBindOK{})
	case *wire.QueueUnbind:
		name, err := ch.queueName(m.Queue, id)
		if err != nil {
			return err
		}
		err = s.Unbind(ctx, broker.Binding{Destination: name, Source: m.Exchange, Key: m.RoutingKey, Args: table(m.Arguments)})
		return ch.answered(id, err, false, &wire.QueueUnbindOK{})
	case *wire.QueuePurge:
		name, err := ch.queueName(m.Queue, id)
		if err != nil {
			return err
		}
		n, err := s.Purge(ctx, name)
		return ch.answered(id, err, m.NoWait, &wire.QueuePurgeOK{MessageCount: count(n)})
	case *wire.QueueDelete:
		name, err := ch.queueName(m.Queue, id)
		if err != nil {
			return err
		}
		n, err := s.DeleteQueue(ctx, name, broker.DeleteOptions{IfUnused: m.IfUnused, IfEmpty: m.IfEmpty})
		return ch.answered(id, err, m.NoWait, &wire.QueueDeleteOK{MessageCount: count(n)})
	}
	return errorf(wire.CodeCommandInvalid, id, "unimplemented method")
}

func (ch *channel) answered(id wire.ID, err error, noWait bool, m wire.Method) error {
	if err != nil {
		return brokerError(err, id)
	}
	return ch.reply(noWait, m)
}

// count fits a number of messages into its field.
func count(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }

// queueName is the name a method means: the queue declared last, if empty.
func (ch *channel) queueName(name string, id wire.ID) (string, error) {
	if name == "" {
		if ch.lastQueue == "" {
			return "", errorf(wire.CodeNotFound, id, "no previously declared queue")
		}
		return ch.lastQueue, nil
	}
	return stripped(name), nil
}

func (ch *channel) declareQueue(m *wire.QueueDeclare) error {
	name := stripped(m.Queue)
	info, err := ch.c.session.DeclareQueue(ch.c.ctx, broker.QueueOptions{
		Name: name, Passive: m.Passive, Durable: m.Durable, Exclusive: m.Exclusive,
		AutoDelete: m.AutoDelete, Args: table(m.Arguments), NoCounts: m.NoWait,
	})
	if err != nil {
		return brokerError(err, wire.IDQueueDeclare)
	}
	ch.lastQueue = info.Name
	return ch.reply(m.NoWait, &wire.QueueDeclareOK{Queue: info.Name, MessageCount: count(info.Ready), ConsumerCount: uint32(info.Consumers)})
}
