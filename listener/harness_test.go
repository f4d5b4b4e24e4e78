package listener

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a protocol of lines. "login" lifts the budget, any other line comes
// back, and when the listener stops it says "bye" and waits for the peer's last
// line unless it is rude.
type echo struct {
	magic string
	mute  bool // never says goodbye: ends only when its connection is closed
	infos chan protocol.Info
}

func (e *echo) Name() string { return strings.ToLower(e.magic) }

func (e *echo) Sniff(prefix []byte) protocol.Verdict {
	switch {
	case bytes.HasPrefix(prefix, []byte(e.magic)):
		return protocol.Yes
	case bytes.HasPrefix([]byte(e.magic), prefix):
		return protocol.NeedMore
	}
	return protocol.No
}

func (e *echo) Serve(ctx context.Context, c net.Conn, in protocol.Info) error {
	if e.infos != nil {
		e.infos <- in
	}
	if !e.mute {
		defer context.AfterFunc(ctx, func() {
			_, _ = c.Write([]byte("bye\n"))
			_ = c.Close()
		})()
	}
	r := bufio.NewReaderSize(c, 16)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if line == "login\n" {
			protocol.Authenticated(c)
		}
		if _, err := protocol.WriteBuffers(c, &net.Buffers{[]byte(line[:1]), []byte(line[1:])}); err != nil {
			return err
		}
	}
}

// logBook keeps log lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

type running struct {
	*Listener
	t    *testing.T
	book *logBook
	stop func() error
}

// start runs a listener until the test ends.
func start(t *testing.T, o Options) *running {
	t.Helper()
	book := &logBook{}
	o.Logger = slog.New(slog.NewTextHandler(book, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Name == "" {
		o.Name = "amqp"
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Frontends == nil {
		o.Frontends = []protocol.Frontend{&echo{magic: "ECHO"}}
	}
	if o.Gate == nil {
		o.Gate = NewGate(GateOptions{})
	}
	l, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	r := &running{Listener: l, t: t, book: book}
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// A client is the test's end of a connection.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (r *running) dial() *client {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	return newClient(r.t, c)
}

func newClient(t *testing.T, c net.Conn) *client {
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: c, t: t, r: bufio.NewReader(c)}
}

// say sends a line and wants it back.
func (c *client) say(line string) {
	c.t.Helper()
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		c.t.Fatalf("write %q: %v", line, err)
	}
	c.hear(line)
}

func (c *client) hear(line string) {
	c.t.Helper()
	got, err := c.r.ReadString('\n')
	if err != nil || got != line+"\n" {
		c.t.Fatalf("read %q, %v; want %q", got, err, line)
	}
}

// closed waits for the listener to close the connection.
func (c *client) closed() {
	c.t.Helper()
	b, err := c.r.ReadByte()
	if err == nil {
		c.t.Fatalf("connection is open and sent %q", b)
	}
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
		c.t.Fatal("connection was not closed")
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
