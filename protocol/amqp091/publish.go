package amqp091

import (
	"errors"
	"fmt"
	"sync"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// maxPublishes is how many publishes of one read go to the broker in one call.
const maxPublishes = 256

// publishes are the whole messages of one read, of one channel.
type publishes struct {
	*batch  // nil while a read has none
	ch      *channel
	open    []*channel // whose content may be a view of the read buffer
	partial int        // bytes copied of contents that are not whole
	inTx    int        // bytes kept by transactions
}

// A batch is what messages are kept in until they are flushed; an idle
// connection has none.
type batch struct {
	list      []broker.Publication
	messages  []message.Message
	headers   []headers
	mandatory []bool
	rewritten []byte // properties of messages in list
}

// maxRewritten is how much memory for rewritten properties is used again.
const maxRewritten = 64 << 10

// begin makes sure that there is a batch to add to.
func (p *publishes) begin(pool *sync.Pool) {
	if p.batch != nil {
		return
	}
	if p.batch, _ = pool.Get().(*batch); p.batch == nil {
		// Messages and headers are not moved: the list points into both.
		p.batch = &batch{
			list: make([]broker.Publication, 0, maxPublishes), messages: make([]message.Message, 0, maxPublishes),
			headers: make([]headers, 0, maxPublishes), mandatory: make([]bool, 0, maxPublishes),
		}
	}
}

// end lets the batch go, which was flushed.
func (p *publishes) end(pool *sync.Pool) {
	if p.batch == nil || len(p.list) > 0 {
		return
	}
	if cap(p.rewritten) <= maxRewritten {
		pool.Put(p.batch)
	}
	p.batch = nil
}

// flush hands over what this read published and settled. An error of a publish
// closes its channel.
func (c *conn) flush() error {
	c.flushSettles()
	p := &c.pubs
	if p.batch == nil || len(p.list) == 0 {
		return nil
	}
	ch, list := p.ch, p.list
	var err error
	switch {
	case ch.gone.Load():
	case ch.tx != nil:
		err = ch.txPublish(list, p.mandatory)
	case len(ch.late) > 0:
		ch.keepLate(0) // behind those
	default:
		var n int
		if n, err = ch.publisher.Publish(list); errors.Is(err, broker.ErrLater) {
			ch.keepLate(n)
			err = nil
		} else if err != nil {
			err = brokerError(err, wire.IDBasicPublish)
		}
	}
	clear(p.list)
	clear(p.messages)
	clear(p.headers)
	p.list, p.messages, p.headers, p.mandatory, p.ch = p.list[:0], p.messages[:0], p.headers[:0], p.mandatory[:0], nil
	p.rewritten = p.rewritten[:0]
	ch.seen.published.Store(ch.published)
	if err == nil {
		return nil
	}
	return ch.failed(err)
}

// Unroutable implements broker.PublisherSink.
func (ch *channel) Unroutable(i int) {
	if p := &ch.c.pubs; p.mandatory[i] {
		ch.returned(p.list[i].Message)
	}
}

// returned gives a message back that went nowhere.
func (ch *channel) returned(m *message.Message) {
	o := &ch.c.out
	o.Lock()
	defer o.Unlock()
	if ch.gone.Load() {
		return
	}
	r := wire.BasicReturn{ReplyCode: wire.CodeNoRoute, ReplyText: []byte(wire.CodeNoRoute.String()), Exchange: m.Exchange, RoutingKey: m.RoutingKey}
	o.open()
	o.frames = r.AppendFrame(o.frames, ch.id)
	o.frames = wire.AppendHeader(o.frames, ch.id, wire.Props(m.Properties), uint64(len(m.Body)))
	o.frames = wire.AppendBodyFrames(o.frames, ch.id, m.Body, o.frameMax)
	o.added()
}

func errorf(code wire.ReplyCode, id wire.ID, format string, args ...any) error {
	return &wire.Error{Code: code, Method: id, Text: fmt.Sprintf(format, args...)}
}
