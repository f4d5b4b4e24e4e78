package amqp091

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A watched connection tells when the deadline of reads is lifted.
type watched struct {
	net.Conn
	lifted chan struct{}
}

func (w *watched) SetReadDeadline(t time.Time) error {
	err := w.Conn.SetReadDeadline(t)
	if t.IsZero() {
		w.lifted <- struct{}{}
	}
	return err
}

// A connection that is not used any more lets its memory go, and goes on.
func TestRest(t *testing.T) {
	here, there := net.Pipe()
	w := &watched{here, make(chan struct{}, 16)}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := &conn{
		f: New(Options{RestAfter: time.Millisecond}), nc: w, ctx: ctx, cancel: cancel, state: running,
		frameMax: wire.DefaultFrameMax, buf: make([]byte, maxRead), channels: map[uint16]*channel{},
	}
	c.out.drained.L = &c.out.Mutex
	ch := newChannel(c, 1)
	c.channels[1] = ch
	for tag := range uint64(100) {
		ch.mu.unacked.add(held{to: &consumer{ch: ch}, tag: tag + 1})
	}
	c.acks.list = ch.mu.unacked.take(nil, 0, true)[:0]
	done := make(chan error)
	go func() { done <- c.readLoop() }() // received below
	beat := wire.AppendHeartbeat(nil)
	if _, err := there.Write(beat[:3]); err != nil { // a part of a frame is kept
		t.Fatal(err)
	}
	<-w.lifted
	if _, err := there.Write(beat[3:]); err != nil {
		t.Fatal(err)
	}
	<-w.lifted // it reads on, and rests again
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if len(c.buf) != minRead || c.r != c.w || c.state != running {
		t.Errorf("%d bytes to read into, %d of them in use, state %v", len(c.buf), c.w-c.r, c.state)
	}
	if cap(c.acks.list) != 0 || cap(ch.mu.unacked.list) != 0 {
		t.Errorf("room for %d and %d settles is kept", cap(c.acks.list), cap(ch.mu.unacked.list))
	}
}
