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
)

// A conn is one client connection. Its fields belong to the goroutine of serve
// unless they say otherwise.
type conn struct {
	f      *Frontend
	nc     net.Conn
	in     protocol.Info
	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc
	log    *slog.Logger

	state    state
	broken   bool   // the stream can not be read as frames any more
	frameMax uint32 // negotiated
	chanMax  uint16
	session  *broker.Session
	caps     capabilities // not changed once the connection runs
	channels map[uint16]*channel
	last     *channel // looked up last

	buf    []byte // read buffer
	r, w   int    // what of buf is not handled yet
	filled bool   // the last read filled buf: there is more
	pubs   publishes
	acks   settles

	parking parking

	overdue   overdue
	heartbeat time.Duration // not changed once the timer runs
	beat      *time.Timer
	at        atomic.Int32 // what the reader is at, an activity
	readSince atomic.Bool  // something was read since the last beat
	wrote     atomic.Bool  // something was written since the last beat
	silent    int          // beats without a sign of the client; the timer's
	served    atomic.Bool  // serve returns: no more beats
	torn      atomic.Bool  // the last write did not end: no frame can follow

	closeAt time.Time // the deadline of closeBy
	active  bool      // something was read since the reader looked whether it may rest
	resting bool      // a deadline ends its read, to look again
	restAt  time.Time // that deadline

	out  outbox
	seen seen           // by operators
	wg   sync.WaitGroup // of the writer
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

// An activity is what the reader is at.
type activity = int32

const (
	reading  activity = iota // or about to
	handling                 // what it read; the broker may make it wait
	draining                 // waits until the client reads
)

// greeted reports whether the client can be told why it has to go. A login that is
// under way belongs to it: clients take a socket that is closed then for a wrong
// password, and do not try again.
func (s state) greeted() bool { return s >= wantStartOK && s <= running }

// String returns the name that clients are told.
func (s state) String() string {
	return [...]string{"pre_init", "starting", "tuning", "opening", "running", "closing", "closed"}[s]
}

type capabilities struct {
	cancelNotify, authFailureClose, blocked bool
}

// Sizes of the read buffer: small while idle, larger when reads fill it.
const (
	minRead   = 1 << 10
	maxRead   = 256 << 10
	leastRead = 512 // room for a read
)

// errPeerGone ends a connection without a word in the log.
var errPeerGone = errors.New("amqp091: peer is gone")

func (c *conn) serve() error {
	stop := context.AfterFunc(c.ctx, func() {
		_ = c.nc.SetReadDeadline(past())
		c.out.release()
	})
	defer stop()
	c.buf = make([]byte, minRead)
	err := c.readLoop()
	switch {
	case errors.Is(err, protocol.ErrFenced) || errors.Is(context.Cause(c.ctx), protocol.ErrFenced):
		c.cancel(protocol.ErrFenced)
		err = c.fenced()
	case c.ctx.Err() != nil && c.state.greeted():
		err = c.goodbye()
	}
	c.served.Store(true)
	if c.beat != nil {
		c.beat.Stop()
	}
	c.finish()
	if c.state == closed {
		c.linger()
	}
	c.cancel(nil)
	if errors.Is(err, errPeerGone) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// past is a deadline that is over.
func past() time.Time { return time.Unix(1, 0) }

// An endedError is why a connection was asked to end.
type endedError struct{ reason string }

func (e *endedError) Error() string { return "amqp091: " + e.reason }

// end asks the connection to end, from any goroutine.
func (c *conn) end(reason string) { c.cancel(&endedError{reason}) }

// goodbye tells the client that the broker stops, or ends this connection, and
// waits for its answer.
func (c *conn) goodbye() error {
	c.dropChannels()
	reason := "broker forced connection closure with reason 'shutdown'"
	var ended *endedError
	switch cause := context.Cause(c.ctx); {
	case errors.As(cause, &ended):
		reason = ended.reason
	case errors.Is(cause, protocol.ErrMaintenance):
		reason = "Node was put into maintenance mode" // RabbitMQ's words
	}
	c.send(&wire.ConnectionClose{
		ReplyCode: wire.CodeConnectionForced,
		ReplyText: wire.ReplyText(wire.CodeConnectionForced, reason),
	})
	c.state = closing
	c.seen.leaving.Store(true)
	c.out.wake(c)
	c.closeBy(c.f.o.CloseTimeout)
	return c.readLoop()
}

// closeBy bounds how long the connection waits for the client to leave.
func (c *conn) closeBy(d time.Duration) {
	c.closeAt = time.Now().Add(d) //nolint:forbidigo // a socket's deadline
	_ = c.nc.SetReadDeadline(c.closeAt)
}

// finish gives everything back and waits for the writer.
func (c *conn) finish() {
	if c.state < closing {
		c.out.kill() // the client went without a word: nothing reaches it
	}
	c.dropChannels()
	c.unwatch()
	c.stopLooking()
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.f.o.CloseTimeout)) //nolint:forbidigo // a socket's deadline
	if c.session != nil {
		c.session.Close()
	}
	c.out.stop(c)
}

