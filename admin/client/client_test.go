package client

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fake struct {
	admin.Operations
	status admin.Status
	err    error
}

func (f fake) Status(context.Context) (admin.Status, error) { return f.status, f.err }

// start serves ops for dir until the test ends.
func start(t *testing.T, dir string, ops admin.Operations) {
	t.Helper()
	ln, cleanup, err := admin.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, ln, api.Options{Operations: ops}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		cleanup()
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestStatus(t *testing.T) {
	want := admin.Status{
		Node: "rabbit@node-01", Version: "1", Started: time.Unix(5, 0).UTC(), UptimeSeconds: 7,
		Addresses: map[string]string{"amqp": "127.0.0.1:5672"}, Limiting: []string{"the disk is full"},
		Counts: admin.Counts{Queues: 3, Ready: 1 << 40}, Shards: []admin.Shard{{ID: 1, Leader: "rabbit@node-01"}},
	}
	for _, tc := range []struct{ name, below string }{
		{"short path", "d"},
		{"path too long for a socket", strings.Repeat("long/", 30)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), tc.below)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			// An earlier life was killed and left its socket.
			if err := os.WriteFile(filepath.Join(dir, admin.SocketName), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			start(t, dir, fake{status: want})
			c := New(dir)
			defer c.Close()
			got, err := c.Status(t.Context())
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestSocketIsPrivate(t *testing.T) {
	dir := t.TempDir()
	start(t, dir, fake{})
	st, err := os.Stat(filepath.Join(dir, admin.SocketName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	c := New(dir)
	defer c.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	// A killed node leaves a socket that nobody serves.
	ln, err := net.Listen("unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dead socket: %v", err)
	}
	start(t, dir, fake{err: errors.New("too busy")})
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "too busy") {
		t.Errorf("failing node: %v", err)
	}
}
