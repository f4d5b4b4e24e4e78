package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/config"
	"github.com/warrenmq/warren/node"
)

// childVariable makes the test program be warren, for the tests that start it as
// a process of its own.
const childVariable = "WARREN_TEST_IS_WARREN"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		a := System()
		a.NewNode = newTextNode
		a.Version = "test"
		os.Exit(a.Main(append([]string{"warren"}, os.Args[1:]...)))
	}
	goleak.VerifyTestMain(m)
}

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// A screen is what a verb printed, safe to read while it prints.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// A world is an App whose surroundings are the test's.
type world struct {
	*App
	t           *testing.T
	out, errs   *screen
	env         map[string]string
	interrupted chan os.Signal
	nodeOptions node.Options
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, out: &screen{}, errs: &screen{}, env: map[string]string{}, interrupted: make(chan os.Signal, 2)}
	w.App = &App{
		Stdin: strings.NewReader(""), Stdout: w.out, Stderr: w.errs,
		Getenv:     func(name string) string { return w.env[name] },
		Environ:    func() []string { return append(os.Environ(), childVariable+"=1") },
		Executable: os.Executable,
		Machine: func(string) config.Machine {
			return config.Machine{Host: "node-01", CPUs: 2, RAM: 4 << 30, DiskFree: 1 << 40, OpenFiles: 1024}
		},
		NewNode:    func(o node.Options) (Node, error) { w.nodeOptions = o; return newFakeNode(o), nil },
		Dial:       newFakeBroker().dial,
		Interrupts: func() (<-chan os.Signal, func()) { return w.interrupted, func() {} },
		Now:        time.Now,
		NewID:      func() string { return "RUN" },
		Version:    "test",
	}
	w.env["GOMEMLIMIT"] = "off" // the tests keep their own
	return w
}

// run runs a command line to its end.
func (w *world) run(args ...string) int {
	w.t.Helper()
	return w.Main(append([]string{"warren"}, args...))
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

func (w *world) wants(code, got int) {
	w.t.Helper()
	if got != code {
		w.t.Fatalf("exit code %d, want %d\n%s%s", got, code, w.out, w.errs)
	}
}

func (w *world) printed(what string, parts ...string) {
	w.t.Helper()
	for _, p := range parts {
		if !strings.Contains(what, p) {
			w.t.Errorf("not printed: %q in\n%s", p, what)
		}
	}
}

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func lines(format string, from, to int) (out string) {
	for i := from; i < to; i++ {
		out += fmt.Sprintf(format+"\n", i)
	}
	return out
}
