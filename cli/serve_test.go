package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/node"
)

// A fakeNode is ready at once and runs until it is told to stop.
type fakeNode struct {
	o     node.Options
	ready chan struct{}
	err   error // ends it at once
}

func newFakeNode(o node.Options) *fakeNode {
	n := &fakeNode{o: o, ready: make(chan struct{})}
	close(n.ready)
	return n
}

func (n *fakeNode) Ready() <-chan struct{} { return n.ready }

func (n *fakeNode) Addrs() map[string]string {
	addrs := map[string]string{}
	for _, l := range n.o.Listen {
		addrs[l.Protocol] = strings.Replace(l.Addr, ":0", ":4711", 1)
	}
	return addrs
}

func (n *fakeNode) Run(ctx context.Context) error {
	if n.err != nil {
		return n.err
	}
	<-ctx.Done()
	return nil
}

func TestServe(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, portsFile), []byte("stale"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		done <- w.run("serve", "--data", dir, "--name", "rabbit@node-01", "--listen", "amqp=127.0.0.1:0", "--cookie-file", "c",
			"--listen", "cluster=127.0.0.1:0", "--listen", "http=127.0.0.1:0", "--listen", "mqtt=:0", "--listen", "stomp=off", "--set", "limits.max_half_open=77")
	}()
	eventually(t, "ready line", func() bool { return strings.Contains(w.out.String(), "\n") })
	want := fmt.Sprintf("warren: rabbit@node-01 is ready: amqp 127.0.0.1:4711, http 127.0.0.1:4711 (this machine only; open it with --bind), data in %s\n", dir)
	if got := w.out.String(); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, portsFile))
	if err != nil || string(text) != `{"amqp":"127.0.0.1:4711","http":"127.0.0.1:4711"}`+"\n" {
		t.Errorf("ports.json: %q, %v", text, err)
	}
	for _, proto := range []string{"mqtt"} {
		if n := strings.Count(w.errs.String(), "this version does not serve it yet\" node=rabbit@node-01 proto="+proto+"\n"); n != 1 {
			t.Errorf("%d warnings for %s", n, proto)
		}
	}
	if c := w.nodeOptions.Cluster; c.Addr != "127.0.0.1:0" || c.CookieFile != "c" {
		t.Errorf("cluster %+v", c)
	}
	if w.nodeOptions.Limits.MaxHalfOpen != 77 || w.nodeOptions.Version != "test" {
		t.Errorf("options %+v", w.nodeOptions)
	}
	w.interrupted <- syscall.SIGTERM
	w.wants(exitOK, <-done)
	if _, err := os.Stat(filepath.Join(dir, portsFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ports.json is left: %v", err)
	}
}

func TestServeUntilStdinCloses(t *testing.T) {
	w := newWorld(t)
	in, hold := io.Pipe()
	w.Stdin = in
	done := make(chan int)
	go func() { done <- w.run("serve", "--data", t.TempDir(), "--until-stdin-closes", "--bind", "*") }()
	eventually(t, "ready", func() bool { return strings.Contains(w.out.String(), "open to other machines") })
	_ = hold.Close()
	w.wants(exitOK, <-done)
}

func TestServeExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		err     error
		atStart bool
		want    int
	}{
		{"locked", nil, node.ErrLocked, true, exitDataDir},
		{"directory", nil, fmt.Errorf("x: %w", node.ErrDataDir), true, exitDataDir},
		{"address in use", nil, fmt.Errorf("x: %w", node.ErrAddress), false, exitUnavailable},
		{"disk", nil, fmt.Errorf("x: %w", node.ErrIO), false, exitIO},
		{"other", nil, errors.New("x"), false, exitFailed},
		{"key", []string{"--set", "x=1"}, nil, false, exitConfig},
		{"file", []string{"--config", "/nonexistent/warren.yaml"}, nil, false, exitConfig},
		{"later protocol", []string{"--listen", "openwire=:0"}, nil, false, exitConfig},
		{"unknown protocol", []string{"--listen", "amqq=:0"}, nil, false, exitConfig},
		{"tls", []string{"--listen", "amqps=:0"}, nil, false, exitConfig},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.NewNode = func(o node.Options) (Node, error) {
				if tc.atStart {
					return nil, tc.err
				}
				return &fakeNode{o: o, ready: make(chan struct{}), err: tc.err}, nil
			}
			w.wants(tc.want, w.run(append([]string{"serve", "--data", t.TempDir()}, tc.args...)...))
			if w.errs.String() == "" {
				t.Error("no reason is given")
			}
		})
	}
}

