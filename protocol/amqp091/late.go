package amqp091

import (
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A late is a publish that the broker does not take yet: it has nowhere to go, or
// is behind one that has not, as far as this node knows. It owns its bytes. A
// channel has as many as one read brought at most; what comes behind is parked.
type late struct {
	pub       broker.Publication
	message   message.Message
	mandatory bool
}

// keepLate keeps publishes of this read, from the n-th on, and holds the channel.
func (ch *channel) keepLate(n int) {
	p := &ch.c.pubs
	for i := n; i < len(p.list); i++ {
		x := late{pub: p.list[i], message: *p.list[i].Message, mandatory: p.mandatory[i]}
		x.own()
		ch.late = append(ch.late, x)
		ch.c.addParked(x.size())
	}
	if !ch.held {
		ch.hold(0)
	}
}

// size is about what it keeps.
func (x *late) size() int { return message.Size(&x.message) }

// own copies what was the read's.
func (x *late) own() {
	m := &x.message
	parts := []*[]byte{&m.Exchange, &m.RoutingKey, &m.Properties, &m.Body, &m.Overlay}
	n := 0
	for _, part := range parts {
		n += len(*part)
	}
	for _, k := range x.pub.Keys {
		n += len(k)
	}
	b := make([]byte, 0, n)
	copied := func(s []byte) []byte {
		if s == nil {
			return nil
		}
		at := len(b)
		b = append(b, s...)
		return b[at:len(b):len(b)]
	}
	for _, part := range parts {
		*part = copied(*part)
	}
	keys := x.pub.Keys
	x.pub.Keys = nil
	for _, k := range keys {
		x.pub.Keys = append(x.pub.Keys, copied(k))
	}
}

// publishLate publishes what was kept, as if it were read now. What has to wait
// again is kept again.
func (ch *channel) publishLate() error {
	if len(ch.late) == 0 {
		return nil
	}
	c, all := ch.c, ch.late
	ch.late = nil
	for i := range all {
		c.addParked(-all[i].size())
	}
	if err := c.flush(); err != nil {
		return err
	}
	p := &c.pubs
	p.begin(&c.f.batches)
	p.ch = ch
	for i := range all {
		x := &all[i]
		if len(p.list) == maxPublishes {
			if err := c.flush(); err != nil {
				return err
			}
			p.ch = ch
		}
		p.messages = append(p.messages, x.message)
		p.headers = append(p.headers[:len(p.list)], headers{wire.Props(x.message.Properties)})
		x.pub.Message, x.pub.Headers = &p.messages[len(p.list)], &p.headers[len(p.list)]
		p.list, p.mandatory = append(p.list, x.pub), append(p.mandatory, x.mandatory)
	}
	return c.flush()
}

// dropLate forgets what was kept: the channel ends.
func (ch *channel) dropLate() {
	for i := range ch.late {
		ch.c.addParked(-ch.late[i].size())
	}
	ch.late = nil
}
