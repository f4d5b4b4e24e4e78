package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// farewell is how long the last frames of a lost connection may take.
const farewell = time.Second

// A Conn is a connection that is logged in. Its methods may be called from any
// goroutine, except where a callback is barred (see the package's comment).
type Conn struct {
	opts       Options
	conn       net.Conn
	server     wire.Table
	frameMax   uint32
	channelMax uint16
	heartbeat  time.Duration // 0 is none
	zero       *Channel      // carries the connection's own calls

	in      frameReader // owned by readLoop, as are the next three
	dirty   []*consumer // with deliveries not yet handed out
	partial []*Channel  // with a message that this read brought a part of
	last    *Channel    // of the previous frame

	heard   atomic.Bool // something was read since the last tick
	reading atomic.Bool // readLoop waits for the server, not for a callback
	sent    atomic.Bool // something was written since the last tick

	kick  chan struct{} // wakes flushLoop; holds one
	dying chan struct{} // closed by readLoop when the connection is lost
	wg    sync.WaitGroup

	// wmu is held while writing. It may be held while mu is taken, never the
	// other way round.
	wmu   sync.Mutex
	spare []byte // guarded by wmu: the buffer not in use

	mu struct {
		sync.Mutex
		out      []byte
		err      error // why the connection is lost
		lame     error // why nothing can be written, while reading goes on
		closing  bool  // connection.close was sent
		channels map[uint16]*Channel
		number   uint16 // last channel number given out
	}
}

func newConn(o Options, nc net.Conn) *Conn {
	c := &Conn{
		opts: o, conn: nc, frameMax: wire.FrameMinSize,
		in:   frameReader{conn: nc, limit: wire.FrameMinSize},
		kick: make(chan struct{}, 1), dying: make(chan struct{}),
	}
	c.zero = newChannel(c, 0, ChannelOptions{})
	c.mu.channels = map[uint16]*Channel{0: c.zero}
	return c
}

func (c *Conn) start() {
	c.heard.Store(true) // the handshake
	c.wg.Go(c.readLoop)
	c.wg.Go(c.flushLoop)
	if c.heartbeat > 0 {
		c.wg.Go(c.beatLoop)
	}
}

// ServerProperties are what the server told about itself.
func (c *Conn) ServerProperties() wire.Table { return c.server }

// FrameMax is the negotiated limit.
func (c *Conn) FrameMax() uint32 { return c.frameMax }

// Done is closed when the connection is lost or closed. Err says why.
func (c *Conn) Done() <-chan struct{} { return c.dying }

// Err returns nil while the connection lives, then why it ended: an *Error when
// the server closed it, ErrClosed after Close.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// UpdateSecret gives the server a new password or token for the connection.
func (c *Conn) UpdateSecret(ctx context.Context, m wire.ConnectionUpdateSecret) error {
	_, err := c.zero.call(ctx, &m, call{want: wire.IDConnectionUpdateSecretOK})
	return err
}

// Close flushes, says goodbye, waits for the server's answer and for the
// connection's goroutines. When the context or Options.CloseTimeout is over, it
// hangs up instead. It returns nil if the connection ended in order.
func (c *Conn) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.CloseTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.fail(fmt.Errorf("client: closing: %w", ctx.Err()))
		_ = c.conn.SetDeadline(past())
	})
	defer stop()
	c.mu.Lock()
	if c.mu.err == nil && !c.mu.closing {
		c.mu.closing = true
		bye := wire.ConnectionClose{ReplyCode: wire.CodeSuccess, ReplyText: "bye"}
		c.mu.out = bye.AppendFrame(c.mu.out, 0)
	}
	c.mu.Unlock()
	c.wake()
	c.wg.Wait()
	if err := c.Err(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Flush writes what is buffered.
func (c *Conn) Flush() error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.mu.Lock()
	out, err := c.mu.out, cmp.Or(c.mu.err, c.mu.lame)
	c.mu.out = c.spare
	c.mu.Unlock()
	c.spare = nil
	if len(out) > 0 {
		c.sent.Store(true)
		if _, werr := c.conn.Write(out); werr != nil && err == nil {
			err = fmt.Errorf("client: writing: %w", werr)
			c.limp(err)
		}
	}
	if cap(out) <= 4*flushAt {
		c.spare = out[:0]
	}
	return err
}

// wake has flushLoop write what is buffered. It never blocks.
func (c *Conn) wake() {
	select {
	case c.kick <- struct{}{}:
	default: // it is awake
	}
}

// fail records why the connection is lost, unless that is known already, and
// has readLoop end it.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.mu.err == nil {
		c.mu.err = err
	}
	c.mu.Unlock()
	_ = c.conn.SetReadDeadline(past())
}

// limp stops writing but lets readLoop go on for a moment: what ended the
// connection is often a close that is still to be read.
func (c *Conn) limp(err error) {
	c.mu.Lock()
	if c.mu.lame == nil {
		c.mu.lame = err
	}
	c.mu.Unlock()
	_ = c.conn.SetReadDeadline(c.opts.Now().Add(farewell))
}

// flushLoop writes for those who must not wait for the server, and has the last
// word on the socket.
func (c *Conn) flushLoop() {
	for {
		select {
		case <-c.kick:
			_ = c.Flush() // an error has failed the connection
		case <-c.dying:
			_ = c.Flush() // the goodbye, if it still can be said
			_ = c.conn.Close()
			return
		}
	}
}

// beatLoop turns ticks, two to an interval, into heartbeats and a verdict.
func (c *Conn) beatLoop() {
	ticks, stop := c.opts.Tick(c.heartbeat / 2)
	defer stop()
	var p pulse
	for {
		select {
		case <-c.dying:
			return
		case <-ticks:
		}
		// A callback that takes its time is not the server's silence.
		heard := c.heard.Swap(false) || !c.reading.Load()
		beat, dead := p.tick(heard, c.sent.Swap(false))
		if dead {
			c.fail(ErrSilent)
			return
		}
		if beat {
			c.beat()
		}
	}
}

// A pulse counts silence in ticks. It starts with the first tick after the
// handshake, which counts as heard.
type pulse struct{ silent int }

// tick says whether a heartbeat is due, because nothing was sent since the last
// tick, and whether the server is given up: nothing was heard for two intervals.
func (p *pulse) tick(heard, sent bool) (beat, dead bool) {
	const patience = 4 // ticks
	if heard {
		p.silent = 0
	} else {
		p.silent++
	}
	return !sent, p.silent == patience
}

func (c *Conn) beat() {
	c.mu.Lock()
	if len(c.mu.out) == 0 {
		c.mu.out = wire.AppendHeartbeat(c.mu.out)
	}
	c.mu.Unlock()
	c.wake()
}
