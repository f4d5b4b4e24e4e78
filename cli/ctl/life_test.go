package ctl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/app"
	"github.com/warrenmq/warren/internal/freeport"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/node"
)

// A host is a machine with processes of nodes, which are found by their names.
type host struct {
	t     *testing.T
	dir   string
	names client.Names
	desks map[string]*resident
}

// A resident is a process with a node, and a desk to ask it at.
type resident struct {
	*desk
	name string
	o    app.Options
	stop context.CancelFunc
	over chan error
	up   chan map[string]string
	log  *logText
}

func newHost(t *testing.T) *host {
	dir := t.TempDir()
	return &host{t: t, dir: dir, names: client.Names{Dir: filepath.Join(dir, "names"), Alive: Alive}, desks: map[string]*resident{}}
}

// node starts the process of a node, and waits until the node serves.
func (h *host) node(name string) *resident {
	h.t.Helper()
	r := h.desks[name]
	if r == nil {
		r = &resident{name: name, desk: newDesk(h.t, nil), up: make(chan map[string]string, 16), log: new(logText)}
		r.dir = filepath.Join(h.dir, name)
		r.names = h.names
		h.desks[name] = r
		r.o = app.Options{
			Node: node.Options{
				Name: name, DataDir: r.dir, Version: "test", SegmentBytes: 1 << 20,
				Listen:  []node.Listen{{Protocol: "amqp", Addr: freeport.Addr(h.t)}},
				Memory:  node.Memory{Budget: 256 << 20, Entries: 64 << 20, Memtable: 4 << 20, Cache: 4 << 20},
				Grace:   500 * time.Millisecond,
				Logger:  slog.New(slog.NewTextHandler(r.log, nil)).With("node", name),
				Cluster: node.Cluster{Addr: freeport.Addr(h.t), Cookie: secret.New("a cookie that is long enough")},
				Exit:    ends(name, r.log),
			},
			Names: h.names,
			Up:    func(addrs map[string]string) error { r.up <- addrs; return nil },
		}
		h.t.Cleanup(func() {
			r.end()
			if h.t.Failed() {
				h.t.Log(r.log.String())
			}
		})
	}
	p, err := app.New(r.o)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop, r.over = cancel, make(chan error, 1)
	over := r.over
	go func() { over <- p.Run(ctx) }()
	if !r.o.Stopped {
		r.serving()
		return r
	}
	for deadline := time.Now().Add(30 * time.Second); r.run("ping") != exitOK; {
		if time.Now().After(deadline) {
			h.t.Fatalf("the process of %s does not answer", name)
		}
		<-time.After(time.Millisecond)
	}
	return r
}

// serving waits until the node serves, and returns its address for clients.
func (r *resident) serving() (url string) {
	r.t.Helper()
	select {
	case addrs := <-r.up:
		return "amqp://guest:guest@" + addrs["amqp"] + "/"
	case err := <-r.over:
		r.t.Fatalf("%s ended: %v", r.name, err)
	case <-time.After(racing.Longer(30 * time.Second)):
		r.t.Fatalf("%s does not serve", r.name)
	}
	return ""
}

// end ends the process.
func (r *resident) end() {
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if err := <-r.over; err != nil {
		r.t.Errorf("%s ended: %v", r.name, err)
	}
}

// types runs a command line that has to print just this and go well.
func (r *resident) types(out string, line ...string) {
	r.t.Helper()
	r.wants(exitOK, out, "", line...)
}

// until runs a command line again and again until what it prints has something in it.
func (r *resident) until(has string, line ...string) {
	r.t.Helper()
	for deadline := time.Now().Add(racing.Longer(30 * time.Second)); ; {
		code := r.run(line...)
		if code == exitOK && strings.Contains(r.out.String(), has) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: %q: exit code %d\nprinted %q\nerrors %q\nwant %q in what it prints", r.name, line, code, r.out.String(), r.errs.String(), has)
		}
		<-time.After(time.Millisecond)
	}
}

// fails runs a command line that has to fail and say so.
func (r *resident) fails(code int, says string, line ...string) {
	r.t.Helper()
	if got := r.run(line...); got != code || !strings.Contains(r.errs.String(), says) {
		r.t.Errorf("%s: %q: exit code %d, want %d\nprinted %q\nerrors %q\nwant   %q", r.name, line, got, code, r.out.String(), r.errs.String(), says)
	}
}

// joins makes a node a member as the recipe does.
func (r *resident) joins(other string) {
	r.t.Helper()
	r.types(fmt.Sprintf("Stopping node '%s' ...\n...done.\n", r.name), "stop_app")
	r.types(fmt.Sprintf("Clustering node '%s' with '%s' ...\n...done.\n", r.name, other), "join_cluster", other)
	r.types(fmt.Sprintf("Starting node '%s' ...\n...done.\n", r.name), "start_app")
	r.serving()
}

