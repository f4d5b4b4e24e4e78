//go:build chaos

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/step"
)

// A member is one node: a directory, and the process that runs on it, if one does.
type member struct {
	c      *cluster
	number int
	dir    string // data in dir/disk/data, logs of its lives in dir

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd was waited for
	lives int
	meant bool // to end

	spoilt []spoilt
}

// A cluster is nodes on a network.
type cluster struct {
	t      testing.TB
	dir    string
	binary string
	net    *network
	nodes  []*member // the first has number 1
	machine

	ordered orders                      // of steps, for nodes that start
	known   atomic.Int32                // how many there are, as clients know it
	gone    [maxMembers + 1]atomic.Bool // those that are no members any more
}

// A machine is what each node runs on.
type machine struct {
	disk    int64 // size of its disk; 0: that of the machine that this is
	powered bool  // its power can be cut
	stepped bool  // it has the program that can be interrupted at steps
}

// maxMembers bounds the nodes that a run makes: addresses have three digits.
const maxMembers = 200

// places is how many nodes there were so far.
func (c *cluster) places() int { return int(c.known.Load()) }

// amqp is where clients reach a node, empty if it is no member any more.
func (c *cluster) amqp(node int) string {
	if c.gone[node].Load() {
		return ""
	}
	return address(node) + ":5672"
}

// members are the nodes that were not removed.
func (c *cluster) members() (ms []*member) {
	for _, m := range c.nodes {
		if !c.gone[m.number].Load() {
			ms = append(ms, m)
		}
	}
	return ms
}

// startLimit bounds the start of a node on a busy machine.
const startLimit = 90 * time.Second

func program() string {
	if b := os.Getenv("WARREN"); b != "" {
		return b
	}
	return "../../bin/warren"
}

// newCluster starts nodes that join the first, and waits until all hold what they
// are to hold.
func newCluster(t testing.TB, dir string, n int, kind machine) *cluster {
	t.Helper()
	bin, err := filepath.Abs(program())
	if err != nil {
		t.Fatal(err)
	}
	if kind.stepped {
		bin = stepped()
	}
	c := &cluster{t: t, dir: dir, binary: bin, net: newNetwork(t), machine: kind}
	if err := os.WriteFile(c.cookie(), []byte("a cookie for this test and no other\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.kill()
		}
	})
	for range n {
		c.add()
	}
	c.awaitWhole(n)
	return c
}

func (c *cluster) cookie() string { return filepath.Join(c.dir, "cookie") }

// add starts one more node, which joins, and waits until it serves.
func (c *cluster) add() *member {
	c.t.Helper()
	m := c.place()
	m.launch()
	m.await()
	return m
}

// place makes room for a node.
func (c *cluster) place() *member {
	c.t.Helper()
	m := &member{c: c, number: len(c.nodes) + 1}
	m.dir = filepath.Join(c.dir, fmt.Sprintf("node-%d", m.number))
	disk := filepath.Join(m.dir, "disk")
	if err := errors.Join(os.MkdirAll(disk, 0o700), os.MkdirAll(m.steps(), 0o700)); err != nil {
		c.t.Fatal(err)
	}
	if c.disk > 0 {
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d", c.disk)); err != nil {
			c.t.Fatalf("mount a small disk, which root may: %v", err)
		}
		c.t.Cleanup(func() {
			m.kill()
			if err := syscall.Unmount(disk, 0); err != nil {
				c.t.Errorf("unmount a small disk: %v", err)
			}
		})
	}
	c.net.host(m.number)
	c.nodes = append(c.nodes, m)
	c.known.Store(int32(len(c.nodes)))
	return m
}

func (m *member) data() string { return filepath.Join(m.dir, "disk", "data") }
func (m *member) name() string { return fmt.Sprintf("warren-%d@chaos", m.number) }

// launch starts the process and does not wait for it.
func (m *member) launch() {
	m.c.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lives++
	log, err := os.Create(filepath.Join(m.dir, fmt.Sprintf("log.%d", m.lives)))
	if err != nil {
		m.c.t.Fatal(err)
	}
	defer log.Close()
	_ = os.Remove(filepath.Join(m.data(), "ports.json")) // there is none before the first start
	args := append(m.c.net.enter(m.number), m.c.binary, "serve", "--until-stdin-closes",
		"--data", m.data(), "--name", m.name(), "--cookie-file", m.c.cookie(),
		"--listen", "amqp="+address(m.number)+":5672", "--listen", "cluster="+address(m.number)+":25672",
		"--set", "default_user.name=chaos", "--set", "default_user.password=chaos",
		"--set", "memory.budget=128MiB", "--set", "shards=1", "--set", "log.segment_size=2MiB", "--set", "disk.free_limit=8MiB")
	for _, addr := range m.join() {
		args = append(args, "--join", addr)
	}
	env := append(os.Environ(), "GOTRACEBACK=all")
	if m.c.stepped {
		env = append(env, step.Dir+"="+m.steps())
		if o := m.c.ordered.Load(); o != nil {
			m.take(*o)
		}
	}
	if m.c.machine.powered {
		self, err := os.Executable()
		if err != nil {
			m.c.t.Fatal(err)
		}
		args = append(m.c.net.enter(m.number), self)
		env = append(env, m.powered())
	}
	cmd := exec.Command("nsenter", args...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = log, log
	// The node ends with the test, even if that is killed.
	if _, err := cmd.StdinPipe(); err != nil {
		m.c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.c.t.Fatal(err)
	}
	ended := make(chan struct{})
	m.cmd, m.ended, m.meant = cmd, ended, false
	go func() { _ = cmd.Wait(); close(ended) }() // kill and the test's end wait for it
}

// join are the addresses of those that were there before.
func (m *member) join() (addrs []string) {
	for _, o := range m.c.members() {
		if o.number < m.number {
			addrs = append(addrs, address(o.number)+":25672")
		}
	}
	return addrs
}

// running reports whether the process is there.
func (m *member) running() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// pid is the process of the life that runs.
func (m *member) pid() int { return m.cmd.Process.Pid }

// mean says that the process is going to end, so that it is no wonder when it does.
func (m *member) mean() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meant = true
}

