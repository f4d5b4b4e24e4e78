package ctl

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/node"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock")) // ends a second after the last match
}

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// identity is a node that answers nothing else.
type identity struct{ admin.Operations }

func (identity) Identity(context.Context) (admin.Identity, error) {
	return admin.Identity{Node: "rabbit@node-01", Version: "test", PID: 4711}, nil
}

// A desk is a world whose surroundings are the test's, with a node.
type desk struct {
	t         testing.TB
	out, errs bytes.Buffer
	env       map[string]string
	dir       string
	stdin     string
	names     client.Names
}

// newDesk serves ops, if there are any, for a directory until the test ends.
func newDesk(t testing.TB, ops admin.Operations) *desk {
	d := &desk{t: t, env: map[string]string{}, dir: t.TempDir()}
	if ops == nil {
		return d
	}
	ln, cleanup, err := admin.ListenSocket(t.Context(), d.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, ln, api.Options{Operations: ops}) }()
	t.Cleanup(func() { cancel(); <-served; cleanup() })
	return d
}

// run runs a command line of rabbitmqctl and returns the exit code.
func (d *desk) run(line ...string) int { return d.runAs("rabbitmqctl", line...) }

func (d *desk) runAs(tool string, line ...string) int {
	d.out.Reset()
	d.errs.Reset()
	return Main(d.t.Context(), World{
		Stdin: strings.NewReader(d.stdin), Stdout: &d.out, Stderr: &d.errs, Version: "test", DataDir: d.dir,
		Getenv: func(name string) string { return d.env[name] }, Now: time.Now, Alive: Alive, Names: d.names,
	}, tool, line)
}

// wants runs a command line and compares all that comes of it.
func (d *desk) wants(code int, out, errs string, line ...string) {
	d.t.Helper()
	if got := d.run(line...); got != code || d.out.String() != out || d.errs.String() != errs {
		d.t.Errorf("%q: exit code %d, want %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q", line, got, code, d.out.String(), out, d.errs.String(), errs)
	}
}

// golden compares what was printed with a file; -rewrite makes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// A liveNode is a node of this process, with its log.
type liveNode struct {
	*node.Node
	dir string
	log *logText
}

// newNode runs a node of the directory dir until the test ends. Its files are in fs,
// or on the disk if that is nil.
func newNode(t testing.TB, dir string, fs vfs.FS) *liveNode {
	t.Helper()
	const name = "rabbit@node-01"
	n := &liveNode{dir: dir, log: new(logText)}
	var err error
	n.Node, err = node.New(node.Options{
		Name: name, DataDir: dir, Version: "test", FS: fs, SegmentBytes: 1 << 20,
		Listen: []node.Listen{{Protocol: "amqp", Addr: "127.0.0.1:0"}},
		Memory: node.Memory{Budget: 256 << 20, Entries: 64 << 20, Memtable: 4 << 20, Cache: 4 << 20},
		Grace:  500 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Exit:   ends(name, n.log),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil { // a node that does not stop ends the process
			t.Errorf("the node ended: %v\n%s", err, n.log)
		}
	})
	select {
	case <-n.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatalf("the node ended: %v\n%s", err, n.log)
	case <-time.After(racing.Longer(30 * time.Second)):
		t.Fatalf("the node does not serve\n%s", n.log)
	}
	return n
}

// ends is for a node that ends its process, above all because it did not stop in
// time: then its log has the stacks. The tests end with it, for who waits for the
// node would wait for ever.
func ends(name string, log *logText) func(int) {
	return func(status int) { panic(fmt.Sprintf("%s ends the process with status %d\n%s", name, status, log)) }
}

// A logText takes the log of a node, and can be read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
