package listener

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

func TestServe(t *testing.T) {
	infos := make(chan protocol.Info, 1)
	r := start(t, Options{Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}}})
	c := r.dial()
	c.say("ECHO hello")
	c.say("login")
	c.say("more")
	in := <-infos
	if in.Listener != "amqp" || in.TLS != nil {
		t.Errorf("info %+v", in)
	}
	if want := netip.MustParseAddrPort(c.LocalAddr().String()); in.Peer != want {
		t.Errorf("peer %v, want %v", in.Peer, want)
	}
	if want := netip.MustParseAddrPort(r.Addr().String()); in.Local != want {
		t.Errorf("local %v, want %v", in.Local, want)
	}
	_ = c.Close()
	eventually(t, "connection counted out", func() bool { return r.Stats().Active == 0 && r.o.Gate.Stats().Connections == 0 })
}

// A load balancer that only looks whether the port is open must not fill the
// log, nor must one that resets instead of closing (estate R19).
func TestBareConnectLogsNothingAboveDebug(t *testing.T) {
	r := start(t, Options{})
	for i := range 20 {
		c := r.dial()
		if i%2 == 1 {
			if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
	eventually(t, "all seen", func() bool { return r.Stats().Accepted == 20 && r.Stats().Active == 0 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(r.book.String()) {
		if !strings.Contains(line, "level=DEBUG") {
			t.Errorf("logged above debug: %s", line)
		}
	}
}

// Bytes before login are counted whatever the frontend does with them (X3).
func TestBudgetBytes(t *testing.T) {
	r := start(t, Options{LoginBytes: 1000})
	c := r.dial()
	c.say("ECHO " + strings.Repeat("a", 500)) // 506 bytes with its end
	c.say(strings.Repeat("b", 490))           // 997
	_, _ = c.Write([]byte("cccccccccccc"))    // three too many, and no end of line
	c.closed()
	eventually(t, "counted", func() bool { return r.Stats().Overspent == 1 })
	eventually(t, "logged", func() bool { return strings.Contains(r.book.String(), "its budget is used up") })
}

// A peer that has logged in may send what it likes for as long as it likes.
func TestBudgetIsLifted(t *testing.T) {
	r := start(t, Options{LoginBytes: 100, LoginTime: 50 * time.Millisecond})
	c := r.dial()
	c.say("ECHO")
	c.say("login")
	<-time.After(60 * time.Millisecond) // beyond the time before login
	for range 10 {
		c.say(strings.Repeat("x", 100))
	}
}

// Slowloris: one byte at a time keeps nobody inside (X3, G19).
func TestBudgetTime(t *testing.T) {
	r := start(t, Options{LoginTime: 80 * time.Millisecond})
	began := time.Now()
	silent, slow := r.dial(), r.dial()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if _, err := slow.Write([]byte("E")); err != nil {
				return
			}
		}
	}()
	silent.closed()
	slow.closed()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closed after %s", took)
	}
	eventually(t, "counted out", func() bool { return r.Stats().Active == 0 })
}

// A frontend that sets its own deadlines cannot push the end of the time before
// login out, and finds them in force once the peer has logged in.
func TestBudgetDeadlines(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name        string
		set         time.Time
		want, after time.Time
	}{
		{"none", time.Time{}, now.Add(10 * time.Second), time.Time{}},
		{"later", now.Add(time.Hour), now.Add(10 * time.Second), now.Add(time.Hour)},
		{"earlier", now.Add(time.Second), now.Add(time.Second), now.Add(time.Second)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raw := &deadlines{}
			b, err := newBudget(raw, 10, now.Add(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.SetDeadline(tc.set); err != nil {
				t.Fatal(err)
			}
			if raw.read != tc.want || raw.write != tc.want {
				t.Errorf("before login %v, %v; want %v", raw.read, raw.write, tc.want)
			}
			if !b.lift() || b.lift() {
				t.Error("lift must report exactly its first call")
			}
			if raw.read != tc.after || raw.write != tc.after {
				t.Errorf("after login %v, %v; want %v", raw.read, raw.write, tc.after)
			}
			if err := b.SetReadDeadline(now.Add(time.Minute)); err != nil || raw.read != now.Add(time.Minute) {
				t.Errorf("set after login: %v, %v", raw.read, err)
			}
		})
	}
}

type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = t; return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = t; return nil }
func (d *deadlines) SetDeadline(t time.Time) error      { d.read, d.write = t, t; return nil }