// wondered reports whether the process ended though nobody wanted it to.
func (m *member) wondered() bool {
	if m.running() {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.meant
}

func (m *member) signal(s syscall.Signal) { _ = m.cmd.Process.Signal(s) } // it may just have ended

// kill ends the process without a word and waits until it is gone.
func (m *member) kill() {
	if !m.running() {
		return
	}
	m.mean()
	m.signal(syscall.SIGKILL)
	<-m.ended
}

// stop asks the process to end; what does not is killed, and said so.
func (m *member) stop() {
	m.mean()
	m.signal(syscall.SIGTERM)
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		m.c.t.Errorf("%s did not stop within 30 s", m.name())
		m.kill()
	}
}

// serves reports whether the node serves clients.
func (m *member) serves() bool {
	text, err := os.ReadFile(filepath.Join(m.data(), "ports.json"))
	var ports map[string]string
	return err == nil && json.Unmarshal(text, &ports) == nil && ports["amqp"] != ""
}

// await waits until the node serves.
func (m *member) await() {
	m.c.t.Helper()
	for end := time.Now().Add(startLimit); !m.serves(); {
		if !m.running() {
			m.c.t.Fatalf("%s ended instead of serving:\n%s", m.name(), m.tail())
		}
		if time.Now().After(end) {
			m.c.t.Fatalf("%s does not serve after %s:\n%s", m.name(), startLimit, m.tail())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// tail is the end of the log of the last life.
func (m *member) tail() string {
	text, err := os.ReadFile(filepath.Join(m.dir, fmt.Sprintf("log.%d", m.lives)))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// A status is what `warren status --json` says of shards.
type status struct {
	Limiting []string
	Shards   []struct {
		ID       uint64
		Kind     string
		Leader   string
		Replicas []string
		Refused  string
		Queues   int
	}
}

func (m *member) status() (st status, err error) {
	out, err := exec.Command("timeout", "5", m.c.binary, "status", "--data", m.data(), "--json").Output()
	if err != nil {
		return st, fmt.Errorf("status of %s: %w", m.name(), err)
	}
	return st, json.Unmarshal(out, &st)
}

// awaitWhole waits until every group has its replicas and a leader, as each of the
// nodes sees it.
func (c *cluster) awaitWhole(n int) {
	c.t.Helper()
	missing := ""
	for end := time.Now().Add(startLimit); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		if missing = c.missing(n); missing == "" {
			return
		}
	}
	c.t.Fatalf("the cluster is not whole after %s: %s", startLimit, missing)
}

func (c *cluster) missing(n int) string {
	for _, m := range c.nodes {
		if !m.running() {
			continue
		}
		st, err := m.status()
		if err != nil {
			return err.Error()
		}
		if len(st.Shards) < 1+min(n, 3) {
			return fmt.Sprintf("%s knows %d groups", m.name(), len(st.Shards))
		}
		for _, s := range st.Shards {
			if want := min(n, 3); s.Kind != "catalog" && len(s.Replicas) < want {
				return fmt.Sprintf("%s: group %d has %d replicas", m.name(), s.ID, len(s.Replicas))
			}
			for _, o := range c.nodes {
				if c.gone[o.number].Load() && slices.Contains(s.Replicas, o.name()) {
					return fmt.Sprintf("%s: group %d is on %s, which is gone", m.name(), s.ID, o.name())
				}
			}
			for _, r := range s.Replicas {
				if r == m.name() && s.Leader == "" {
					return fmt.Sprintf("%s: group %d has no leader", m.name(), s.ID)
				}
			}
		}
	}
	return ""
}

// leader returns the node that leads a queue, as any of those that run knows it.
func (c *cluster) leader(queue string) *member {
	for _, m := range c.nodes {
		if !m.running() {
			continue
		}
		out, err := exec.Command("timeout", "5", c.binary, "ctl", "--data", m.data(), "-q", "list_queues", "name", "leader", "--no-table-headers").Output()
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(out)) {
			f := strings.Fields(line)
			if len(f) != 2 || f[0] != queue {
				continue
			}
			for _, l := range c.nodes {
				if l.name() == f[1] {
					return l
				}
			}
		}
	}
	return nil
}
