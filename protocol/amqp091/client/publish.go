package client

import (
	"errors"
	"fmt"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// flushAt is how much Publish buffers before it writes.
const flushAt = 64 << 10

// A Publishing is a message to publish.
type Publishing struct {
	Exchange   string
	RoutingKey string
	// Mandatory has the message returned when no queue takes it.
	Mandatory bool
	// Props are the properties in raw form, so that many messages can share
	// them: wire.Properties.Append makes them.
	Props wire.Props
	Body  []byte
}

// Publish buffers a message. After Confirm it returns the number under which
// the message will be confirmed, before it 0. The message is copied.
func (ch *Channel) Publish(p *Publishing) (tag uint64, err error) {
	c := ch.conn
	if err := p.check(c.frameMax); err != nil {
		return 0, err
	}
	c.mu.Lock()
	if err := ch.unusable(); err != nil {
		c.mu.Unlock()
		return 0, err
	}
	out := wire.AppendPublish(c.mu.out, ch.number, p.Exchange, p.RoutingKey, p.Mandatory)
	out = wire.AppendHeader(out, ch.number, p.Props, uint64(len(p.Body)))
	c.mu.out = wire.AppendBodyFrames(out, ch.number, p.Body, c.frameMax)
	if ch.confirm {
		ch.seq++
		tag = ch.seq
	}
	full := len(c.mu.out) >= flushAt
	c.mu.Unlock()
	if full {
		return tag, c.Flush()
	}
	return tag, nil
}

func (p *Publishing) check(frameMax uint32) error {
	const header = 12 + wire.FrameOverhead
	if len(p.Exchange) > 255 || len(p.RoutingKey) > 255 {
		return errors.New("client: exchange or routing key is longer than 255 bytes")
	}
	if len(p.Props) > int(frameMax)-header {
		return fmt.Errorf("client: properties of %d bytes exceed the frame limit of %d", len(p.Props), frameMax)
	}
	return nil
}