func (c *conn) readLoop() error {
	for {
		if err := c.resume(); err != nil || c.state == closed {
			return err
		}
		if err := c.lookOverdue(); err != nil {
			return err
		}
		if c.full() {
			c.at.Store(handling)
			c.out.wake(c)
			if !c.out.waitDue(c.ctx) {
				return errPeerGone
			}
			continue
		}
		if len(c.buf)-c.w < leastRead || c.filled {
			c.grow()
		}
		c.restLater()
		c.at.Store(reading)
		n, err := c.nc.Read(c.buf[c.w:])
		c.at.Store(handling)
		if n > 0 {
			c.w += n
			c.filled = c.w == len(c.buf)
			c.active = true
			c.readSince.Store(true)
			c.seen.read(n)
			if err := c.handleAll(); err != nil {
				return err
			}
			if c.state == closed {
				return nil
			}
		}
		if err != nil && !c.interrupted(err) {
			return err
		}
		c.at.Store(draining)
		c.out.waitDrained(c.ctx)
	}
}

// grow makes room in the read buffer.
func (c *conn) grow() {
	if c.r > 0 {
		copy(c.buf, c.buf[c.r:c.w])
		c.w -= c.r
		c.r = 0
		if c.w < len(c.buf)/2 && !c.filled {
			return
		}
	}
	c.filled = false
	size := min(2*len(c.buf), maxRead)
	if need := wire.FrameLen(c.buf[:c.w]) + leastRead; need > size {
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
	for err != nil {
		// What follows an error in the same read is looked at, too: it may be
		// the client's own close.
		if err = c.fail(err); err == nil {
			err = c.frames()
		} else {
			break
		}
	}
	err = c.handled(err)
	if c.r == c.w {
		c.r, c.w = 0, 0
	}
	return err
}

// handled flushes what frames asked for: what they are views of may go.
func (c *conn) handled(err error) error {
	if ferr := c.flush(); ferr != nil && err == nil {
		err = c.fail(ferr)
	}
	c.saveContents()
	c.pubs.end(&c.f.batches)
	c.out.wake(c)
	return err
}

// fail closes the connection with the protocol's error, or just gives up.
func (c *conn) fail(err error) error {
	var we *wire.Error
	var fe *wire.FrameError
	switch {
	case c.ctx.Err() != nil && c.state != closing:
		return c.ctx.Err() // whatever failed, it failed for this
	case errors.As(err, &fe):
		we = fe.Reply()
		c.broken = true
	case errors.As(err, &we):
	default:
		return err
	}
	if c.state == closing || c.state == closed {
		return nil
	}
	c.log.Warn("connection closed on an error of the client", "peer", c.in.Peer.String(), "err", we.Error())
	if c.state < wantTuneOK && we.Code != wire.CodeAccessRefused {
		return errPeerGone // nothing but the greeting before login
	}
	c.closeWith(we)
	return nil
}

// closeWith sends connection.close and from then on waits for its answer only.
func (c *conn) closeWith(e *wire.Error) {
	if err := c.flush(); err != nil && softError(err) == nil {
		c.log.Debug("not published", "peer", c.in.Peer.String(), "err", err)
	}
	c.dropChannels()
	c.send(&wire.ConnectionClose{ReplyCode: e.Code, ReplyText: e.Error(), ClassID: e.Method.Class(), MethodID: e.Method.Method()})
	c.state = closing
	c.seen.leaving.Store(true)
	c.out.wake(c)
	wait := c.f.o.CloseTimeout
	if c.broken {
		wait = min(wait, time.Second) // no answer can be read
	}
	c.closeBy(wait)
}

// dropChannels gives back what the channels hold; nothing more is delivered.
func (c *conn) dropChannels() {
	for id, ch := range c.channels {
		ch.end(nil)
		ch.giveUp()
		ch.content.drop()
		c.loseChannel(id)
	}
	c.last = nil
}

func (c *conn) frames() error {
	if c.broken {
		c.r = c.w
		return nil
	}
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
		c.log.Info("client asked for a protocol that is not served", "peer", c.in.Peer.String(), "proto", p.String())
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
		return wire.UnexpectedFrame(f)
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
		return &wire.Error{
			Code: wire.CodeNotAllowed,
			Text: fmt.Sprintf("number of channels opened (%d) has reached the negotiated channel_max (%d)", len(c.channels), c.chanMax),
		}
	}
	if err := c.session.OpenChannel(); err != nil {
		we := hardError(err, id)
		we.Code = wire.CodeNotAllowed
		return we
	}
	ch := newChannel(c, f.Channel)
	c.keepChannel(ch)
	c.last = ch
	ch.send(&wire.ChannelOpenOK{})
	return nil
}

// send queues a method on channel 0.
func (c *conn) send(m wire.Method) { c.out.method(0, m) }

// saveContents copies what unfinished contents still have in the read buffer.
func (c *conn) saveContents() {
	for _, ch := range c.pubs.open {
		ch.content.listed = false
		ch.content.save()
	}
	clear(c.pubs.open)
	c.pubs.open = c.pubs.open[:0]
}
