package amqp091

import (
	"errors"
	"os"
	"time"

	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// fencedTime is how long a client that may not be served any more is talked to.
const fencedTime = 250 * time.Millisecond

// fenced gives back what waits to be written and tells the client that it has to
// go to another node. It does not wait for long: clients that believe to be served
// are what the lease keeps from being.
func (c *conn) fenced() error {
	was := c.state
	c.out.kill()
	_ = c.nc.SetWriteDeadline(time.Now().Add(fencedTime)) //nolint:forbidigo // a socket's deadline
	c.dropChannels()
	c.out.stop(c)
	if !was.greeted() || c.torn.Load() {
		return errPeerGone
	}
	protocol.Farewell(c.nc)
	m := &wire.ConnectionClose{
		ReplyCode: wire.CodeConnectionForced,
		ReplyText: wire.ReplyText(wire.CodeConnectionForced, "the node is going away: "+protocol.ErrFenced.Error()),
	}
	if _, err := c.nc.Write(m.AppendFrame(nil, 0)); err == nil {
		c.state = closing
		c.seen.leaving.Store(true)
		c.discard()
	}
	return errPeerGone
}

// discard reads what the client sends until it leaves, for a moment: to close a
// socket that holds unread data resets it, and the client would never see why.
func (c *conn) discard() {
	c.closeBy(fencedTime)
	for left := lingerBytes; left > 0; {
		n, err := c.nc.Read(c.buf)
		left -= n
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(c.closeAt): //nolint:forbidigo // a socket's deadline
			_ = c.nc.SetReadDeadline(c.closeAt) // that of the end of ctx came late
		default:
			return
		}
	}
}
