package health

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSniff(t *testing.T) {
	f := NewFrontend("http", http.NotFoundHandler(), nil)
	for prefix, want := range map[string]protocol.Verdict{
		"G": protocol.NeedMore, "GET": protocol.NeedMore, "GET ": protocol.Yes, "OPTIONS * ": protocol.Yes, "AMQP": protocol.NeedMore,
		"AMQP\x00": protocol.No, "\x16\x03": protocol.No, " /": protocol.No, "get /": protocol.No, strings.Repeat("A", 17): protocol.No,
	} {
		if got := f.Sniff([]byte(prefix)); got != want {
			t.Errorf("%q: %v, want %v", prefix, got, want)
		}
	}
}

type lines struct {
	sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.Write(p)
}

func (l *lines) String() string {
	l.Lock()
	defer l.Unlock()
	return l.Buffer.String()
}

// serve runs the frontend behind a listener whose connections may take so long.
func serve(t *testing.T, time time.Duration) (l *listener.Listener, log *lines, stop func()) {
	t.Helper()
	log = new(lines)
	l, err := listener.New(t.Context(), listener.Options{
		Name: "http", Addr: "127.0.0.1:0", Gate: listener.NewGate(listener.GateOptions{MaxConnections: 32, MaxHalfOpen: 16}), LoginTime: time,
		Frontends: []protocol.Frontend{NewFrontend("http", Handler(fixed(Status{State: Serving})), nil)},
		Logger:    slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return l, log, stop
}

func dial(t *testing.T, l *listener.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A request is answered and the connection closed, whatever the peer asks for;
// nothing is logged. HAProxy's httpchk sends the first kind.
func TestRequest(t *testing.T) {
	l, log, stop := serve(t, 5*time.Second)
	for _, head := range []string{
		"OPTIONS /health/ready HTTP/1.0\r\n\r\n",
		"GET /health/ready HTTP/1.0\r\n\r\n",
		"GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\nGET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /health/ready HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"NONSENSE\r\n\r\n",
	} {
		c := dial(t, l)
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if n := bytes.Count(text, []byte("HTTP/1.")); n != 1 {
			t.Errorf("%q: %d answers, %v: %q", head, n, err, text)
		}
		if strings.HasPrefix(head, "GET /health/ready") && !bytes.Contains(text, []byte(" 200 OK\r\n")) {
			t.Errorf("%q: %q", head, text)
		}
	}
	dial(t, l).Close() // knocks only
	stop()
	if log.String() != "" {
		t.Errorf("a health check is logged: %s", log)
	}
}

// A peer that sends its request by the byte has as long as one that says nothing:
// it can not push its end out, and is counted.
func TestSlow(t *testing.T) {
	l, _, stop := serve(t, 300*time.Millisecond)
	c := dial(t, l)
	request := "GET /health/ready HTTP/1.1\r\nX: " + strings.Repeat("a", 10000)
	began, n := time.Now(), 0
	for ; n < len(request); n++ {
		if _, err := io.WriteString(c, request[n:n+1]); err != nil {
			break
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("it is still served")
		}
	}
	stop()
	if got := l.Stats(); got.Overspent != 1 || got.Active != 0 {
		t.Errorf("after %d bytes: %+v", n, got)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// More header than fits is refused with a word.
func TestLargeHeader(t *testing.T) {
	l, _, _ := serve(t, 5*time.Second)
	c := dial(t, l)
	_, _ = fmt.Fprintf(c, "GET /health/live HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("a", 20<<10))
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, " 431 ") {
		t.Errorf("%q %v", line, err)
	}
}

// Peers that hold connections open keep no health check out: the one with most of
// them pays.
func TestCrowd(t *testing.T) {
	l, _, _ := serve(t, 5*time.Second)
	for range 16 {
		dial(t, l)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		resp, err := http.Get("http://" + l.Addr().String() + pathReady) //nolint:noctx // bounded by the listener
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == 200 {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no answer: %v", err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// When the node stops, who is still sending a request is not waited for.
func TestStop(t *testing.T) {
	l, _, stop := serve(t, time.Minute)
	c := dial(t, l)
	if _, err := io.WriteString(c, "GET /health/ready HT"); err != nil {
		t.Fatal(err)
	}
	for l.Stats().Active == 0 {
		<-time.After(time.Millisecond)
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the stop took %s", took)
	}
}
