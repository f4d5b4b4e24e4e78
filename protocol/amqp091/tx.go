package amqp091

import (
	"context"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A transaction is what a channel in the mode of class tx published and settled
// since its last commit or rollback. Messages are routed when they are
// published, and returned, if need be, by the commit.
type transaction struct {
	tx        *broker.Tx
	mandatory []bool
	acks      []held // taken from what the channel holds
}

// Bounds of what the transactions of a connection keep.
const (
	minTxBytes = 64 << 20 // or two of the largest messages
	maxTxItems = 1 << 16  // of one channel: publishes, and settles
)

func (ch *channel) txSelect() error {
	if ch.confirm {
		return errorf(wire.CodePreconditionFailed, wire.IDTxSelect, "cannot switch from confirm to tx mode")
	}
	if ch.tx == nil {
		if ch.publisher == nil {
			ch.publisher = ch.c.session.NewPublisher(ch)
		}
		ch.tx = &transaction{tx: ch.publisher.NewTx()}
		ch.seen.tx.Store(true)
	}
	ch.send(&wire.TxSelectOK{})
	return nil
}

// txPublish takes the publishes of a read.
func (ch *channel) txPublish(list []broker.Publication, mandatory []bool) error {
	x, c := ch.tx, ch.c
	defer ch.showTx()
	ctx, cancel := context.WithTimeout(c.ctx, c.f.o.SettleTimeout)
	defer cancel()
	for i := range list {
		before := x.tx.Size()
		if err := x.tx.Publish(ctx, &list[i]); err != nil {
			return brokerError(err, wire.IDBasicPublish)
		}
		x.mandatory = append(x.mandatory, mandatory[i])
		c.pubs.inTx += x.tx.Size() - before
		if most := max(minTxBytes, 2*c.f.o.MaxMessage); uint64(c.pubs.inTx) > most || x.tx.Len() > maxTxItems {
			return errorf(wire.CodePreconditionFailed, wire.IDBasicPublish,
				"transactions of a connection are limited to %d bytes, and one to %d messages", most, maxTxItems)
		}
	}
	return nil
}

// txSettle keeps the settles from the n-th on of what this read settled.
func (ch *channel) txSettle(n int, id wire.ID) error {
	x, l := ch.tx, &ch.c.acks.list
	defer ch.showTx()
	x.acks = append(x.acks, (*l)[n:]...)
	clear((*l)[n:])
	*l = (*l)[:n]
	if len(x.acks) > maxTxItems {
		return errorf(wire.CodePreconditionFailed, id, "a transaction settles more than %d messages", maxTxItems)
	}
	return nil
}

func (ch *channel) txCommit() error {
	x := ch.tx
	if x == nil {
		return errorf(wire.CodePreconditionFailed, wire.IDTxCommit, "channel is not transactional")
	}
	for i := 0; i < len(x.acks); {
		to, ss := x.acks[i].to, ch.c.acks.scratch[:0]
		ch.c.touch(to)
		for ; i < len(x.acks) && x.acks[i].to.from == to.from; i++ {
			ss = append(ss, x.acks[i].settle())
		}
		x.tx.Settle(to.from, ss)
		ch.c.acks.scratch = ss
	}
	ch.c.pubs.inTx -= x.tx.Size()
	err := x.tx.Commit(ch.c.ctx, func(i int, m *message.Message) {
		if x.mandatory[i] {
			ch.returned(m)
		}
	})
	x.mandatory = x.mandatory[:0]
	if err != nil {
		return brokerError(err, wire.IDTxCommit) // what is still held goes back with the channel
	}
	ch.c.freeLimits(x.acks)
	clear(x.acks)
	x.acks = x.acks[:0]
	ch.showTx()
	ch.send(&wire.TxCommitOK{})
	return nil
}

// txRollback forgets what was published; what was settled is held again, as if
// nothing had been said of it.
func (ch *channel) txRollback() error {
	x := ch.tx
	if x == nil {
		return errorf(wire.CodePreconditionFailed, wire.IDTxRollback, "channel is not transactional")
	}
	ch.c.pubs.inTx -= x.tx.Size()
	x.tx.Reset()
	x.mandatory = x.mandatory[:0]
	ch.mu.Lock()
	ch.mu.unacked.restore(x.acks)
	ch.mu.Unlock()
	clear(x.acks)
	x.acks = x.acks[:0]
	ch.showTx()
	ch.send(&wire.TxRollbackOK{})
	return nil
}

// txDrop forgets the transaction of a channel that ends. It returns what it was
// to settle, which is held yet.
func (ch *channel) txDrop() []held {
	x := ch.tx
	if x == nil {
		return nil
	}
	ch.c.pubs.inTx -= x.tx.Size()
	x.tx.Reset()
	hs := x.acks
	x.acks = nil
	return hs
}
