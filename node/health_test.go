package node

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/health"
)

// ask returns the status and text of a path of a node's health.
func (r *running) ask(path string) (int, string) {
	r.t.Helper()
	resp, err := http.Get("http://" + r.Addrs()["http"] + path) //nolint:noctx // bounded by the listener
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

// answers waits for an answer.
func (r *running) answers(path string, code int, text string) {
	r.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, s := r.ask(path)
		if c == code && strings.Contains(s, text) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: %d %q, want %d %q\n%s", path, c, s, code, text, r.log)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func healthy(o Options) Options {
	o.Listen = append(o.Listen, Listen{Protocol: "http", Addr: "127.0.0.1:0"})
	return o
}

func TestHealthAlone(t *testing.T) {
	r := start(t, healthy(testOptions(t, t.TempDir(), nil)))
	r.answers("/health/ready", 200, "serving\n")
	r.answers("/health/live", 200, "live")
	r.answers("/health/alarms", 200, "no alarms")
	r.answers("/", 404, "/health/ready")
	r.watch.mu.Lock()
	r.watch.mu.memory = 1
	r.watch.mu.Unlock()
	r.answers("/health/alarms", 503, "memory alarm: ")
	r.answers("/health/ready", 200, "serving")

	r.leaving.Store(true)
	r.answers("/health/ready", 503, "stopping\n")
	addr := r.Addrs()["http"]
	r.stop()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a node that has ended is asked for its health")
	}
}

// A node that nobody but its health is asked for serves, and who opened the
// listeners for that answers when it has ended.
func TestHealthAloneOfProcess(t *testing.T) {
	o := testOptions(t, t.TempDir(), nil)
	o.Listen = []Listen{{Protocol: "http", Addr: "127.0.0.1:0"}}
	checks, err := OpenChecks(o, health.Options{
		Status: func() health.Status { return health.Status{State: health.Stopped, Why: "the app is stopped"} },
		Alarms: func() []string { return nil },
	})
	must(t, err)
	defer checks.Close()
	o.Checks = checks
	r := start(t, o)
	r.answers("/health/ready", 200, "serving\n")
	r.stop()
	r.answers("/health/ready", 503, "stopped: the app is stopped\n")
	r.answers("/health/live", 200, "live")
}

// A node that waits to be let in, that lost its cluster or that stops is asked,
// and says what it waits for (estate A19, R19).
func TestHealthOfCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, healthy(clusterOptions(t, dir, 1)))
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	join := nobody.Addr().String()
	nobody.Close()
	waits := launch(t, healthy(clusterOptions(t, dir, 9, join)))
	waits.answers("/health/ready", 503, "booting: waiting to be let into a cluster by "+join)
	waits.answers("/health/live", 200, "live")
	waits.stop()

	second := start(t, healthy(clusterOptions(t, dir, 2, first.Addrs()["cluster"])))
	third := start(t, healthy(clusterOptions(t, dir, 3, first.Addrs()["cluster"])))
	rs := []*running{first, second, third}
	waitWhole(t, rs, 3)
	for _, r := range rs {
		r.answers("/health/ready", 200, "serving: 3 of 3")
	}
	second.stop()
	first.answers("/health/ready", 200, "serving: 2 of 3, without warren-2@test")
	third.stop()
	first.stop()
	alone := launch(t, first.o)
	alone.answers("/health/ready", 503, "minority: 1 of 3, needs 2, waiting for warren-2@test, warren-3@test")
	alone.stop()
}
