package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/node"
)

// listening returns an address that somebody answers at.
func listening(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String()
}

// A stopped node becomes a member: what it held is gone, the secret that lets
// nodes in is not, and it starts only when it is told to (estate R9).
func TestJoin(t *testing.T) {
	w, addr := newWorld(t), listening(t)
	w.o.Stopped = true
	w.put("node.json", `{"format":1,"node":"0102030405060708","cluster":"1112131415161718","generation":0,"epoch":1,"began":"founded"}`)
	w.put("e1/log/0001", "data")
	w.put("cluster/cookie", "secret")
	w.put("cluster/trust.pem", "trust")
	w.begun = func(f *fake) { f.what, f.has = "queues (1)", true }
	w.start()
	w.settled(admin.AppIsStopped)
	ctx := t.Context()
	got := w.done(w.ask.JoinCluster(ctx, client.JoinCluster{Member: addr}))
	if got.Error == nil || got.Error.Kind != admin.Invalid || !strings.Contains(got.Error.Text, "holds queues (1)") {
		t.Errorf("with data: %+v", got.Error)
	}
	if first := w.lives()[0]; len(first.o.Listen) != 0 {
		t.Errorf("clients were let in while it was looked at: %+v", first.o.Listen)
	}
	got = w.done(w.ask.JoinCluster(ctx, client.JoinCluster{Member: "127.0.0.1:1", Force: true}))
	if got.Error == nil || got.Error.Kind != admin.Unavailable || !w.has("e1/log/0001") {
		t.Errorf("with nobody there: %+v, data is left: %v", got.Error, w.has("e1/log/0001"))
	}
	w.refuses = errors.New("the cookies differ")
	got = w.done(w.ask.JoinCluster(ctx, client.JoinCluster{Member: addr, Force: true}))
	if got.Error == nil || got.Error.Text != "the cookies differ" || w.has(journalName) {
		t.Errorf("refused: %+v, journal is left: %v", got.Error, w.has(journalName))
	}
	w.refuses = nil
	if said := w.well(w.ask.JoinCluster(ctx, client.JoinCluster{Member: addr})); said != "" {
		t.Errorf("said %q", said)
	}
	for name, want := range map[string]bool{"e1/log/0001": false, "node.json": false, "cluster/trust.pem": false, "cluster/cookie": true, journalName: false} {
		if w.has(name) != want {
			t.Errorf("%s is there: %v", name, !want)
		}
	}
	if l := w.settled(admin.AppIsStopped); l.Why != "" || !slices.Equal(w.mu.joined[1], []string{addr}) {
		t.Errorf("%+v, joined through %v", l, w.mu.joined)
	}
}

// A member of another cluster leaves it before it joins, or is forced; then it is
// said what the others still think.
func TestJoinOfAMember(t *testing.T) {
	w, addr := newWorld(t), listening(t)
	w.o.Stopped = true
	w.member("rabbit@node-01", "rabbit@node-02")
	w.start()
	w.settled(admin.AppIsStopped)
	ctx := t.Context()
	if said := w.well(w.ask.JoinCluster(ctx, client.JoinCluster{Member: "rabbit@node-01"})); said != "The node is already a member of this cluster" {
		t.Errorf("said %q", said)
	}
	got := w.done(w.ask.JoinCluster(ctx, client.JoinCluster{Member: addr}))
	if got.Error == nil || !strings.Contains(got.Error.Text, "is a member of a cluster with rabbit@node-01") {
		t.Errorf("%+v", got.Error)
	}
	said := w.well(w.ask.JoinCluster(ctx, client.JoinCluster{Member: addr, Force: true}))
	if !strings.Contains(said, "rabbitmqctl forget_cluster_node rabbit@node-02") {
		t.Errorf("said %q", said)
	}
}

