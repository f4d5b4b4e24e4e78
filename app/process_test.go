package app

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world makes nodes that do what a test tells them, and remembers them.
type world struct {
	t    *testing.T
	fs   vfs.FS
	dir  string
	o    Options
	ask  *client.Client
	stop context.CancelFunc
	over chan error

	mu struct {
		sync.Mutex
		lives  []*fake
		joined [][]string
		ups    int
		downs  int
	}
	// begun is what the next lives do.
	begun   func(f *fake)
	refuses error // of who is asked to let a node in
}

// A fake is a node that serves at once unless it is told otherwise.
type fake struct {
	o     node.Options
	ready chan struct{}
	fails error
	waits bool // never serves
	what  string
	has   bool
	left  func() error
	ends  chan error
}

func (f *fake) Ready() <-chan struct{} { return f.ready }
func (f *fake) Addrs() map[string]string {
	return map[string]string{"amqp": "127.0.0.1:4711", "cluster": "127.0.0.1:4712"}
}
func (f *fake) Holds() (string, bool) { return f.what, f.has }
func (f *fake) Waiting() string       { return "1 of 3, needs 2" }

func (f *fake) Leave(context.Context) error { return f.left() }

func (f *fake) Run(ctx context.Context) error {
	if f.fails != nil {
		return f.fails
	}
	if !f.waits {
		close(f.ready)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-f.ends:
		return err
	}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fs: vfs.NewMem(), dir: t.TempDir(), begun: func(*fake) {}}
	w.o = Options{
		Node: node.Options{
			Name: "rabbit@node-02", DataDir: w.dir, FS: w.fs, SegmentBytes: 1 << 20, Version: "test",
			Listen:  []node.Listen{{Protocol: "amqp", Addr: "127.0.0.1:0"}},
			Memory:  node.Memory{Budget: 256 << 20, Entries: 64 << 20, Memtable: 4 << 20, Cache: 4 << 20},
			Cluster: node.Cluster{Addr: "127.0.0.1:0"},
		},
		New: func(o node.Options) (Node, error) {
			f := &fake{o: o, ready: make(chan struct{}), left: func() error { return nil }, ends: make(chan error, 1)}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.begun(f)
			w.mu.lives = append(w.mu.lives, f)
			return f, nil
		},
		Join: func(_ context.Context, o node.Options) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mu.joined = append(w.mu.joined, o.Cluster.Join)
			return w.refuses
		},
		Names: admin.Names{Dir: filepath.Join(t.TempDir(), "names"), Alive: func(int) bool { return true }},
		Up:    func(map[string]string) error { w.mu.Lock(); defer w.mu.Unlock(); w.mu.ups++; return nil },
		Down:  func() error { w.mu.Lock(); defer w.mu.Unlock(); w.mu.downs++; return nil },
	}
	t.Cleanup(func() {
		if w.stop != nil {
			w.end()
		}
	})
	return w
}

// start starts the process.
func (w *world) start() {
	w.t.Helper()
	p, err := New(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.over = cancel, make(chan error, 1)
	over := w.over
	go func() { over <- p.Run(ctx) }()
	w.ask = client.New(w.dir)
}

func (w *world) end() {
	w.t.Helper()
	w.stop()
	w.stop = nil
	if err := <-w.over; err != nil {
		w.t.Errorf("the process ended: %v", err)
	}
	w.ask.Close()
}

// settled waits until the process is in a state.
func (w *world) settled(state admin.AppState) client.Life {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		l, err := w.ask.Life(w.t.Context(), client.LifeQuery{})
		if err == nil && l.State == state {
			return l
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("state %q (%v), want %q", l.State, err, state)
		}
		<-time.After(time.Millisecond)
	}
}

// done waits for an order to end, and returns it.
func (w *world) done(t client.Task, err error) client.Task {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for !t.Done {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s does not end", t.What)
		}
		<-time.After(time.Millisecond)
		l, err := w.ask.Life(w.t.Context(), client.LifeQuery{Task: t.ID})
		if err != nil || l.Task == nil {
			w.t.Fatalf("%+v, %v", l, err)
		}
		t = *l.Task
	}
	return t
}

// well is done for what has to go well; it returns what was said.
func (w *world) well(t client.Task, err error) string {
	w.t.Helper()
	t = w.done(t, err)
	if t.Error != nil {
		w.t.Fatalf("%s: %v", t.What, t.Error)
	}
	return t.Text
}

func (w *world) lives() []*fake {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.lives)
}

