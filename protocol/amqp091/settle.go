package amqp091

import (
	"context"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// settles are the acknowledgements of one read, and the shards to which a
// closing channel owes that what went there is committed.
type settles struct {
	list    []held
	scratch []broker.Settle
	touched []broker.Shard
}

// settle takes ack, nack and reject.
func (ch *channel) settle(tag uint64, multiple bool, outcome broker.Outcome, id wire.ID) error {
	l := &ch.c.acks
	before := len(l.list)
	ch.mu.Lock()
	// With multiple too, the tag itself has to be outstanding.
	known := !multiple || tag == 0 || ch.mu.unacked.has(tag)
	if known {
		l.list = ch.mu.unacked.take(l.list, tag, multiple)
		known = multiple || len(l.list) > before
	}
	ch.mu.Unlock()
	if !known {
		return &wire.Error{Code: wire.CodePreconditionFailed, Text: fmt.Sprintf("unknown delivery tag %d", tag), Method: id}
	}
	taken := l.list[before:]
	for i := range taken {
		taken[i].outcome = outcome
	}
	if ch.tx != nil && id != wire.IDBasicRecover && id != wire.IDBasicRecoverAsync {
		return ch.txSettle(before, id)
	}
	return nil
}

// settle is what a shard is told of it.
func (h *held) settle() broker.Settle {
	return broker.Settle{Queue: h.to.queue, Seq: h.seq, Holding: h.holding, Outcome: h.outcome}
}

// flushSettles tells the shards what this read settled.
func (c *conn) flushSettles() {
	if len(c.acks.list) == 0 {
		return
	}
	c.settle(c.acks.list)
	c.freeLimits(c.acks.list)
	clear(c.acks.list)
	c.acks.list = c.acks.list[:0]
}

// settle ends holdings, in one call for every row of the same shard.
func (c *conn) settle(hs []held) {
	for i := 0; i < len(hs); {
		to := hs[i].to
		c.touch(to)
		ss := c.acks.scratch[:0]
		for ; i < len(hs) && hs[i].to.from == to.from; i++ {
			ss = append(ss, hs[i].settle())
		}
		to.from.Settle(ss, nil)
		c.acks.scratch = ss
	}
}

// freeLimits gives the channels' shared credit back, after the settles: so one
// turn of a shard sees both.
func (c *conn) freeLimits(hs []held) {
	for i := 0; i < len(hs); {
		ch, n := hs[i].to.ch, 0
		for ; i < len(hs) && hs[i].to.ch == ch; i++ {
			if hs[i].to.bc != nil {
				n++
			}
		}
		if n > 0 && ch.limit != nil {
			ch.limit.Done(n)
		}
	}
}

// touch notes that something is settled at the consumer's shard.
func (c *conn) touch(k *consumer) {
	if k.volatile || slices.Contains(c.acks.touched, k.from) {
		return
	}
	c.acks.touched = append(c.acks.touched, k.from)
}

// awaitSettled returns when all that was settled so far is committed.
func (c *conn) awaitSettled() error {
	ctx, cancel := context.WithTimeout(c.ctx, c.f.o.SettleTimeout)
	defer cancel()
	for _, s := range c.acks.touched {
		if err := c.f.o.Broker.Await(ctx, s); err != nil {
			return fmt.Errorf("wait until acknowledgements are committed: %w", err)
		}
	}
	clear(c.acks.touched)
	c.acks.touched = c.acks.touched[:0]
	return nil
}
