package client

import (
	"bytes"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

type contentStage uint8

const (
	noContent contentStage = iota
	wantHeader
	wantBody
)

// content is a message on its way in: the method, the header, the body. What
// came with the current read are views of it; keep copies them before the next
// read. A message that came whole is never copied.
type content struct {
	stage    contentStage
	skipping bool // of a channel that is closing
	id       wire.ID

	// One of these, by id.
	deliver wire.BasicDeliver
	back    wire.BasicReturn
	got     wire.BasicGetOK

	props  wire.Props
	size   uint64 // of the body
	left   uint64 // of the body, still to come
	body   []byte // what came of it
	listed bool   // in Conn.partial

	keptNames, keptProps bool
	names, propBytes     []byte // memory of what was kept, reused
}

// begin starts a message with its method.
func (t *content) begin(id wire.ID, args []byte) error {
	t.stage, t.id = wantHeader, id
	switch id {
	case wire.IDBasicDeliver:
		return t.deliver.Decode(args)
	case wire.IDBasicReturn:
		return t.back.Decode(args)
	}
	return t.got.Decode(args)
}

// skip starts a message that nobody wants.
func (t *content) skip() { t.stage, t.skipping = wantHeader, true }

// reset ends a message.
func (t *content) reset() {
	t.stage, t.skipping, t.body, t.props = noContent, false, nil, nil
	t.keptNames, t.keptProps = false, false
}

// keep copies what are views of the read buffer.
func (t *content) keep() {
	t.listed = false
	if t.stage == noContent || t.skipping {
		return
	}
	if !t.keptNames {
		t.keptNames = true
		t.names = t.names[:0]
		switch t.id {
		case wire.IDBasicDeliver:
			t.keepNames(&t.deliver.ConsumerTag, &t.deliver.Exchange, &t.deliver.RoutingKey)
		case wire.IDBasicReturn:
			t.keepNames(&t.back.ReplyText, &t.back.Exchange, &t.back.RoutingKey)
		default:
			t.keepNames(&t.got.Exchange, &t.got.RoutingKey)
		}
	}
	if t.stage == wantBody && !t.keptProps {
		t.keptProps = true
		t.propBytes = append(t.propBytes[:0], t.props...)
		t.props = t.propBytes
	}
}

func (t *content) keepNames(views ...*[]byte) {
	for _, v := range views {
		from := len(t.names)
		t.names = append(t.names, *v...)
		*v = t.names[from:len(t.names):len(t.names)]
	}
}

// header handles a header frame.
func (ch *Channel) header(f wire.Frame) error {
	t := &ch.content
	if t.stage != wantHeader {
		return &violation{wire.UnexpectedFrame(f)}
	}
	h, err := wire.DecodeHeader(f.Payload)
	if err != nil {
		return broken(err)
	}
	if limit := ch.conn.opts.MaxMessage; h.BodySize > limit {
		return violate(wire.CodeResourceError, "message size %d is larger than our limit of %d", h.BodySize, limit)
	}
	t.stage, t.props, t.size, t.left = wantBody, h.Props, h.BodySize, h.BodySize
	if t.left == 0 {
		return ch.complete()
	}
	ch.list()
	return nil
}

// list has keep called at the end of this read.
func (ch *Channel) list() {
	if !ch.content.listed {
		ch.content.listed = true
		ch.conn.partial = append(ch.conn.partial, ch)
	}
}

// body handles a body frame.
func (ch *Channel) body(f wire.Frame) error {
	t := &ch.content
	n := uint64(len(f.Payload))
	if t.stage != wantBody || n > t.left {
		return &violation{wire.UnexpectedFrame(f)}
	}
	switch {
	case t.skipping:
	case n == t.size:
		t.body = f.Payload
	case t.body == nil:
		// Room for what came and as much again, whatever was announced.
		t.body = append(make([]byte, 0, min(t.size, 2*n)), f.Payload...)
	default:
		t.body = append(t.body, f.Payload...)
	}
	if t.left -= n; t.left > 0 {
		return nil
	}
	return ch.complete()
}

// complete hands the message on.
func (ch *Channel) complete() error {
	t := &ch.content
	defer t.reset()
	switch {
	case t.skipping:
	case t.id == wire.IDBasicDeliver:
		ch.delivered()
	case t.id == wire.IDBasicReturn:
		if ch.opts.OnReturn != nil {
			ch.opts.OnReturn(Return{
				Code: t.back.ReplyCode, Text: t.back.ReplyText,
				Exchange: t.back.Exchange, RoutingKey: t.back.RoutingKey, Props: t.props, Body: t.body,
			})
		}
	default:
		got := wire.BasicGetOK{MessageCount: t.got.MessageCount}
		return ch.answer(&got, &Message{
			Remaining: t.got.MessageCount,
			Delivery: Delivery{
				Tag: t.got.DeliveryTag, Redelivered: t.got.Redelivered,
				Exchange: bytes.Clone(t.got.Exchange), RoutingKey: bytes.Clone(t.got.RoutingKey),
				Props: bytes.Clone(t.props), Body: bytes.Clone(t.body),
			},
		})
	}
	return nil
}

// delivered adds the message to its consumer's batch. One for a consumer that
// is not there crossed our cancel.
func (ch *Channel) delivered() {
	t := &ch.content
	k := ch.latest
	if k == nil || k.tag != string(t.deliver.ConsumerTag) {
		if k = ch.consumers[string(t.deliver.ConsumerTag)]; k == nil {
			return
		}
		ch.latest = k
	}
	if len(k.batch) == 0 {
		ch.conn.dirty = append(ch.conn.dirty, k)
	}
	k.batch = append(k.batch, Delivery{
		ConsumerTag: k.tag, Tag: t.deliver.DeliveryTag, Redelivered: t.deliver.Redelivered,
		Exchange: t.deliver.Exchange, RoutingKey: t.deliver.RoutingKey, Props: t.props, Body: t.body,
	})
}
