package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// ChannelOptions are a channel's callbacks. They run on the connection's
// reading goroutine: see the package's comment.
type ChannelOptions struct {
	// OnConfirm is called for each confirm after Confirm.
	OnConfirm func(Confirmation)
	// OnReturn is called for each message that came back. Its slices are
	// good until the callback returns.
	OnReturn func(Return)
	// OnCancel is called when the server took a consumer away.
	OnCancel func(consumerTag string)
}

// A Confirmation settles a publish, or with Multiple all up to it.
type Confirmation struct {
	Tag      uint64
	Multiple bool
	Ack      bool // false: the server could not take the message
}

// A Channel is a channel of a connection.
type Channel struct {
	conn   *Conn
	number uint16
	opts   ChannelOptions
	turn   chan struct{} // holds the one call under way
	done   chan struct{} // closed with err

	// Owned by readLoop.
	consumers map[string]*consumer
	latest    *consumer // of the previous delivery
	content   content

	// closing means that channel.close was sent: only its answer counts. It
	// is set under conn.mu; readLoop looks without.
	closing atomic.Bool

	// Guarded by conn.mu.
	err     error // why the channel is closed
	waiting *call
	confirm bool
	seq     uint64 // of the last publish since confirm
}

// A call waits for an answer.
type call struct {
	want    wire.ID
	or      wire.ID // the other good answer, or 0
	deliver func([]Delivery)
	done    chan answer // holds one
}

type answer struct {
	method  wire.Method
	message *Message
	err     error
}

func newChannel(c *Conn, number uint16, o ChannelOptions) *Channel {
	return &Channel{
		conn: c, number: number, opts: o,
		turn: make(chan struct{}, 1), done: make(chan struct{}),
		consumers: map[string]*consumer{},
	}
}

// Channel opens a channel.
func (c *Conn) Channel(ctx context.Context, o ChannelOptions) (*Channel, error) {
	ch, err := c.register(o)
	if err != nil {
		return nil, err
	}
	if _, err := ch.call(ctx, &wire.ChannelOpen{}, call{want: wire.IDChannelOpenOK}); err != nil {
		return nil, err
	}
	return ch, nil
}

// register gives out the next free number.
func (c *Conn) register(o ChannelOptions) (*Channel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mu.err; err != nil {
		return nil, err
	}
	for range c.channelMax {
		if c.mu.number++; c.mu.number > c.channelMax || c.mu.number == 0 {
			c.mu.number = 1
		}
		if c.mu.channels[c.mu.number] == nil {
			ch := newChannel(c, c.mu.number, o)
			c.mu.channels[ch.number] = ch
			return ch, nil
		}
	}
	return nil, fmt.Errorf("client: all %d channels are in use", c.channelMax)
}

// Number is the channel's number on its connection.
func (ch *Channel) Number() uint16 { return ch.number }

// Done is closed when the channel is closed. Err says why.
func (ch *Channel) Done() <-chan struct{} { return ch.done }

// Err returns nil while the channel is open, then why it was closed: an *Error
// when the server did, ErrClosed after Close.
func (ch *Channel) Err() error {
	ch.conn.mu.Lock()
	defer ch.conn.mu.Unlock()
	return ch.err
}

// Flush writes what is buffered on the whole connection.
func (ch *Channel) Flush() error { return ch.conn.Flush() }

// Close closes the channel. Closing a closed channel is no error.
func (ch *Channel) Close(ctx context.Context) error {
	bye := &wire.ChannelClose{ReplyCode: wire.CodeSuccess, ReplyText: "bye"}
	_, err := ch.call(ctx, bye, call{want: wire.IDChannelCloseOK})
	var e *Error
	if errors.Is(err, ErrClosed) || errors.As(err, &e) && e.Channel == ch.number {
		return nil // somebody was faster
	}
	return err
}

// call sends a method and waits for its answer. When the context ends first,
// the channel is closed, because the answer may still come.
func (ch *Channel) call(ctx context.Context, m wire.Method, k call) (answer, error) {
	select {
	case ch.turn <- struct{}{}:
		defer func() { <-ch.turn }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("client: %v: %w", m.ID(), ctx.Err())
	}
	k.done = make(chan answer, 1)
	if err := ch.send(m, &k); err != nil {
		return answer{}, err
	}
	ch.conn.wake()
	select {
	case a := <-k.done:
		return a, a.err
	case <-ctx.Done():
		err := fmt.Errorf("client: waiting for the answer to %v: %w", m.ID(), ctx.Err())
		ch.abandon(&k, err)
		return answer{}, err
	}
}

// send buffers a method. With a call it also says who waits for the answer.
func (ch *Channel) send(m wire.Method, k *call) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	c := ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ch.unusable(); err != nil {
		return err
	}
	before := len(c.mu.out)
	c.mu.out = m.AppendFrame(c.mu.out, ch.number)
	if size := len(c.mu.out) - before; uint64(size) > uint64(c.frameMax) {
		c.mu.out = c.mu.out[:before]
		return fmt.Errorf("client: %v of %d bytes exceeds the frame limit of %d", m.ID(), size, c.frameMax)
	}
	if k != nil {
		ch.waiting = k
	}
	switch m.ID() {
	case wire.IDChannelClose:
		ch.closing.Store(true)
	case wire.IDConfirmSelect:
		ch.confirm = true // what is buffered after it counts
	}
	return nil
}

// unusable says why nothing more can be sent. conn.mu is held.
func (ch *Channel) unusable() error {
	switch {
	case ch.err != nil:
		return ch.err
	case ch.conn.mu.err != nil:
		return ch.conn.mu.err
	case ch.conn.mu.lame != nil:
		return ch.conn.mu.lame
	case ch.closing.Load() || ch.conn.mu.closing:
		return ErrClosed
	}
	return nil
}

// abandon gives a call up.
func (ch *Channel) abandon(k *call, err error) {
	c := ch.conn
	if ch.number == 0 {
		c.fail(err)
		return
	}
	c.mu.Lock()
	if ch.waiting == k {
		ch.waiting = nil
		if !ch.closing.Swap(true) && c.mu.err == nil {
			bye := wire.ChannelClose{ReplyCode: wire.CodeSuccess, ReplyText: "gave up waiting"}
			c.mu.out = bye.AppendFrame(c.mu.out, ch.number)
		}
		ch.end(err)
	}
	c.mu.Unlock()
	c.wake()
}

// end closes the channel on our side. conn.mu is held.
func (ch *Channel) end(err error) {
	if ch.err == nil {
		ch.err = err
		close(ch.done)
	}
	if k := ch.waiting; k != nil {
		ch.waiting = nil
		k.done <- answer{err: ch.err}
	}
}

// answer hands an answer to who waits for it. It runs on readLoop.
func (ch *Channel) answer(m wire.Method, msg *Message) error {
	ch.conn.mu.Lock()
	k := ch.waiting
	if k == nil || m.ID() != k.want && m.ID() != k.or {
		ch.conn.mu.Unlock()
		if ch.closing.Load() {
			return nil // given up since this frame was found
		}
		return violate(wire.CodeCommandInvalid, "unexpected %v", m.ID())
	}
	ch.waiting = nil
	ch.conn.mu.Unlock()
	if ok, is := m.(*wire.BasicConsumeOK); is {
		ch.consumers[ok.ConsumerTag] = &consumer{tag: ok.ConsumerTag, deliver: k.deliver}
		ch.latest = nil
	}
	k.done <- answer{method: m, message: msg}
	return nil
}
