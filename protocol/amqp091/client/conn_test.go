package client

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// TestConnectionClosedByServer: everybody who waits hears the reason, and so
// does who comes later.
func TestConnectionClosedByServer(t *testing.T) {
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		want[wire.TxCommit](s, 1)
		s.send(0, &wire.ConnectionClose{ReplyCode: wire.CodeConnectionForced, ReplyText: "CONNECTION_FORCED - shutdown"})
		want[wire.ConnectionCloseOK](s, 0)
		s.drain()
	})
	var e *Error
	if err := ch.TxCommit(within(t)); !errors.As(err, &e) || e.Code != wire.CodeConnectionForced || e.Channel != 0 {
		t.Fatalf("the call: %v", err)
	}
	receive(t, c.Done())
	for name, err := range map[string]error{
		"channel": ch.Err(), "connection": c.Err(), "close": c.Close(within(t)), "flush": c.Flush(), "commit": ch.TxCommit(within(t)),
	} {
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Channel(within(t), ChannelOptions{}); !errors.As(err, &e) {
		t.Errorf("a new channel: %v", err)
	}
}

// TestCloseIsReadAfterTheWriteFailed: the server closes and hangs up while the
// client writes; the client still finds out why.
func TestCloseIsReadAfterTheWriteFailed(t *testing.T) {
	c := newConn(withLogin(Options{}).withDefaults(), &halfDead{
		reads: (&wire.ConnectionClose{ReplyCode: wire.CodeAccessRefused, ReplyText: "no"}).AppendFrame(nil, 0),
		wrote: make(chan struct{}),
	})
	c.start()
	c.push(&wire.ChannelOpen{}, 1)
	if err := c.Flush(); err == nil {
		t.Error("the write did not fail")
	}
	receive(t, c.Done())
	var e *Error
	if err := c.Close(within(t)); !errors.As(err, &e) || e.Code != wire.CodeAccessRefused {
		t.Errorf("the reason: %v", err)
	}
}

func TestHangUp(t *testing.T) {
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) { want[wire.TxCommit](s, 1) })
	if err := ch.TxCommit(within(t)); !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "hung up") {
		t.Errorf("the call: %v", err)
	}
	if err := c.Close(within(t)); !errors.Is(err, io.EOF) {
		t.Errorf("close: %v", err)
	}
}

// TestCloseFlushes: what was buffered goes out before the goodbye, and a server
// that hangs up instead of answering is no error.
func TestCloseFlushes(t *testing.T) {
	c, ch := openChannel(t, Options{}, ChannelOptions{}, func(s *fake) {
		if _, _, body := s.message(1); string(body) != "buffered" {
			s.t.Errorf("body %q", body)
		}
		want[wire.ConnectionClose](s, 0)
	})
	if _, err := ch.Publish(&Publishing{Body: []byte("buffered")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(within(t)); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestGoodbyesCross: both sides close at once.
func TestGoodbyesCross(t *testing.T) {
	c := open(t, Options{}, func(s *fake) {
		want[wire.ConnectionClose](s, 0)
		s.send(0, &wire.ConnectionClose{ReplyCode: wire.CodeConnectionForced, ReplyText: "x"})
		want[wire.ConnectionCloseOK](s, 0)
	})
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
}

// TestServerStopsReading: Close ends a connection whose server takes nothing,
// and with it the publisher who waits for room.
func TestServerStopsReading(t *testing.T) {
	stop := make(chan struct{})
	c, ch := openChannel(t, Options{Now: func() time.Time { return past() }}, ChannelOptions{}, func(s *fake) { <-stop })
	defer close(stop)
	published := make(chan error, 1)
	started := make(chan struct{})
	go func() { // joined by receive below
		p := Publishing{Body: make([]byte, 1000)}
		for i := 0; ; i++ {
			if i == 10 {
				close(started)
			}
			if _, err := ch.Publish(&p); err != nil {
				published <- err
				return
			}
		}
	}()
	receive(t, started)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if err := receive(t, published); err == nil {
		t.Error("the publisher goes on")
	}
}

// A clock gives ticks by hand.
type clock struct {
	ticks   chan time.Time
	every   chan time.Duration
	stopped chan struct{}
}

func newClock() *clock {
	return &clock{
		ticks: make(chan time.Time), every: make(chan time.Duration, 1), stopped: make(chan struct{}),
	}
}

func (k *clock) start(d time.Duration) (<-chan time.Time, func()) {
	k.every <- d
	return k.ticks, func() { close(k.stopped) }
}

// tickUntil ticks as fast as the ticks are taken.
func (k *clock) tickUntil(done <-chan struct{}) {
	for {
		select {
		case k.ticks <- time.Time{}:
		case <-done:
			return
		}
	}
}

func TestPulse(t *testing.T) {
	var p pulse
	for i, step := range []struct{ heard, sent, beat, dead bool }{
		{true, true, false, false},
		{false, false, true, false}, // 1
		{false, true, false, false}, // 2
		{false, false, true, false}, // 3
		{true, false, true, false},  // heard just in time
		{false, true, false, false},
		{false, true, false, false},
		{false, true, false, false},
		{false, true, false, true},
	} {
		if beat, dead := p.tick(step.heard, step.sent); beat != step.beat || dead != step.dead {
			t.Errorf("tick %d: beat %v, dead %v", i, beat, dead)
		}
	}
}

// TestHeartbeatsGoOut: a tick with nothing written before it brings a heartbeat,
// which counts as written for the next tick.
func TestHeartbeatsGoOut(t *testing.T) {
	const rounds = 3
	k := newClock()
	beat := make(chan struct{})
	c := open(t, Options{Heartbeat: 10 * time.Second, Tick: k.start}, func(s *fake) {
		for range rounds {
			if f := s.frame(); f.Type != wire.FrameHeartbeat || f.Channel != 0 {
				s.t.Errorf("want a heartbeat, got %+v", f)
			}
			s.write(wire.AppendHeartbeat(nil))
			beat <- struct{}{}
		}
		s.close()
	})
	if d := receive(t, k.every); d != 5*time.Second {
		t.Errorf("ticks every %v", d)
	}
	for range rounds {
		k.ticks <- time.Time{}
		receive(t, beat)
		k.ticks <- time.Time{} // nothing: the server would find it in place of the end
	}
	if err := c.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	receive(t, k.stopped)
}

// TestSilence: a server that reads and says nothing is given up.
func TestSilence(t *testing.T) {
	k := newClock()
	c := open(t, Options{Heartbeat: 10 * time.Second, Tick: k.start}, func(s *fake) { s.drain() })
	k.tickUntil(c.Done())
	if err := c.Close(within(t)); !errors.Is(err, ErrSilent) {
		t.Errorf("the reason: %v", err)
	}
}

// TestSlowCallbackIsNotSilence: the server is not blamed for our own callback.
func TestSlowCallbackIsNotSilence(t *testing.T) {
	k := newClock()
	in, out := make(chan struct{}), make(chan struct{})
	c := open(t, Options{Heartbeat: 10 * time.Second, Tick: k.start, OnBlocked: func(Blocked) { close(in); <-out }}, func(s *fake) {
		go s.drain() // ends with the pipe
		s.send(0, &wire.ConnectionBlocked{})
		<-out
	})
	receive(t, in)
	for range 20 {
		k.ticks <- time.Time{}
	}
	if err := c.Err(); err != nil {
		t.Errorf("gave up: %v", err)
	}
	close(out)
}
