package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/warrenmq/warren/node"
)

// stubbornVariable makes a textNode ignore that it shall stop.
const stubbornVariable = "WARREN_TEST_STUBBORN"

// A textNode is a node in a process of its own that keeps one message in a file:
// "PUT text" stores it and answers "OK", "GET" answers it.
type textNode struct {
	o     node.Options
	ln    net.Listener
	ready chan struct{}
}

func newTextNode(o node.Options) (Node, error) {
	ln, err := net.Listen("tcp", o.Listen[0].Addr)
	if err != nil {
		return nil, err
	}
	n := &textNode{o: o, ln: ln, ready: make(chan struct{})}
	close(n.ready)
	return n, nil
}

func (n *textNode) Ready() <-chan struct{}   { return n.ready }
func (n *textNode) Addrs() map[string]string { return map[string]string{"amqp": n.ln.Addr().String()} }

func (n *textNode) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		fmt.Fprintln(os.Stderr, "told to stop")
		if os.Getenv(stubbornVariable) == "" {
			_ = n.ln.Close()
		}
	})
	defer stop()
	for {
		c, err := n.ln.Accept()
		if err != nil {
			return nil
		}
		line, _ := bufio.NewReader(c).ReadString('\n')
		file := filepath.Join(n.o.DataDir, "message")
		if text, ok := strings.CutPrefix(line, "PUT "); ok {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return err
			}
			fmt.Fprintln(c, "OK")
		} else {
			text, _ := os.ReadFile(file)
			_, _ = c.Write(text)
		}
		_ = c.Close()
	}
}

// A textLink talks to a textNode.
type textLink struct {
	addr    string
	settled func(from, to uint64, ok bool)
	done    chan struct{}
	calls   sync.WaitGroup
	forget  bool // what was stored is not asked for again
}

func (l *textLink) ask(line string) (string, error) {
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	fmt.Fprintln(c, line)
	return bufio.NewReader(c).ReadString('\n')
}

func (l *textLink) Declare(context.Context, queueSpec) error { return nil }
func (l *textLink) Delete(context.Context, string) error     { return nil }
func (l *textLink) Confirms(_ context.Context, settled func(from, to uint64, ok bool)) error {
	l.settled = settled
	return nil
}

func (l *textLink) Publish(_ context.Context, msgs []outgoing) error {
	answer, err := l.ask("PUT " + string(msgs[0].Body))
	l.calls.Go(func() { l.settled(1, 1, answer == "OK\n") })
	return err
}

func (l *textLink) Consume(_ context.Context, _ string, _ consumeOptions, got func([]incoming)) error {
	text, err := l.ask("GET")
	if l.forget {
		text = "something else\n"
	}
	l.calls.Go(func() { got([]incoming{{Tag: 1, Body: []byte(strings.TrimSuffix(text, "\n"))}}) })
	return err
}

func (l *textLink) Ack(uint64, bool) error      { return nil }
func (l *textLink) Flush() error                { return nil }
func (l *textLink) Done() <-chan struct{}       { return l.done }
func (l *textLink) Err() error                  { return nil }
func (l *textLink) Close(context.Context) error { l.calls.Wait(); return nil }

// The demo starts, kills and restarts a real process, and cleans up behind it.
func TestDemo(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMPDIR", t.TempDir())
	w.Dial = func(_ context.Context, b broker, _ login) (link, error) {
		return &textLink{addr: b.Addr, done: make(chan struct{})}, nil
	}
	w.wants(exitOK, w.run("demo", "--once"))
	numbers := regexp.MustCompile(`process \d+|127\.0\.0\.1:\d+|after \d+ ms|data in \S+`)
	golden(t, "demo.txt", numbers.ReplaceAllStringFunc(w.out.String(), func(s string) string {
		return regexp.MustCompile(`\d+( ms)?$|in \S+$`).ReplaceAllString(s, "N$1")
	}))
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Without --once it serves until the user has seen enough.
func TestDemoGoesOn(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMPDIR", t.TempDir())
	w.Dial = func(_ context.Context, b broker, _ login) (link, error) {
		return &textLink{addr: b.Addr, done: make(chan struct{})}, nil
	}
	done := make(chan int)
	go func() { done <- w.run("demo") }()
	eventually(t, "it goes on serving", func() bool { return strings.Contains(w.out.String(), "Press Ctrl-C") })
	addr := regexp.MustCompile(`amqp://guest:guest@(\S+)/`).FindStringSubmatch(w.out.String())[1]
	if text, err := (&textLink{addr: addr}).ask("GET"); text != demoText+"\n" {
		t.Errorf("the broker answers %q, %v", text, err)
	}
	w.interrupted <- os.Interrupt
	w.wants(exitOK, <-done)
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A broker that loses the message, or does not start, fails the demo.
func TestDemoFails(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		do         func(*world)
	}{
		{"lost", "not what was published", func(w *world) {
			w.Dial = func(_ context.Context, b broker, _ login) (link, error) {
				return &textLink{addr: b.Addr, done: make(chan struct{}), forget: true}, nil
			}
		}},
		{"unreachable", "connect to the broker", func(w *world) {
			w.Dial = func(context.Context, broker, login) (link, error) { return nil, errors.New("no") }
		}},
		{"no program", "start /nonexistent", func(w *world) {
			w.Executable = func() (string, error) { return "/nonexistent", nil }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			t.Setenv("TMPDIR", t.TempDir())
			tc.do(w)
			w.wants(exitFailed, w.run("demo", "--once"))
			w.printed(w.errs.String(), tc.want)
			if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