// put makes a file of the data directory.
func (w *world) put(name, text string) {
	w.t.Helper()
	path := w.fs.PathJoin(w.dir, name)
	if err := w.fs.MkdirAll(w.fs.PathDir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	f, err := w.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) has(name string) bool {
	_, err := w.fs.Stat(w.fs.PathJoin(w.dir, name))
	return err == nil
}

// member makes the directory that of a node of a cluster.
func (w *world) member(names ...string) {
	w.put("node.json", `{"format":1,"node":"0102030405060708","cluster":"1112131415161718","generation":0,"epoch":1,"began":"joined"}`)
	var ps []string
	for _, n := range names {
		ps = append(ps, `{"ID":1,"Name":"`+n+`","Addr":"127.0.0.1:1"}`)
	}
	w.put("cluster/peers.json", "["+strings.Join(ps, ",")+"]")
	w.put("cluster/cookie", "secret")
	w.put("e1/log/0001", "data")
}

// A stopped node's process answers, refuses what needs the node, and starts it
// again; it does not keep that it was stopped beyond its own life (estate R9).
func TestStopStart(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.settled(admin.AppRuns)
	if x, ok := w.o.Names.Find("rabbit@node-02"); !ok || x.Cluster != "127.0.0.1:4712" {
		t.Errorf("named as %+v, %v", x, ok)
	}
	ctx := t.Context()
	for range 2 {
		w.well(w.ask.StopApp(ctx, client.StopApp{}))
		w.settled(admin.AppIsStopped)
	}
	if id, err := w.ask.Identity(ctx); err != nil || id.State != admin.AppIsStopped || id.Node != "rabbit@node-02" {
		t.Errorf("identity %+v, %v", id, err)
	}
	if x, err := w.ask.Overview(ctx); err != nil || len(x.Members) != 1 || x.Members[0].Running {
		t.Errorf("overview %+v, %v", x.Members, err)
	}
	_, err := w.ask.DeleteVHost(ctx, client.VHostName{Name: "a"})
	if client.KindOf(err) != admin.AppStopped {
		t.Errorf("an order that needs the node: %v", err)
	}
	for range 2 {
		w.well(w.ask.StartApp(ctx, client.StartApp{}))
	}
	w.settled(admin.AppRuns)
	lives := w.lives()
	if len(lives) != 2 || lives[1].o.Listen[0].Addr != "127.0.0.1:4711" || lives[1].o.Cluster.Addr != "127.0.0.1:4712" {
		t.Errorf("%d lives, the last with %+v", len(lives), lives[1].o.Listen)
	}
	w.well(w.ask.StopApp(ctx, client.StopApp{}))
	w.end()
	w.start()
	w.settled(admin.AppRuns)
	if _, err := w.ask.Stop(ctx, client.StopNode{}); err != nil {
		t.Fatal(err)
	}
	if err := <-w.over; err != nil {
		t.Fatal(err)
	}
	w.stop = nil
	w.ask.Close()
	if w.mu.ups != 3 || w.mu.downs != 3 {
		t.Errorf("%d times up, %d down", w.mu.ups, w.mu.downs)
	}
	if _, ok := w.o.Names.Find("rabbit@node-02"); ok {
		t.Error("the name is left")
	}
}

// What a node waits for that starts can be asked, and it can be stopped.
func TestStopWhileStarting(t *testing.T) {
	w := newWorld(t)
	w.begun = func(f *fake) { f.waits = true }
	w.o.Stopped = true
	w.start()
	w.settled(admin.AppIsStopped)
	ctx := t.Context()
	start, err := w.ask.StartApp(ctx, client.StartApp{})
	if err != nil || start.Done {
		t.Fatalf("%+v, %v", start, err)
	}
	if l := w.settled(admin.AppStarts); l.Why != "1 of 3, needs 2" {
		t.Errorf("waits for %q", l.Why)
	}
	if _, err := w.ask.ResetApp(ctx, client.ResetApp{}); client.KindOf(err) != admin.AppRunning {
		t.Errorf("reset while it starts: %v", err)
	}
	w.well(w.ask.StopApp(ctx, client.StopApp{}))
	if got := w.done(start, nil); got.Error == nil {
		t.Error("a start that was stopped went well")
	}
}

// A node that can not start leaves its process when an operator started it, and
// ends it when nobody would see it otherwise.
func TestFailedStart(t *testing.T) {
	w := newWorld(t)
	w.begun = func(f *fake) { f.fails = errors.New("no disk") }
	w.o.Stopped = true
	w.start()
	w.settled(admin.AppIsStopped)
	got := w.done(w.ask.StartApp(t.Context(), client.StartApp{}))
	if got.Error == nil || got.Error.Text != "no disk" {
		t.Errorf("%+v", got)
	}
	if l := w.settled(admin.AppIsStopped); l.Why != "no disk" {
		t.Errorf("stopped for %q", l.Why)
	}
	w.end()
	w.o.Stopped = false
	w.start()
	if err := <-w.over; err == nil || err.Error() != "no disk" {
		t.Errorf("the process ended with %v", err)
	}
	w.stop = nil
	w.ask.Close()
}

// Two processes do not keep nodes in one directory.
func TestOneProcess(t *testing.T) {
	w := newWorld(t)
	w.o.Stopped = true
	w.start()
	w.settled(admin.AppIsStopped)
	if _, err := New(w.o); !errors.Is(err, node.ErrLocked) {
		t.Errorf("a second process: %v", err)
	}
}

// A name that another process has is asked for again.
func TestNameTaken(t *testing.T) {
	w := newWorld(t)
	var other atomic.Bool
	other.Store(true)
	w.o.Names.Alive = func(pid int) bool { return pid != 1 || other.Load() }
	if err := w.o.Names.Enter(admin.Named{Name: "rabbit@node-02", Data: "/elsewhere", PID: 1}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.settled(admin.AppRuns)
	if x, _ := w.o.Names.Find("rabbit@node-02"); x.Data != "/elsewhere" {
		t.Errorf("the name was taken from who has it: %+v", x)
	}
	other.Store(false)
	deadline := time.Now().Add(3 * nameEvery)
	for {
		if x, ok := w.o.Names.Find("rabbit@node-02"); ok && x.Data == w.dir && x.Cluster == "127.0.0.1:4712" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the name is not asked for again")
		}
		<-time.After(10 * time.Millisecond)
	}
}
