package amqp091

import (
	"context"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/shard"
)

// maxPublishes is how many publishes of one read go to the broker in one call.
const maxPublishes = 256

// publishes are the whole messages of one read, of one channel.
type publishes struct {
	ch        *channel
	list      []broker.Publication
	messages  []message.Message
	mandatory []bool
	open      []*channel // whose content may be a view of the read buffer
}

// settles are the acknowledgements of one read.
type settles struct{ list []held }

// flush hands over what this read published and settled. An error of a publish
// closes its channel.
func (c *conn) flush() error {
	c.flushSettles()
	p := &c.pubs
	if len(p.list) == 0 {
		return nil
	}
	ch, list := p.ch, p.list
	var err error
	if !ch.gone.Load() {
		var n int
		if n, err = ch.publisher.Publish(c.ctx, list); err != nil {
			err = ch.publishError(err, n)
		}
	}
	clear(p.list)
	clear(p.messages)
	p.list, p.messages, p.mandatory, p.ch = p.list[:0], p.messages[:0], p.mandatory[:0], nil
	if err == nil {
		return nil
	}
	return ch.failed(err)
}

// publishError words why the n-th publication can not be published.
func (ch *channel) publishError(err error, n int) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return brokerError(err, wire.IDBasicPublish)
}

// Unroutable implements broker.PublisherSink.
func (ch *channel) Unroutable(i int) {
	p := &ch.c.pubs
	if !p.mandatory[i] {
		return
	}
	m := p.list[i].Message
	o := &ch.c.out
	o.Lock()
	r := wire.BasicReturn{ReplyCode: wire.CodeNoRoute, ReplyText: []byte(wire.CodeNoRoute.String()), Exchange: m.Exchange, RoutingKey: m.RoutingKey}
	o.frames = r.AppendFrame(o.frames, ch.id)
	o.frames = wire.AppendHeader(o.frames, ch.id, wire.Props(m.Properties), uint64(len(m.Body)))
	o.frames = wire.AppendBodyFrames(o.frames, ch.id, m.Body, o.frameMax)
	o.add()
	o.Unlock()
}

// settle takes ack, nack and reject.
func (ch *channel) settle(tag uint64, multiple bool, outcome shard.Outcome, id wire.ID) error {
	l := &ch.c.acks
	before := len(l.list)
	ch.mu.Lock()
	l.list = ch.mu.unacked.take(l.list, tag, multiple)
	known := tag <= ch.mu.tag
	ch.mu.Unlock()
	taken := l.list[before:]
	if len(taken) == 0 && (!multiple || tag != 0) {
		// RabbitMQ takes any tag given out, with multiple, for known.
		if !multiple || !known {
			return unknownTag(tag, id)
		}
	}
	limited := 0
	for i := range taken {
		taken[i].outcome = outcome
		if taken[i].to.Consumer != nil {
			limited++
		}
	}
	if limited > 0 && ch.limit != nil {
		ch.limit.Done(limited)
	}
	return nil
}

func (c *conn) flushSettles() {
	if len(c.acks.list) == 0 {
		return
	}
	l := c.acks.list
	for i := 0; i < len(l); {
		to := l[i].to.from
		c.scratch = c.scratch[:0]
		for ; i < len(l) && l[i].to.from == to; i++ {
			h := &l[i]
			c.scratch = append(c.scratch, shard.Settle{Queue: h.to.queue, Seq: h.seq, Holding: h.holding, Outcome: h.outcome})
		}
		to.Settle(c.scratch, nil)
	}
	clear(l)
	c.acks.list = l[:0]
}

func errorf(code wire.ReplyCode, id wire.ID, format string, args ...any) error {
	return &wire.Error{Code: code, Method: id, Text: fmt.Sprintf(format, args...)}
}
