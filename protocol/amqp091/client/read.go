package client

import (
	"errors"
	"fmt"
	"io"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// readLoop handles one read after the other: all its frames, then the
// deliveries they carried, consumer by consumer.
func (c *Conn) readLoop() {
	err := c.frames() // those that came with the end of the handshake
	for err == nil {
		c.reading.Store(true)
		err = c.in.fill()
		c.reading.Store(false)
		c.heard.Store(true)
		if err == nil {
			err = c.frames()
		}
	}
	c.bury(err)
}

// frames handles what was read. What remains of it must not be a view: the
// buffer is about to be filled again.
func (c *Conn) frames() error {
	for {
		f, ok, err := c.in.next()
		if err == nil && ok {
			err = c.frame(f)
		}
		if err != nil || !ok {
			c.handOut()
			c.keepPartial()
			return err
		}
	}
}

// handOut calls the consumers and has written what they buffered.
func (c *Conn) handOut() {
	for i, k := range c.dirty {
		k.handOut()
		c.dirty[i] = nil
	}
	c.dirty = c.dirty[:0]
	c.mu.Lock()
	pending := len(c.mu.out) > 0
	c.mu.Unlock()
	if pending {
		c.wake()
	}
}

// keepPartial copies what this read brought of messages that go on in the next.
func (c *Conn) keepPartial() {
	for i, ch := range c.partial {
		ch.content.keep()
		c.partial[i] = nil
	}
	c.partial = c.partial[:0]
}

// push buffers an answer of ours; handOut has it written.
func (c *Conn) push(m wire.Method, channel uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.out = m.AppendFrame(c.mu.out, channel)
}

func (c *Conn) frame(f wire.Frame) error {
	if f.Channel == 0 {
		return c.zeroFrame(f)
	}
	ch := c.last
	if ch == nil || ch.number != f.Channel {
		c.mu.Lock()
		ch = c.mu.channels[f.Channel]
		c.mu.Unlock()
		if ch == nil || f.Type == wire.FrameHeartbeat {
			return &violation{wire.UnexpectedFrame(f)}
		}
		c.last = ch
	}
	switch f.Type {
	case wire.FrameMethod:
		return ch.method(f)
	case wire.FrameHeader:
		return ch.header(f)
	case wire.FrameBody:
		return ch.body(f)
	}
	return &violation{wire.UnexpectedFrame(f)}
}

// zeroFrame handles what concerns the connection.
func (c *Conn) zeroFrame(f wire.Frame) error {
	switch f.Type {
	case wire.FrameHeartbeat:
		return nil
	case wire.FrameMethod:
	default:
		return &violation{wire.UnexpectedFrame(f)}
	}
	m, err := wire.DecodeMethod(f.Payload)
	if err != nil {
		return broken(err)
	}
	switch m := m.(type) {
	case *wire.ConnectionClose:
		c.push(&wire.ConnectionCloseOK{}, 0)
		if c.isClosing() {
			return ErrClosed
		}
		return closedBy(m.ReplyCode, m.ReplyText, wire.MakeID(m.ClassID, m.MethodID), 0)
	case *wire.ConnectionCloseOK:
		if c.isClosing() {
			return ErrClosed
		}
	case *wire.ConnectionBlocked:
		c.blocked(Blocked{Active: true, Reason: m.Reason})
		return nil
	case *wire.ConnectionUnblocked:
		c.blocked(Blocked{})
		return nil
	case *wire.ConnectionUpdateSecretOK:
		return c.zero.answer(m, nil)
	}
	return violate(wire.CodeCommandInvalid, "unexpected %v", m.ID())
}

func (c *Conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.closing
}

func (c *Conn) blocked(b Blocked) {
	if c.opts.OnBlocked != nil {
		c.opts.OnBlocked(b)
	}
}

// bury ends everything: the error is told to whoever waits, the server hears
// why if it is its fault, and the other goroutines go.
func (c *Conn) bury(err error) {
	c.mu.Lock()
	if c.mu.err == nil {
		c.mu.err = c.verdict(err)
	}
	var v *violation
	if errors.As(c.mu.err, &v) {
		bye := wire.ConnectionClose{ReplyCode: v.cause.Code, ReplyText: v.cause.Error()}
		c.mu.out = bye.AppendFrame(c.mu.out, 0)
	}
	for _, ch := range c.mu.channels {
		ch.end(c.mu.err)
	}
	clear(c.mu.channels)
	c.mu.Unlock()
	_ = c.conn.SetWriteDeadline(c.opts.Now().Add(farewell))
	close(c.dying)
}

// verdict says why the connection ended, given how reading did. mu is held.
func (c *Conn) verdict(err error) error {
	var e *Error
	var v *violation
	switch {
	case errors.Is(err, ErrClosed), errors.As(err, &e), errors.As(err, &v):
		return err
	case c.mu.lame != nil:
		return c.mu.lame
	case errors.Is(err, io.EOF) && c.mu.closing:
		return ErrClosed // it hung up instead of answering: just as well
	case errors.Is(err, io.EOF):
		return fmt.Errorf("client: the server hung up: %w", err)
	}
	return fmt.Errorf("client: reading: %w", err)
}
