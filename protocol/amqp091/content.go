package amqp091

import (
	"fmt"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A content is the message that a channel is receiving: basic.publish, then a
// header, then bodies. Its parts are views of the read buffer until save.
type content struct {
	ch        *channel
	state     contentState
	mandatory bool
	exchange  []byte
	key       []byte
	props     wire.Props
	size      uint64
	body      []byte
	saved     bool // the parts are copies
	owned     int  // bytes of body that were copied
	listed    bool // in conn.pubs.open
}

type contentState uint8

const (
	noContent contentState = iota
	wantHeaderFrame
	wantBodyFrame
)

// unexpected words what a frame out of order is told.
func (s contentState) unexpected() error {
	e := &wire.Error{Code: wire.CodeUnexpectedFrame, Method: wire.IDBasicPublish}
	switch s {
	case noContent:
		e.Text, e.Method = "expected method frame, got non method frame instead", 0
	case wantHeaderFrame:
		e.Text = "expected content header for class 60, got non content header frame instead"
	default:
		e.Text = "expected content body, got non content body frame instead"
	}
	return e
}

// begin takes a basic.publish.
func (t *content) begin(args []byte) error {
	var m wire.BasicPublish
	if err := m.Decode(args); err != nil {
		return err
	}
	if m.Immediate {
		return &wire.Error{Code: wire.CodeNotImplemented, Text: "immediate=true", Method: wire.IDBasicPublish}
	}
	t.exchange, t.key, t.mandatory = m.Exchange, m.RoutingKey, m.Mandatory
	t.props, t.body, t.saved = nil, nil, false
	t.state = wantHeaderFrame
	t.view()
	return nil
}

func (t *content) header(f wire.Frame) error {
	h, err := wire.DecodeHeader(f.Payload)
	if err != nil {
		return err
	}
	if most := t.ch.c.f.o.MaxMessage; h.BodySize > most {
		return &wire.Error{
			Code: wire.CodePreconditionFailed, Method: wire.IDBasicPublish,
			Text: fmt.Sprintf("message size %d is larger than configured max size %d", h.BodySize, most),
		}
	}
	t.props, t.size = h.Props, h.BodySize
	if t.saved {
		t.props = append(wire.Props(nil), h.Props...)
	}
	t.state = wantBodyFrame
	if t.size == 0 {
		return t.done()
	}
	return nil
}

func (t *content) bodyFrame(f wire.Frame) error {
	if uint64(len(t.body))+uint64(len(f.Payload)) > t.size {
		return wire.UnexpectedFrame(f)
	}
	switch {
	case t.body == nil && uint64(len(f.Payload)) == t.size:
		t.body = f.Payload
	default:
		if !t.saved {
			t.save()
		}
		// Grows with what was received, whatever was announced.
		if err := t.grow(f.Payload); err != nil {
			return err
		}
	}
	if uint64(len(t.body)) == t.size {
		return t.done()
	}
	return nil
}

// view notes that the content is a view of the read buffer.
func (t *content) view() {
	if !t.listed {
		t.listed = true
		p := &t.ch.c.pubs
		p.open = append(p.open, t.ch)
	}
}

// save copies what is a view of the read buffer, which is about to be reused.
func (t *content) save() {
	if t.state == noContent || t.saved {
		return
	}
	b := make([]byte, 0, len(t.exchange)+len(t.key)+len(t.props))
	b = append(append(append(b, t.exchange...), t.key...), t.props...)
	e, k := len(t.exchange), len(t.exchange)+len(t.key)
	t.exchange, t.key = b[:e:e], b[e:k:k]
	t.props = wire.Props(b[k:])
	t.body = append([]byte(nil), t.body...)
	t.saved = true
}

// grow appends a part of the body to what was saved. What all channels of the
// connection have received of unfinished contents is bounded.
func (t *content) grow(part []byte) error {
	c := t.ch.c
	c.pubs.partial += len(part)
	t.owned += len(part)
	if most := max(minPartial, 2*c.f.o.MaxMessage); uint64(c.pubs.partial) > most {
		return &wire.Error{
			Code: wire.CodeResourceError, Method: wire.IDBasicPublish,
			Text: fmt.Sprintf("unfinished messages on this connection exceed %d bytes", most),
		}
	}
	if need := len(t.body) + len(part); need > cap(t.body) {
		b := make([]byte, len(t.body), min(t.size, uint64(max(2*need, firstPart))))
		copy(b, t.body)
		t.body = b
	}
	t.body = append(t.body, part...)
	return nil
}

// firstPart is what is taken at least for a body that comes in parts.
const firstPart = 4 << 10

// minPartial is the least bound for unfinished contents.
const minPartial = 64 << 20

// drop forgets an unfinished content.
func (t *content) drop() {
	t.ch.c.pubs.partial -= t.owned
	t.state, t.body, t.owned = noContent, nil, 0
}

// done adds the whole message to what this read publishes.
func (t *content) done() error {
	ch, body := t.ch, t.body
	t.drop()
	p := &ch.c.pubs
	p.begin(&ch.c.f.batches)
	if p.ch != ch || len(p.list) == maxPublishes {
		if err := ch.c.flush(); err != nil {
			return err
		}
		if ch.closing {
			return nil
		}
		p.ch = ch
	}
	p.messages = append(p.messages, message.Message{
		Protocol: message.AMQP091, Exchange: t.exchange, RoutingKey: t.key,
		Properties: t.props, Body: body, Durable: t.props.Persistent(),
		HasPriority: t.props.Has(wire.HasPriority), Priority: t.props.Priority(),
	})
	m := &p.messages[len(p.messages)-1]
	p.headers = append(p.headers[:len(p.list)], headers{t.props})
	pub := broker.Publication{Message: m, Headers: &p.headers[len(p.list)]}
	if err := ch.inspect(&pub); err != nil {
		p.messages = p.messages[:len(p.messages)-1]
		return err
	}
	if ch.confirm {
		ch.published++
		pub.Tag = ch.published
	}
	p.list = append(p.list, pub)
	p.mandatory = append(p.mandatory, t.mandatory)
	return nil
}
