package listener

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// What a node that may not serve is sent is not looked at, and nothing is written
// but a goodbye; the grace is short then.
func TestFenced(t *testing.T) {
	var stopped atomic.Bool
	met := make(chan error, 2)
	l, err := New(t.Context(), Options{
		Name: "amqp", Addr: "127.0.0.1:0", Gate: NewGate(GateOptions{}), Grace: time.Minute,
		Serving: func() bool { return !stopped.Load() }, Frontends: []protocol.Frontend{&leaver{met: met}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(line string) string {
		if _, err := c.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		s, _ := r.ReadString('\n')
		return s
	}
	if got := say("hello\n"); got != "hello\n" {
		t.Fatalf("got %q while it serves", got)
	}
	stopped.Store(true)
	if got := say("again\n"); got != "bye\n" {
		t.Fatalf("got %q when it may not serve", got)
	}
	if err := <-met; !errors.Is(err, protocol.ErrFenced) {
		t.Fatalf("reading gave %v", err)
	}
	if err := <-met; !errors.Is(err, protocol.ErrFenced) {
		t.Fatalf("writing gave %v", err)
	}
	stopped.Store(false)
	deaf, err := net.Dial("tcp", l.Addr().String()) // it leaves only when it is closed
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	if _, err := deaf.Write([]byte("mute\n")); err != nil {
		t.Fatal(err)
	}
	if got, _ := bufio.NewReader(deaf).ReadString('\n'); got != "mute\n" {
		t.Fatalf("got %q", got)
	}
	cancel(protocol.ErrFenced)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the grace of a stop was given")
	}
}

// leaver echoes lines and tells what reading and writing give at the end.
type leaver struct{ met chan error }

func (leaver) Name() string                  { return "leaver" }
func (leaver) Sniff([]byte) protocol.Verdict { return protocol.Yes }

func (l leaver) Serve(_ context.Context, c net.Conn, _ protocol.Info) error {
	protocol.Authenticated(c)
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if errors.Is(err, protocol.ErrFenced) {
			l.met <- err
			_, err = protocol.WriteBuffers(c, &net.Buffers{[]byte("late\n")})
			l.met <- err
			protocol.Farewell(c)
			_, err = c.Write([]byte("bye\n"))
			return err
		}
		if err != nil {
			return err
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// What asking for the lease adds to a read and a write of a client.
func BenchmarkServing(b *testing.B) {
	for _, bc := range []struct {
		name    string
		serving func() bool
	}{{"lease=none", nil}, {"lease=held", func() bool { return true }}} {
		b.Run(bc.name, func(b *testing.B) {
			near, far := net.Pipe()
			defer near.Close()
			go func() { // ends with the pipe
				_, _ = io.Copy(far, far)
			}()
			defer far.Close()
			base := lifted(near)
			c := &conn{Conn: base, base: base, serving: bc.serving}
			buf := make([]byte, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// lifted is the budget of a client that has logged in.
func lifted(c net.Conn) *budget {
	b := &budget{Conn: c}
	b.lifted.Store(true)
	return b
}