// The recipe: three nodes of one host become a cluster by the lines that its
// users type, and say so in the words that they know (estate R4, R9, R10, R15).
func TestRecipe(t *testing.T) {
	h := newHost(t)
	one := h.node("rabbit@node-01")
	two := h.node("rabbit@node-02")
	three := h.node("rabbit@node-03")

	const running = "Error: this command requires the 'rabbit' app to be stopped on the target node. Stop it with 'rabbitmqctl stop_app'.\nArguments given:\n\t"
	two.fails(exitUsage, running+"join_cluster rabbit@node-01\n", "join_cluster", "rabbit@node-01")
	two.fails(exitUsage, running+"reset\n", "reset")
	two.types("Stopping node 'rabbit@node-02' ...\n...done.\n", "stop_app")
	two.types("", "stop_app", "-q")
	const stopped = "Error: this command requires the 'rabbit' app to be running on the target node. Start it with 'rabbitmqctl start_app'.\nArguments given:\n\t"
	two.fails(exitUsage, stopped+"list_queues\n", "list_queues")
	two.fails(exitUsage, stopped+"await_online_nodes 1\n", "await_online_nodes", "1")
	for verb, code := range map[string]int{"is_running": exitOK, "check_running": exitUnavailable, "is_booting": exitOK} {
		if got := two.runAs("rabbitmq-diagnostics", verb, "-q"); got != code || !strings.Contains(two.out.String()+two.errs.String(), "booted") {
			t.Errorf("%s: %d %q %q", verb, got, two.out.String(), two.errs.String())
		}
	}
	two.types("Ping succeeded\n", "ping", "-q")
	two.fails(exitSoftware, "Error: cannot cluster node with itself: rabbit@node-02", "join_cluster", "rabbit")
	two.fails(exitUnavailable, "The nodes provided are either offline or not running", "join_cluster", "rabbit@nowhere.invalid")
	two.fails(exitData, "The node type must be either disc or ram.", "join_cluster", "--disc", "--ram", "rabbit@node-01")
	two.types("Clustering node 'rabbit@node-02' with 'rabbit@node-01' ...\n"+ramText+"\n...done.\n", "join_cluster", "--ram", "rabbit@node-01")
	two.types("Clustering node 'rabbit@node-02' with 'rabbit@node-01' ...\nThe node is already a member of this cluster\n...done.\n", "join_cluster", "rabbit@node-01")
	two.types("Starting node 'rabbit@node-02' ...\n...done.\n", "start_app")
	two.serving()
	three.joins("rabbit@node-02")
	one.types("", "await_online_nodes", "3", "-q")

	want, err := os.ReadFile("../../test/estates/rabbitmq/cluster_status.expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	if code := one.run("cluster_status", "--formatter", "erlang"); code != exitOK {
		t.Fatal(code, one.errs.String())
	}
	got, rest, _ := strings.Cut(one.out.String(), ",\n {cluster_name,")
	if got+"]\n...done.\n" != string(want) {
		t.Errorf("got\n%s\nwant\n%s", one.out.String(), want)
	}
	if !strings.Contains(rest, "{alarms,[{'rabbit@node-01',[]},{'rabbit@node-02',[]},{'rabbit@node-03',[]}]}]\n...done.\n") {
		t.Errorf("alarms of all: %s", rest)
	}
	// A node is picked by its name, wherever its directory is.
	one.dir = filepath.Join(h.dir, "nowhere")
	if code := one.run("-n", "rabbit@node-03", "cluster_status", "-s"); code != exitOK || !strings.Contains(one.out.String(), "Cluster name: rabbit@node-01\n") ||
		strings.Count(one.out.String(), "protocol: clustering") != 3 {
		t.Error(code, one.out.String(), one.errs.String())
	}
	three.types("Setting cluster name to hare ...\n", "set_cluster_name", "hare")
	one.dir = filepath.Join(h.dir, one.name)
	one.until(`"cluster_name":"hare"`, "cluster_status", "--formatter", "json") // one hears of it in its own time

	// A member that is stopped is one still, and says so (estate R12).
	three.types("", "stop_app", "-q")
	want3 := "[{nodes,[{disc,['rabbit@node-01','rabbit@node-02',\n                'rabbit@node-03']}]},\n {running_nodes,[]},\n {partitions,[]},"
	if code := three.run("cluster_status", "--formatter", "erlang", "-q"); code != exitOK || !strings.HasPrefix(three.out.String(), want3) {
		t.Error(code, three.out.String(), three.errs.String())
	}
	three.fails(exitData, "node rabbit@node-03 is a member of a cluster with rabbit@node-01, rabbit@node-02", "join_cluster", "rabbit@node-04")
	three.types("", "start_app", "-q")
	three.serving()
}

