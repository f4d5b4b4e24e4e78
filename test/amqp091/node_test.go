package amqp091_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/node"
)

// A broker under test: a whole node.
type running struct {
	*node.Node
	dir  string
	stop context.CancelFunc
	done chan error
}

func options(dir string) node.Options {
	return node.Options{
		Name: "test@localhost", DataDir: dir, Version: "test", SegmentBytes: 4 << 20,
		// One process holds the memory of the nodes of all tests.
		Memory: node.Memory{HighWatermark: 16 << 30, Budget: 256 << 20, Entries: 64 << 20, Memtable: 16 << 20, Cache: 16 << 20},
		Listen: []node.Listen{{Protocol: "amqp", Addr: "127.0.0.1:0"}},
		Grace:  10 * time.Second,
	}
}

// small leaves 8 MiB for queues: what is full is full sooner.
func small(o *node.Options) { o.Memory.Entries = 16 << 20 }

func run(o node.Options) (*running, error) {
	n, err := node.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, dir: o.DataDir, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- n.Run(ctx) }() // halt waits
	select {
	case <-n.Ready():
		return r, nil
	case err := <-r.done:
		cancel()
		return nil, fmt.Errorf("the node did not start: %w", err)
	}
}

func (r *running) halt() error {
	r.stop()
	return <-r.done
}

func (r *running) addr() string { return r.Addrs()["amqp"] }

// own runs a node for one test.
func own(t *testing.T, change func(*node.Options)) *running {
	t.Helper()
	o := options(t.TempDir())
	if change != nil {
		change(&o)
	}
	r, err := run(o)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop := r.stop
	r.stop = func() { once.Do(stop) }
	t.Cleanup(func() {
		if r.done == nil {
			return
		}
		if err := r.halt(); err != nil {
			t.Errorf("the node ended: %v", err)
		}
	})
	return r
}

// shared is the node that most tests use.
var shared struct {
	once sync.Once
	*running
	err error
}

// broker returns the address of the shared node.
func broker(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "amqp091") //nolint:usetesting // the node outlives the test that asks first
		if err != nil {
			shared.err = err
			return
		}
		shared.running, shared.err = run(options(dir))
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.addr()
}

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they wait for times and beats, not for the processor
	code := m.Run()
	if r := shared.running; r != nil {
		if err := r.halt(); err != nil {
			fmt.Println("the shared node ended:", err)
			code = 1
		}
		_ = os.RemoveAll(r.dir)
	}
	// The clock of patterns ends a second after the last match.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock")); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
