package listener

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// Half-open connections beyond the limit are turned away while those inside are
// young, with how to raise the limit; logging in makes room.
func TestHalfOpenLimit(t *testing.T) {
	gate := NewGate(GateOptions{MaxHalfOpen: 2, Clock: &manual{now: time.Unix(0, 0)}})
	r := start(t, Options{Gate: gate})
	one, two := r.dial(), r.dial()
	one.say("ECHO")
	two.say("ECHO")
	r.dial().closed()
	eventually(t, "explained", func() bool { return strings.Contains(r.book.String(), "--set limits.max_half_open=N") })
	one.say("login")
	three := r.dial()
	three.say("ECHO")
	two.say("still here")
	one.say("still here")
}

// idle is a connection that says its protocol's name and then nothing.
type idle struct {
	net.Conn
	greeted atomic.Bool
	closed  chan struct{}
	once    sync.Once
}

func (c *idle) Read(p []byte) (int, error) {
	if c.greeted.CompareAndSwap(false, true) {
		return copy(p, "ECHO"), nil
	}
	<-c.closed
	return 0, io.EOF
}

func (c *idle) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (c *idle) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func (c *idle) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2} }
func (c *idle) SetDeadline(time.Time) error      { return nil }
func (c *idle) SetReadDeadline(time.Time) error  { return nil }
func (c *idle) SetWriteDeadline(time.Time) error { return nil }

// crowd is a socket on which n idle connections arrive.
type crowd struct {
	left   int
	closed chan struct{}
	once   sync.Once
}

func (c *crowd) Listen(context.Context, string, string) (net.Listener, error) { return c, nil }
func (c *crowd) Addr() net.Addr                                               { return &net.TCPAddr{} }

func (c *crowd) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (c *crowd) Accept() (net.Conn, error) {
	if c.left == 0 {
		<-c.closed
		return nil, errors.New("closed")
	}
	c.left--
	return &idle{closed: make(chan struct{})}, nil
}

// waiting is a frontend that reads and nothing else.
type waiting struct {
	*echo
	served *atomic.Int64
}

func (w waiting) Serve(_ context.Context, c net.Conn, _ protocol.Info) error {
	protocol.Authenticated(c)
	w.served.Add(1)
	var b [16]byte
	for {
		if _, err := c.Read(b[:]); err != nil {
			w.served.Add(-1)
			return err
		}
	}
}

// What an idle connection costs in this package, socket and frontend aside.
func BenchmarkIdleConnection(b *testing.B) {
	const conns = 10_000
	for range b.N {
		var served atomic.Int64
		l, err := New(b.Context(), Options{
			Name: "amqp", Network: &crowd{left: conns, closed: make(chan struct{})}, Gate: NewGate(GateOptions{MaxHalfOpen: conns}),
			Frontends: []protocol.Frontend{waiting{&echo{magic: "ECHO"}, &served}},
		})
		if err != nil {
			b.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		for served.Load() < conns {
			runtime.Gosched()
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		used := int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)
		b.ReportMetric(float64(used)/conns, "B/conn")
		cancel()
		l.closeConns(false)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