// A node that holds anything does not join a cluster unless it is forced, and
// keeps what it holds when it does not.
func TestJoinWithData(t *testing.T) {
	h := newHost(t)
	h.node("rabbit@node-01")
	two := h.node("rabbit@node-02")
	if code := two.run("add_vhost", "mine"); code != exitOK {
		t.Fatal(two.errs.String())
	}
	two.types("", "stop_app", "-q")
	refusal := `node rabbit@node-02 holds several vhosts, as "mine", which joining a cluster would delete`
	two.fails(exitData, refusal, "join_cluster", "rabbit@node-01")
	// So does a process that has not seen the node run.
	two.end()
	two.o.Stopped = true
	h.node("rabbit@node-02")
	two.fails(exitData, refusal, "join_cluster", "rabbit@node-01")
	two.types("", "start_app", "-q")
	two.serving()
	two.types("/\nmine\n", "list_vhosts", "-s")
	two.types("", "stop_app", "-q")
	two.types("", "join_cluster", "--force", "-q", "rabbit@node-01")
	two.types("", "start_app", "-q")
	two.serving()
	two.types("/\n", "list_vhosts", "-s")
	two.types("", "await_online_nodes", "2", "-q")
}

// A member leaves its cluster and is a node of its own then, with nothing of what
// it held; what the cluster holds stays whole, and it may join again (estate R13).
func TestLeave(t *testing.T) {
	h := newHost(t)
	one := h.node("rabbit@node-01")
	two := h.node("rabbit@node-02")
	two.joins("rabbit@node-01")
	one.types("", "await_online_nodes", "2", "-q")
	if code := two.run("add_vhost", "shared"); code != exitOK {
		t.Fatal(two.errs.String())
	}
	two.types("", "stop_app", "-q")
	two.types("Resetting node 'rabbit@node-02' ...\n...done.\n", "reset")
	two.types("Resetting node 'rabbit@node-02' ...\n...done.\n", "reset")
	two.types("", "start_app", "-q")
	two.serving()
	for _, r := range []*resident{one, two} {
		want := "[{nodes,[{disc,['" + r.name + "']}]},\n {running_nodes,['" + r.name + "']},\n {partitions,[]},\n"
		if code := r.run("cluster_status", "--formatter", "erlang", "-q"); code != exitOK || !strings.HasPrefix(r.out.String(), want) {
			t.Errorf("%s: %d %s %s", r.name, code, r.out.String(), r.errs.String())
		}
	}
	one.types("/\nshared\n", "list_vhosts", "-s")
	two.types("/\n", "list_vhosts", "-s")
	two.joins("rabbit@node-01")
	two.types("/\nshared\n", "list_vhosts", "-s")
}

// A node that was forgotten while it was stopped says so when it comes back, and
// is a member again after it was reset; one that runs is not forgotten (estate R14).
func TestForget(t *testing.T) {
	h := newHost(t)
	one := h.node("rabbit@node-01")
	two := h.node("rabbit@node-02")
	three := h.node("rabbit@node-03")
	two.joins("rabbit@node-01")
	three.joins("rabbit@node-01")
	one.types("", "await_online_nodes", "3", "-q")
	one.fails(exitUnavailable, "RabbitMQ on node rabbit@node-03 must be stopped with 'rabbitmqctl -n rabbit@node-03 stop_app' before it can be removed", "forget_cluster_node", "rabbit@node-03")
	one.fails(exitUnavailable, "The node selected is not in the cluster.", "forget_cluster_node", "rabbit@node-04")
	one.fails(exitUnavailable, "--offline", "forget_cluster_node", "--offline", "rabbit@node-03")
	three.types("", "stop_app", "-q")
	one.types("Removing node 'rabbit@node-03' from cluster ...\n...done.\n", "forget_cluster_node", "rabbit@node-03")
	three.fails(exitUnavailable, "this node was removed from its cluster", "start_app")
	three.fails(exitUnavailable, "rabbitmqctl reset", "start_app")
	three.types("", "reset", "-q")
	three.types("", "join_cluster", "-q", "rabbit@node-02")
	three.types("", "start_app", "-q")
	three.serving()
	one.types("", "await_online_nodes", "3", "-q")

	// The process of one that was forgotten ends, unless it is to wait.
	three.end()
	one.types("", "forget_cluster_node", "-q", "rabbit@node-03")
	p, err := app.New(three.o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), racing.Longer(time.Minute))
	defer cancel()
	if err := p.Run(ctx); !errors.Is(err, node.ErrForgotten) {
		t.Errorf("the process ended with %v", err)
	}
	three.o.Stopped = true
	h.node("rabbit@node-03")
	three.types("", "force_reset", "-q", "-s")
	three.types("", "start_app", "-q")
	three.serving()
}