func TestConnectionLimits(t *testing.T) {
	for _, tc := range []struct {
		name, setting string
		o             Options
	}{
		{"listener", "limits.max_connections_per_listener", Options{MaxConnections: 2}},
		{"node", "limits.max_connections", Options{Gate: NewGate(GateOptions{MaxConnections: 2})}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := start(t, tc.o)
			one, two := r.dial(), r.dial()
			one.say("ECHO")
			two.say("ECHO")
			r.dial().closed()
			eventually(t, "it is counted", func() bool { return r.Stats().Refused == 1 })
			eventually(t, "the log says how to raise the limit", func() bool {
				return strings.Contains(r.book.String(), "raise it with --set "+tc.setting+"=N")
			})
			_ = one.Close()
			eventually(t, "place is free", func() bool { return r.Stats().Active == 1 && r.o.Gate.Stats().Connections == 1 })
			r.dial().say("ECHO")
		})
	}
}

// The socket closes first, then frontends say goodbye, then Run returns.
func TestShutdown(t *testing.T) {
	r := start(t, Options{})
	served, half := r.dial(), r.dial()
	served.say("ECHO")
	if _, err := half.Write([]byte("EC")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are in", func() bool { return r.Stats().Active == 2 })
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	served.hear("bye")
	served.closed()
	half.closed()
	if c, err := net.Dial("tcp", r.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the socket is still open")
	}
}

// A frontend that does not end is cut off when the grace is over.
func TestShutdownIsBounded(t *testing.T) {
	r := start(t, Options{Grace: 20 * time.Millisecond, Frontends: []protocol.Frontend{&echo{magic: "ECHO", mute: true}}})
	c := r.dial()
	c.say("ECHO")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	c.closed()
	if !strings.Contains(r.book.String(), "did not end in time") {
		t.Errorf("log:\n%s", r.book)
	}
}

// failing is a socket whose next accepts fail.
type failing struct {
	net.Listener
	errs chan error
}

func (f *failing) Accept() (net.Conn, error) {
	select {
	case err := <-f.errs:
		return nil, &net.OpError{Op: "accept", Err: err}
	default:
		return f.Listener.Accept()
	}
}

func (f *failing) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, addr)
	f.Listener = ln
	return f, err
}

// pauses is a clock whose waits end at once and are written down.
type pauses struct {
	machineClock
	waits chan time.Duration
}

func (p pauses) After(d time.Duration) <-chan time.Time {
	p.waits <- d
	c := make(chan time.Time, 1)
	c <- time.Time{}
	return c
}

// Running out of descriptors slows accepting down, and is neither the end nor a
// busy loop.
func TestAcceptBacksOff(t *testing.T) {
	f := &failing{errs: make(chan error, 12)}
	for range 12 {
		f.errs <- syscall.EMFILE
	}
	clock := pauses{waits: make(chan time.Duration, 16)}
	r := start(t, Options{Network: f, Clock: clock})
	c := r.dial()
	c.say("ECHO")
	if n := r.Stats().AcceptFailures; n != 12 {
		t.Errorf("%d failures counted", n)
	}
	last := time.Duration(0)
	for range 12 {
		d := <-clock.waits
		if d < last || d > time.Second {
			t.Errorf("paused %s after %s", d, last)
		}
		last = d
	}
	if last != time.Second {
		t.Errorf("longest pause %s", last)
	}
	if !strings.Contains(r.book.String(), "LimitNOFILE") {
		t.Errorf("log:\n%s", r.book)
	}
}

func TestAcceptGivesUp(t *testing.T) {
	f := &failing{errs: make(chan error, 1)}
	f.errs <- syscall.EINVAL
	l, err := New(t.Context(), Options{Name: "amqp", Addr: "127.0.0.1:0", Network: f, Gate: NewGate(GateOptions{}), Frontends: []protocol.Frontend{&echo{magic: "ECHO"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Run(t.Context()); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Run returned %v", err)
	}
}

func TestNewReportsAllFaults(t *testing.T) {
	_, err := New(t.Context(), Options{LoginBytes: -1, Grace: -1})
	for _, want := range []string{"has no name", "serves no protocol", "has no gate", "login bytes is -1", "grace is -1ns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	r := start(t, Options{Gate: NewGate(GateOptions{MaxConnections: 1})})
	in := r.dial()
	in.say("ECHO")
	for range 200 {
		c, err := net.Dial("tcp", r.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	if n := strings.Count(r.book.String(), "connection refused"); n == 0 || n > 100 {
		t.Errorf("%d lines for 200 refused connections", n)
	}
}