// A node that was just killed holds its directory for a moment.
func TestServeWaitsForTheDirectory(t *testing.T) {
	w := newWorld(t)
	w.LockPatience = 20 * time.Second
	tries, start := 0, w.NewNode
	w.NewNode = func(o node.Options) (Node, error) {
		if tries++; tries < 3 {
			return nil, node.ErrLocked
		}
		return start(o)
	}
	done := make(chan int)
	go func() { done <- w.run("serve", "--data", t.TempDir()) }()
	eventually(t, "ready", func() bool { return strings.Contains(w.out.String(), "is ready") })
	w.interrupted <- os.Interrupt
	w.wants(exitOK, <-done)
}

func TestConfigFile(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	file := filepath.Join(dir, "warren.yaml")
	if err := os.WriteFile(file, []byte("name: a@b\nlimits:\n  max_conections: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.wants(exitConfig, w.run("config", "show", "--config", file))
	w.printed(w.errs.String(), file+`:3: unknown key "limits.max_conections"; did you mean "limits.max_connections"?`)
	if err := os.WriteFile(file, []byte("name: a@b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.wants(exitOK, w.run("config", "show", "--config", file))
	w.printed(w.out.String(), "name: a@b", "# "+file+":1")
}

type statusOf struct {
	admin.Operations
	s admin.Status
}

func (s statusOf) Status(context.Context) (admin.Status, error) { return s.s, nil }

func TestStatus(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	w.wants(exitUnavailable, w.run("status", "--data", dir))

	s := admin.Status{
		Node: "rabbit@node-01", Version: "1.0", UptimeSeconds: 3661, DataDir: "/data",
		Addresses: map[string]string{"amqp": "127.0.0.1:5672", "auto": "127.0.0.1:5670"},
		Counts:    admin.Counts{VHosts: 1, Exchanges: 7, Bindings: 3, Queues: 2, Connections: 4, Channels: 5, Consumers: 6, Ready: 100, Unacked: 8},
		Memory:    admin.Memory{Used: 50 << 20, Budget: 256 << 20, Entries: 1536, EntriesLimit: 128 << 20},
		Disk:      admin.Disk{Log: 3 << 30, State: 900, Free: 5 << 40, Segments: 12},
		Shards: []admin.Shard{
			{ID: 1, Kind: "catalog", Leader: "rabbit@node-01", Replicas: []string{"rabbit@node-01"}, Term: 2, Commit: 10, Applied: 10, LogBytes: 100},
			{ID: 2, Kind: "queues", Replicas: []string{"rabbit@node-01"}, Term: 3, Commit: 20, Applied: 19, LogBytes: 2048, Queues: 2, Messages: 108},
		},
		Limiting: []string{"memory.entries is used up; raise it with --set memory.entries=SIZE", "shard 2 has no leader"},
	}
	ln, cleanup, err := admin.ListenSocket(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, ln, api.Options{Operations: statusOf{s: s}}) }()
	defer func() { cancel(); <-served; cleanup() }()

	w.wants(exitOK, w.run("status", "--data", dir))
	golden(t, "status.txt", w.out.String())
	w.out.buf.Reset()
	w.wants(exitOK, w.run("status", "--data", dir, "--json"))
	var got client.Status
	if err := json.Unmarshal([]byte(w.out.String()), &got); err != nil || got.Shards[1].Messages != 108 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestVersion(t *testing.T) {
	w := newWorld(t)
	w.wants(exitOK, w.run("version"))
	w.printed(w.out.String(), "warren test go1.")
}

// The first signal stops a node, the second ends the program at once, whatever
// the node is doing.
func TestSecondSignal(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	environ := w.Environ
	w.Environ = func() []string { return append(environ(), stubbornVariable+"=1") }
	p, err := startProcess(w.App, "serve", "--data", dir, "--listen", "amqp=127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.kill() }()
	select {
	case <-p.ready:
	case <-p.ended:
		t.Fatal(p.failure())
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node is told to stop", func() bool { return strings.Contains(p.log.String(), "told to stop") })
	select {
	case <-p.ended:
		t.Fatal("it ended by the first signal")
	default:
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not end")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// The password of a user made at the start is told on standard error, in plain
// words, and nowhere else.
func TestServeAnnounces(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	const canary = "s3cr3t-canary"
	w.NewNode = func(o node.Options) (Node, error) {
		o.Announce("admin", secret.New(canary))
		return newFakeNode(o), nil
	}
	done := make(chan int)
	go func() { done <- w.run("serve", "--data", dir, "--bind", "*") }()
	eventually(t, "ready line", func() bool { return strings.Contains(w.out.String(), "\n") })
	w.interrupted <- syscall.SIGTERM
	w.wants(0, <-done)
	want := `warren: made the user "admin" with the password ` + canary + "\n"
	if errs := w.errs.String(); !strings.Contains(errs, want) || strings.Count(errs+w.out.String(), canary) != 1 {
		t.Errorf("said %s", errs)
	}
}
