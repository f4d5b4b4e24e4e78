package amqp091

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/shard"
)

// A conn is one client connection. Its fields belong to the goroutine of serve
// unless they say otherwise.
type conn struct {
	f      *Frontend
	nc     net.Conn
	in     protocol.Info
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc
	log    *slog.Logger

	state    state
	frameMax uint32 // negotiated; read by the writer after that
	chanMax  uint16
	session  *broker.Session
	caps     capabilities
	channels map[uint16]*channel
	last     *channel // looked up last

	buf     []byte // read buffer
	r, w    int    // what of buf is not handled yet
	pubs    publishes
	acks    settles
	scratch []shard.Settle

	heartbeat time.Duration
	beat      *time.Timer
	readSince atomic.Bool  // something was read since the last beat
	wrote     atomic.Bool  // something was written since the last beat
	silent    atomic.Int32 // beats without anything read

	out outbox
	wg  sync.WaitGroup
}

// A state of the connection.
type state uint8

const (
	wantHeader state = iota
	wantStartOK
	wantTuneOK
	wantOpen
	running
	closing // connection.close was sent: all but close-ok is ignored
	closed
)

type capabilities struct {
	cancelNotify, authFailureClose bool
}

// Sizes of the read buffer: small while idle, larger when reads fill it.
const (
	minRead = 4 << 10
	maxRead = 256 << 10
)

// errPeerGone ends a connection without a word in the log.
var errPeerGone = errors.New("amqp091: peer is gone")

