package client

import (
	"context"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// do calls a method whose answer says nothing. With noWait it has no answer:
// it is buffered, and an error closes the channel.
func (ch *Channel) do(ctx context.Context, m wire.Method, want wire.ID, noWait bool) error {
	if noWait {
		return ch.send(m, nil)
	}
	_, err := ch.call(ctx, m, call{want: want})
	return err
}

// QueueDeclare declares a queue. With NoWait the answer is empty.
func (ch *Channel) QueueDeclare(ctx context.Context, m wire.QueueDeclare) (wire.QueueDeclareOK, error) {
	if m.NoWait {
		return wire.QueueDeclareOK{}, ch.send(&m, nil)
	}
	a, err := ch.call(ctx, &m, call{want: wire.IDQueueDeclareOK})
	if err != nil {
		return wire.QueueDeclareOK{}, err
	}
	return *a.method.(*wire.QueueDeclareOK), nil
}

// QueueDelete deletes a queue and returns how many messages were in it. With
// NoWait that is 0.
func (ch *Channel) QueueDelete(ctx context.Context, m wire.QueueDelete) (messages uint32, err error) {
	if m.NoWait {
		return 0, ch.send(&m, nil)
	}
	a, err := ch.call(ctx, &m, call{want: wire.IDQueueDeleteOK})
	if err != nil {
		return 0, err
	}
	return a.method.(*wire.QueueDeleteOK).MessageCount, nil
}

// QueuePurge empties a queue and returns how many messages were in it. With
// NoWait that is 0.
func (ch *Channel) QueuePurge(ctx context.Context, m wire.QueuePurge) (messages uint32, err error) {
	if m.NoWait {
		return 0, ch.send(&m, nil)
	}
	a, err := ch.call(ctx, &m, call{want: wire.IDQueuePurgeOK})
	if err != nil {
		return 0, err
	}
	return a.method.(*wire.QueuePurgeOK).MessageCount, nil
}

// QueueBind binds a queue to an exchange.
func (ch *Channel) QueueBind(ctx context.Context, m wire.QueueBind) error {
	return ch.do(ctx, &m, wire.IDQueueBindOK, m.NoWait)
}

// QueueUnbind removes a binding of a queue.
func (ch *Channel) QueueUnbind(ctx context.Context, m wire.QueueUnbind) error {
	return ch.do(ctx, &m, wire.IDQueueUnbindOK, false)
}

// ExchangeDeclare declares an exchange.
func (ch *Channel) ExchangeDeclare(ctx context.Context, m wire.ExchangeDeclare) error {
	return ch.do(ctx, &m, wire.IDExchangeDeclareOK, m.NoWait)
}

// ExchangeDelete deletes an exchange.
func (ch *Channel) ExchangeDelete(ctx context.Context, m wire.ExchangeDelete) error {
	return ch.do(ctx, &m, wire.IDExchangeDeleteOK, m.NoWait)
}

// ExchangeBind binds an exchange to another.
func (ch *Channel) ExchangeBind(ctx context.Context, m wire.ExchangeBind) error {
	return ch.do(ctx, &m, wire.IDExchangeBindOK, m.NoWait)
}

// ExchangeUnbind removes a binding of an exchange.
func (ch *Channel) ExchangeUnbind(ctx context.Context, m wire.ExchangeUnbind) error {
	return ch.do(ctx, &m, wire.IDExchangeUnbindOK, m.NoWait)
}

// Qos limits what is delivered unsettled.
func (ch *Channel) Qos(ctx context.Context, m wire.BasicQos) error {
	return ch.do(ctx, &m, wire.IDBasicQosOK, false)
}

// Recover has all unsettled deliveries of the channel requeued.
func (ch *Channel) Recover(ctx context.Context) error {
	return ch.do(ctx, &wire.BasicRecover{Requeue: true}, wire.IDBasicRecoverOK, false)
}

// Confirm asks for confirms: publishes from now on are numbered from 1.
func (ch *Channel) Confirm(ctx context.Context) error {
	return ch.do(ctx, &wire.ConfirmSelect{}, wire.IDConfirmSelectOK, false)
}

// TxSelect makes the channel transactional.
func (ch *Channel) TxSelect(ctx context.Context) error {
	return ch.do(ctx, &wire.TxSelect{}, wire.IDTxSelectOK, false)
}

// TxCommit commits what was published and settled.
func (ch *Channel) TxCommit(ctx context.Context) error {
	return ch.do(ctx, &wire.TxCommit{}, wire.IDTxCommitOK, false)
}

// TxRollback drops what was published and settled.
func (ch *Channel) TxRollback(ctx context.Context) error {
	return ch.do(ctx, &wire.TxRollback{}, wire.IDTxRollbackOK, false)
}
