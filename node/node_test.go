package node

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "4")                                                        // tests of clusters wait for each other's beats, not for the processor
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock")) // ends a second after the last match
}

// A logBuffer takes the log lines of a node.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// testOptions are those of a small node in dir. Its files are in memory, but for
// the socket.
func testOptions(t *testing.T, dir string, fs vfs.FS) Options {
	t.Helper()
	o := good()
	o.DataDir, o.FS, o.Grace, o.SegmentBytes = dir, fs, 500*time.Millisecond, 1<<20
	o.Memory.HighWatermark = 1 << 40 // what is measured is held by the nodes of all tests that run
	o.Exit = func(status int) { t.Errorf("the node ended the process with status %d", status); runtime.Goexit() }
	return o
}

// A running node is one that Run was called for.
type running struct {
	*Node
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	log    *logBuffer
}

// launch makes a node and runs it.
func launch(t *testing.T, o Options) *running {
	t.Helper()
	log := new(logBuffer)
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, t: t, cancel: cancel, ended: make(chan error, 1), log: log}
	go func() { r.ended <- n.Run(ctx) }()
	return r
}

// start makes a node, runs it and waits until it serves.
func start(t *testing.T, o Options) *running {
	t.Helper()
	r := launch(t, o)
	select {
	case <-r.Ready():
	case err := <-r.ended:
		t.Fatalf("the node ended: %v\n%s", err, r.log)
	case <-time.After(20 * time.Second):
		t.Fatalf("the node does not serve\n%s", r.log)
	}
	t.Cleanup(r.stop)
	return r
}

// stop ends the node and wants it to end well, and soon.
func (r *running) stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	begin := time.Now()
	if err := r.wait(); err != nil {
		r.t.Errorf("the node ended: %v", err)
	}
	if took := time.Since(begin); took > r.o.Grace+3*time.Second {
		r.t.Errorf("the stop took %s", took)
	}
}

func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(30 * time.Second):
		buf := make([]byte, 1<<20)
		r.t.Fatalf("the node does not end\n%s\n%s", r.log, buf[:runtime.Stack(buf, true)])
		return nil
	}
}

// dial connects as guest; the connection ends with the test, at the latest.
func (r *running) dial() *amqp.Connection {
	r.t.Helper()
	c, err := amqp.Dial("amqp://guest:guest@" + r.Addrs()["amqp"] + "/")
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.log)
	}
	r.t.Cleanup(func() { _ = c.CloseDeadline(time.Now().Add(time.Second)) })
	return c
}

func (r *running) channel() *amqp.Channel {
	r.t.Helper()
	ch, err := r.dial().Channel()
	if err != nil {
		r.t.Fatal(err)
	}
	return ch
}

func declare(t *testing.T, ch *amqp.Channel, queue string) amqp.Queue {
	t.Helper()
	q, err := ch.QueueDeclare(queue, true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// publish sends messages from..to-1 and waits until each is confirmed.
func publish(t *testing.T, ch *amqp.Channel, queue string, from, to int) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var confirms []*amqp.DeferredConfirmation
	for i := from; i < to; i++ {
		c, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false, amqp.Publishing{DeliveryMode: 2, Body: fmt.Appendf(nil, "%d", i)})
		if err != nil {
			t.Fatal(err)
		}
		confirms = append(confirms, c)
	}
	for i, c := range confirms {
		if ok, err := c.WaitContext(ctx); err != nil || !ok {
			t.Fatalf("message %d: confirmed %v, %v", from+i, ok, err)
		}
	}
}

// want reads messages from..to-1 in order, and nothing else.
func want(t *testing.T, ch *amqp.Channel, queue string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		d, ok, err := ch.Get(queue, true)
		if err != nil || !ok || string(d.Body) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v, %v", i, d.Body, ok, err)
		}
	}
	if d, ok, err := ch.Get(queue, true); ok || err != nil {
		t.Fatalf("one too many: %q, %v", d.Body, err)
	}
}

func (r *running) status() admin.Status {
	r.t.Helper()
	c := client.New(r.o.DataDir)
	defer c.Close()
	s, err := c.Status(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestRestarts(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	for i := range 4 {
		r := start(t, o)
		ch := r.channel()
		for _, q := range []string{"a", "b", "c"} {
			if n := declare(t, ch, q).Messages; n != 20*i {
				t.Errorf("start %d: queue %s has %d messages", i, q, n)
			}
			publish(t, ch, q, 20*i, 20*i+20)
		}
		if s := r.status(); s.Counts.Ready != int64(60*(i+1)) || s.Counts.Queues != 3 || len(s.Shards) != 3 || len(s.Limiting) != 0 || s.Addresses["amqp"] == "" {
			t.Errorf("start %d: status %+v", i, s)
		}
		r.stop()
	}
	ch := start(t, o).channel()
	for _, q := range []string{"a", "b", "c"} {
		want(t, ch, q, 0, 80)
	}
}

// TestOnDisk is a restart on the machine's file system.
func TestOnDisk(t *testing.T) {
	o := testOptions(t, t.TempDir(), nil)
	r := start(t, o)
	declare(t, r.channel(), "a")
	publish(t, r.channel(), "a", 0, 10)
	s := r.status()
	if s.Disk.Free == 0 || s.Disk.Log == 0 || s.Disk.State == 0 || s.Memory.Used == 0 {
		t.Errorf("status %+v", s)
	}
	for _, sh := range s.Shards {
		if sh.LogBytes == 0 || sh.Leader != o.Name {
			t.Errorf("shard %+v", sh)
		}
	}
	second := o
	second.Exit = func(int) {}
	if _, err := New(second); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second node on the directory: %v", err)
	}
	r.stop()
	if _, err := os.Stat(filepath.Join(o.DataDir, admin.SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	want(t, start(t, o).channel(), "a", 0, 10)
}

// TestStopWithConnections wants a stop to end in time whatever clients do.
func TestStopWithConnections(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	ch := r.channel()
	declare(t, ch, "a")
	publish(t, ch, "a", 0, 100)
	for range 20 {
		if _, err := r.channel().Consume("a", "", false, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 { // half say nothing, half hang in the handshake and never answer
		c, err := net.Dial("tcp", r.Addrs()["amqp"])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if i%2 == 0 {
			if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.stop()
}

// TestToldToStop ends the start itself at many moments: that is no failure, and
// the next start goes on.
func TestToldToStop(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	for i := range 12 {
		r := launch(t, o)
		if i > 0 {
			<-time.After(time.Duration(i*i) * time.Millisecond)
		}
		r.cancel()
		if err := r.wait(); err != nil {
			t.Fatalf("stopped after %d ms: %v", i*i, err)
		}
	}
	ch := start(t, o).channel()
	declare(t, ch, "a")
	publish(t, ch, "a", 0, 3)
	want(t, ch, "a", 0, 3)
}

// TestNeverRun closes a node that was only made.
func TestNeverRun(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	for range 2 {
		n, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
	}
}