func (c *conn) serve() error {
	stop := context.AfterFunc(c.ctx, func() { _ = c.nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	c.buf = make([]byte, minRead)
	err := c.readLoop()
	if c.beat != nil {
		c.beat.Stop()
	}
	if c.ctx.Err() != nil && c.state == running {
		c.send(&wire.ConnectionClose{ReplyCode: wire.CodeConnectionForced,
			ReplyText: wire.ReplyText(wire.CodeConnectionForced, "broker forced connection closure with reason 'shutdown'")})
	}
	c.finish()
	c.cancel()
	if errors.Is(err, errPeerGone) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// finish gives everything back and waits for the writer.
func (c *conn) finish() {
	c.out.shut(c)
	for _, ch := range c.channels {
		ch.abandon()
	}
	if c.session != nil {
		c.session.Close()
	}
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.f.o.CloseTimeout)) //nolint:forbidigo // a socket's deadline
	c.wg.Wait()
}

func (c *conn) readLoop() error {
	for {
		if c.w == len(c.buf) {
			c.grow()
		}
		n, err := c.nc.Read(c.buf[c.w:])
		if n > 0 {
			c.w += n
			c.readSince.Store(true)
			if err := c.handleAll(); err != nil {
				return err
			}
			if c.state == closed {
				return nil
			}
		}
		if err != nil {
			return err
		}
		c.out.waitDrained(c.ctx)
	}
}

// grow makes room in the read buffer.
func (c *conn) grow() {
	if c.r > 0 {
		copy(c.buf, c.buf[c.r:c.w])
		c.w -= c.r
		c.r = 0
		if c.w < len(c.buf)/2 {
			return
		}
	}
	size := min(2*len(c.buf), maxRead)
	if need := wire.FrameLen(c.buf[:c.w]); need > size {
		size = need
	}
	if size > len(c.buf) {
		b := make([]byte, size)
		copy(b, c.buf[:c.w])
		c.buf = b
	}
}

// handleAll handles every whole frame that was read, then flushes what they
// asked for.
func (c *conn) handleAll() error {
	err := c.frames()
	if ferr := c.flush(); err == nil {
		err = ferr
	}
	c.saveContents()
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	c.out.wake(c)
	if err == nil {
		return nil
	}
	return c.fail(err)
}

// fail closes the connection with the protocol's error, or just gives up.
func (c *conn) fail(err error) error {
	var we *wire.Error
	var fe *wire.FrameError
	switch {
	case errors.As(err, &fe):
		we = fe.Reply()
	case errors.As(err, &we):
	default:
		return err
	}
	if c.state == closing || c.state == closed {
		return nil
	}
	c.log.Warn("connection closed on an error of the client", "conn", c.in.Peer.String(), "err", we.Error())
	if c.state == wantHeader {
		return errPeerGone
	}
	c.closeWith(we)
	if fe != nil {
		// The stream can not be read any further: say so and hang up.
		return errPeerGone
	}
	return nil
}

// closeWith sends connection.close and from then on waits for its answer only.
func (c *conn) closeWith(e *wire.Error) {
	c.send(&wire.ConnectionClose{ReplyCode: e.Code, ReplyText: e.Error(), ClassID: e.Method.Class(), MethodID: e.Method.Method()})
	c.state = closing
	c.dropChannels()
	c.out.wake(c)
	_ = c.nc.SetReadDeadline(time.Now().Add(c.f.o.CloseTimeout)) //nolint:forbidigo // a socket's deadline
}

// dropChannels gives back what the channels hold; nothing more is delivered.
func (c *conn) dropChannels() {
	for id, ch := range c.channels {
		ch.abandon()
		delete(c.channels, id)
	}
	c.last = nil
}

func (c *conn) frames() error {
	if c.state == wantHeader {
		if ok, err := c.header(); err != nil || !ok {
			return err
		}
	}
	for c.r < c.w {
		f, n, err := wire.ScanFrame(c.buf[c.r:c.w], c.frameMax)
		if err != nil {
			if c.state == closing {
				c.r = c.w
				return nil
			}
			return err
		}
		if n == 0 {
			return nil
		}
		c.r += n
		if err := c.frame(f); err != nil {
			return err
		}
		if c.state == closed {
			return nil
		}
	}
	return nil
}

// header reads the protocol header.
func (c *conn) header() (ok bool, err error) {
	if c.w-c.r < wire.HeaderLen {
		return false, nil
	}
	head := c.buf[c.r : c.r+wire.HeaderLen]
	p := wire.ParseProtocol(head)
	if !p.Served() {
		c.log.Info("client asked for a protocol that is not served", "conn", c.in.Peer.String(), "protocol", p.String())
		_, _ = c.nc.Write([]byte(wire.AnswerTo(head)))
		return false, errPeerGone
	}
	c.r += wire.HeaderLen
	c.state = wantStartOK
	c.start()
	return true, nil
}

func (c *conn) frame(f wire.Frame) error {
	if c.state == closing {
		if f.Type == wire.FrameMethod {
			if id, _, err := wire.SplitMethod(f.Payload); err == nil && id == wire.IDConnectionCloseOK {
				c.state = closed
			} else if err == nil && id == wire.IDConnectionClose {
				c.send(&wire.ConnectionCloseOK{})
				c.state = closed
			}
		}
		return nil
	}
	switch {
	case f.Type == wire.FrameHeartbeat:
		if f.Channel != 0 {
			return wire.UnexpectedFrame(f)
		}
		return nil
	case f.Channel == 0:
		if f.Type != wire.FrameMethod {
			return wire.UnexpectedFrame(f)
		}
		return c.connectionMethod(f.Payload)
	case c.state != running:
		return &wire.Error{Code: wire.CodeChannelError, Text: fmt.Sprintf("frame on channel %d before the connection is open", f.Channel)}
	}
	ch := c.last
	if ch == nil || ch.id != f.Channel {
		ch = c.channels[f.Channel]
	}
	if ch == nil {
		return c.openChannel(f)
	}
	c.last = ch
	return ch.frame(f)
}

// openChannel takes the first frame of a channel, which has to be channel.open.
func (c *conn) openChannel(f wire.Frame) error {
	if f.Type != wire.FrameMethod {
		return wire.UnexpectedFrame(f)
	}
	id, _, err := wire.SplitMethod(f.Payload)
	if err != nil {
		return err
	}
	switch {
	case id == wire.IDChannelCloseOK:
		return nil // late answer of a channel that both sides closed
	case id != wire.IDChannelOpen:
		return &wire.Error{Code: wire.CodeChannelError, Text: "expected 'channel.open'", Method: id}
	case f.Channel > c.chanMax || len(c.channels) >= int(c.chanMax):
		return &wire.Error{Code: wire.CodeNotAllowed, Method: id,
			Text: fmt.Sprintf("number of channels opened (%d) has reached the negotiated channel_max (%d)", len(c.channels), c.chanMax)}
	}
	ch := newChannel(c, f.Channel)
	c.channels[f.Channel] = ch
	c.last = ch
	ch.send(&wire.ChannelOpenOK{})
	return nil
}

// send queues a method on channel 0.
func (c *conn) send(m wire.Method) { c.out.method(0, m) }

// saveContents copies what unfinished contents still have in the read buffer.
func (c *conn) saveContents() {
	for _, ch := range c.pubs.open {
		ch.content.save()
	}
	clear(c.pubs.open)
	c.pubs.open = c.pubs.open[:0]
}
