package node

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/listener"
)

// TestFailingStarts wants every failed start to say why, to leave nothing
// behind, and to give the directory back.
func TestFailingStarts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, o *Options)
		is   error
		says string
	}{
		{"directory is a file", func(t *testing.T, o *Options) {
			o.FS, o.DataDir = vfs.Default, filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(o.DataDir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, ErrDataDir, "file"},
		{"address in use", func(_ *testing.T, o *Options) {
			o.Listen = append(o.Listen, Listen{Protocol: "auto", Addr: taken.Addr().String()})
		}, ErrAddress, "address already in use"},
		{"certificate missing", func(_ *testing.T, o *Options) {
			o.Listen, o.TLS = []Listen{{Protocol: "amqps", Addr: "127.0.0.1:0"}}, listener.TLS{Cert: "no-such-cert.pem", Key: "no-such-key.pem"}
		}, os.ErrNotExist, "no-such-cert.pem"},
		{"socket", func(t *testing.T, o *Options) { // its name is taken by a directory that is not empty
			if err := os.MkdirAll(filepath.Join(o.DataDir, "warren.sock", "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, ErrDataDir, "warren.sock"},
		{"node.json", func(t *testing.T, o *Options) {
			writeFile(t, o.FS, o.DataDir, "node.json", "{")
		}, ErrDataDir, "node.json"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good := testOptions(t, t.TempDir(), vfs.NewMem())
			o := good
			tc.do(t, &o)
			err := tryRun(o)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %v that says %q", err, tc.is, tc.says)
			}
			if o.DataDir == good.DataDir && tc.name != "node.json" && tc.name != "socket" {
				start(t, good).stop()
			}
		})
	}
}

func writeFile(t *testing.T, fs vfs.FS, dir, name, text string) {
	t.Helper()
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// tryRun runs a node that should not start.
func tryRun(o Options) error {
	n, err := New(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.Run(ctx)
}

// TestTwoNodes refuses a second node on a directory, and only while the first
// one lives.
func TestTwoNodes(t *testing.T) {
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	r := start(t, o)
	if _, err := New(o); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	declare(t, r.channel(), "a") // the first one goes on
	r.stop()
	start(t, o)
}

// TestFullDisk lets the writes of a first start fail for want of space from the
// k-th on: New or Run says so, or the process ends with the status for it; with
// space again the next start goes on.
func TestFullDisk(t *testing.T) {
	for k := int64(0); k < 60; k += 3 {
		mem, dir := vfs.NewMem(), t.TempDir()
		var left, status atomic.Int64
		left.Store(k)
		o := testOptions(t, dir, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.Contains(op.Path, "state") { // its opening ends the process, for good
				return nil
			}
			switch op.Kind {
			case errorfs.OpFileWrite, errorfs.OpFileWriteAt, errorfs.OpCreate:
				if left.Add(-1) < 0 {
					return syscall.ENOSPC
				}
			}
			return nil
		})))
		o.Exit = func(s int) { status.Store(int64(s)); runtime.Goexit() }
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		n, err := New(o)
		if err != nil {
			ended <- err
		} else {
			go func() { ended <- n.Run(ctx) }()
		}
		full := waitFull(t, ended, &status, n)
		cancel()
		switch {
		case full == nil: // it ended the process, or serves
			if err := <-ended; err != nil && status.Load() == 0 {
				t.Fatalf("k=%d: %v", k, err)
			}
		case !errors.Is(full, ErrIO) && !errors.Is(full, ErrDataDir):
			t.Fatalf("k=%d: %v", k, full)
		}
		if s := status.Load(); s != 0 && s != exitIO {
			t.Fatalf("k=%d: status %d", k, s)
		}
		o.FS = mem
		o.Exit = testOptions(t, dir, mem).Exit
		r := start(t, o)
		declare(t, r.channel(), "a")
		r.stop()
	}
}

// waitFull waits until a node failed (its error), ended the process or serves
// (nil).
func waitFull(t *testing.T, ended <-chan error, status *atomic.Int64, n *Node) error {
	t.Helper()
	var ready <-chan struct{}
	if n != nil {
		ready = n.Ready()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for status.Load() == 0 {
		select {
		case err := <-ended:
			if err == nil {
				t.Fatal("ended without a word")
			}
			return err
		case <-ready:
			return nil
		case <-tick.C:
		case <-limit:
			t.Fatal("neither serves nor fails")
		}
	}
	return nil
}

// TestSyncFails ends the process with status 74 and confirms nothing after it.
func TestSyncFails(t *testing.T) {
	var failing atomic.Bool
	status := make(chan int, 10)
	o := testOptions(t, t.TempDir(), errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failing.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			return syscall.EIO
		}
		return nil
	})))
	o.Exit = func(s int) { status <- s; runtime.Goexit() }
	r := start(t, o)
	ch := r.channel()
	declare(t, ch, "a")
	publish(t, ch, "a", 0, 5)
	failing.Store(true)
	c, err := ch.PublishWithDeferredConfirm("", "a", false, false, amqpMessage("x"))
	if err != nil {
		t.Fatal(err)
	}
	if s := <-status; s != exitIO {
		t.Errorf("status %d", s)
	}
	select {
	case <-c.Done():
		t.Error("confirmed after a failed sync")
	case <-time.After(50 * time.Millisecond):
	}
}

// A brokenNetwork opens sockets that stop accepting when told.
type brokenNetwork struct{ broken chan struct{} }

type brokenSocket struct {
	net.Listener
	broken chan struct{}
}

func (n brokenNetwork) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, network, addr)
	return brokenSocket{ln, n.broken}, err
}

func (s brokenSocket) Accept() (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	got := make(chan result, 1)
	go func() { c, err := s.Listener.Accept(); got <- result{c, err} }() // ends when the socket is closed
	select {
	case r := <-got:
		return r.c, r.err
	case <-s.broken:
		return nil, syscall.EBADF
	}
}

// TestListenerEnds wants a node whose listener ends by itself to end, and say so.
func TestListenerEnds(t *testing.T) {
	broken := make(chan struct{})
	o := testOptions(t, t.TempDir(), vfs.NewMem())
	o.Network = brokenNetwork{broken}
	o.Listen = append(o.Listen, Listen{Protocol: "auto", Addr: "127.0.0.1:0"})
	r := start(t, o)
	r.cancel = nil // it ends by itself
	close(broken)
	if err := r.wait(); !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "accept on") {
		t.Errorf("ended with %v", err)
	}
}
