package client

import "github.com/warrenmq/warren/protocol/amqp091/wire"

// What readLoop does with the frames of a channel.

// method handles a method frame.
func (ch *Channel) method(f wire.Frame) error {
	if ch.content.stage != noContent {
		return &violation{wire.UnexpectedFrame(f)}
	}
	id, args, err := wire.SplitMethod(f.Payload)
	if err != nil {
		return broken(err)
	}
	if id != wire.IDChannelClose && id != wire.IDChannelCloseOK && ch.closing.Load() {
		return ch.discard(id)
	}
	switch id {
	case wire.IDBasicDeliver, wire.IDBasicReturn, wire.IDBasicGetOK:
		ch.list()
		return broken(ch.content.begin(id, args))
	case wire.IDBasicAck:
		var m wire.BasicAck
		if err := m.Decode(args); err != nil {
			return broken(err)
		}
		return ch.confirmed(Confirmation{Tag: m.DeliveryTag, Multiple: m.Multiple, Ack: true})
	case wire.IDBasicNack:
		var m wire.BasicNack
		if err := m.Decode(args); err != nil {
			return broken(err)
		}
		return ch.confirmed(Confirmation{Tag: m.DeliveryTag, Multiple: m.Multiple})
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return broken(err)
	}
	return ch.rare(m)
}

// discard skips a method of a closing channel, and its content.
func (ch *Channel) discard(id wire.ID) error {
	if id.HasContent() {
		ch.content.skip()
	}
	return nil
}

func (ch *Channel) confirmed(k Confirmation) error {
	if ch.opts.OnConfirm != nil {
		ch.opts.OnConfirm(k)
	}
	return nil
}

// rare handles what does not come once per message.
func (ch *Channel) rare(m wire.Method) error {
	switch m := m.(type) {
	case *wire.ChannelClose:
		ch.closedByServer(m)
		return nil
	case *wire.ChannelCloseOK:
		return ch.closedByUs(m)
	case *wire.ChannelFlow:
		ch.conn.push(&wire.ChannelFlowOK{Active: m.Active}, ch.number)
		return nil
	case *wire.BasicCancel:
		ch.forget(m.ConsumerTag)
		if !m.NoWait {
			ch.conn.push(&wire.BasicCancelOK{ConsumerTag: m.ConsumerTag}, ch.number)
		}
		if ch.opts.OnCancel != nil {
			ch.opts.OnCancel(m.ConsumerTag)
		}
		return nil
	case *wire.BasicCancelOK:
		ch.forget(m.ConsumerTag)
	}
	return ch.answer(m, nil)
}

// forget drops a consumer, after what it was sent before.
func (ch *Channel) forget(tag string) {
	if k := ch.consumers[tag]; k != nil {
		k.handOut()
		delete(ch.consumers, tag)
	}
	ch.latest = nil
}

// closedByServer answers and ends the channel. When our own close is under way
// its answer is still to come, and the number stays taken until then.
func (ch *Channel) closedByServer(m *wire.ChannelClose) {
	c := ch.conn
	c.handOut()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.out = (&wire.ChannelCloseOK{}).AppendFrame(c.mu.out, ch.number)
	if !ch.closing.Load() {
		c.remove(ch)
	}
	ch.end(closedBy(m.ReplyCode, m.ReplyText, wire.MakeID(m.ClassID, m.MethodID), ch.number))
}

func (ch *Channel) closedByUs(m *wire.ChannelCloseOK) error {
	c := ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ch.closing.Load() {
		return violate(wire.CodeCommandInvalid, "unexpected %v", m.ID())
	}
	c.remove(ch)
	if k := ch.waiting; k != nil {
		ch.waiting = nil
		k.done <- answer{method: m}
	}
	ch.end(ErrClosed)
	return nil
}

// remove frees the channel's number. mu is held.
func (c *Conn) remove(ch *Channel) {
	delete(c.mu.channels, ch.number)
	if c.last == ch {
		c.last = nil
	}
}