// A reset leaves first; if that fails the node keeps what it holds (estate R13).
func TestReset(t *testing.T) {
	w := newWorld(t)
	w.o.Stopped = true
	w.member("rabbit@node-01", "rabbit@node-02")
	why := errors.New("nobody else can take it")
	w.begun = func(f *fake) { f.left = func() error { return why } }
	w.start()
	w.settled(admin.AppIsStopped)
	ctx := t.Context()
	got := w.done(w.ask.ResetApp(ctx, client.ResetApp{}))
	if got.Error == nil || !strings.Contains(got.Error.Text, "nobody else can take it") || !w.has("e1/log/0001") || w.has(journalName) {
		t.Errorf("%+v", got.Error)
	}
	// One that the cluster has removed has left.
	w.mu.Lock()
	w.begun = func(f *fake) { f.fails = fmt.Errorf("x: %w", node.ErrForgotten) }
	w.mu.Unlock()
	w.well(w.ask.ResetApp(ctx, client.ResetApp{}))
	if w.has("e1/log/0001") || w.has("cluster/peers.json") || !w.has("cluster/cookie") {
		t.Error("it was not wiped, or more than that")
	}
	lives := len(w.lives())
	w.member("rabbit@node-01", "rabbit@node-02")
	if said := w.well(w.ask.ResetApp(ctx, client.ResetApp{Force: true})); !strings.Contains(said, "still counts rabbit@node-02") || len(w.lives()) != lives {
		t.Errorf("by force: said %q", said)
	}
}

// A process that was killed while its node left goes on: it wipes what the cluster
// has let go, and keeps what it has not.
func TestKilledWhileLeaving(t *testing.T) {
	for _, gone := range []bool{true, false} {
		w := newWorld(t)
		w.member("rabbit@node-01", "rabbit@node-02")
		w.put(journalName, `{"leave":true}`)
		lives := 0
		w.begun = func(f *fake) {
			if lives++; lives == 1 && gone {
				f.fails = fmt.Errorf("x: %w", node.ErrForgotten)
			}
		}
		w.start()
		w.settled(admin.AppRuns)
		if w.has("e1/log/0001") == gone || w.has(journalName) {
			t.Errorf("gone %v: data %v, journal %v", gone, w.has("e1/log/0001"), w.has(journalName))
		}
	}
}

// Wherever a process is killed on its way into another cluster, the next one has a
// node that can go on: all of the old one, or none of it and the way to join.
func TestKilledWhileJoining(t *testing.T) {
	addr := listening(t)
	mem := vfs.NewCrashableMem()
	var killed []vfs.FS
	watching := false
	w := newWorld(t)
	w.fs = mem
	w.o.Node.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if watching && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			killed = append(killed, mem.CrashClone(vfs.CrashCloneCfg{}))
		}
		return nil
	}))
	w.o.Stopped = true
	w.member("rabbit@node-01", "rabbit@node-02")
	for _, dir := range []string{"", "e1/log", "e1", "cluster"} {
		if err := syncDir(mem, mem.PathJoin(w.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	for d := w.dir; d != "/"; d = mem.PathDir(d) {
		if err := syncDir(mem, mem.PathDir(d)); err != nil {
			t.Fatal(err)
		}
	}
	joinedAt, join := 0, w.o.Join
	w.o.Join = func(ctx context.Context, o node.Options) error { joinedAt = len(killed); return join(ctx, o) }
	w.start()
	w.settled(admin.AppIsStopped)
	watching = true // of the work of one order: nobody else writes
	w.well(w.ask.JoinCluster(t.Context(), client.JoinCluster{Member: addr, Force: true}))
	w.end()
	watching = false
	if len(killed) < 8 {
		t.Fatalf("killed %d times only", len(killed))
	}
	wiped, kept := 0, 0
	for i, fs := range killed {
		next := newWorld(t)
		next.fs, next.dir = fs, w.dir
		next.o.Node.FS, next.o.Node.DataDir = fs, w.dir
		next.start()
		next.settled(admin.AppRuns)
		joins := next.lives()[0].o.Cluster.Join
		switch data := []bool{next.has("node.json"), next.has("e1/log/0001"), next.has("cluster/peers.json")}; {
		case !slices.Contains(data, false):
			if kept++; len(joins) > 0 {
				t.Errorf("killed at step %d: the old node joins through %v", i, joins)
			}
		case !slices.Contains(data, true):
			if wiped++; !slices.Equal(joins, []string{addr}) && i < joinedAt {
				t.Errorf("killed at step %d: it joins through %v", i, joins)
			}
		default:
			t.Errorf("killed at step %d: half of the old node is there: %v", i, data)
		}
		if next.has(journalName) {
			t.Errorf("killed at step %d: the journal is left", i)
		}
		next.end()
	}
	if kept == 0 || wiped == 0 {
		t.Errorf("%d times kept, %d wiped", kept, wiped)
	}
}
