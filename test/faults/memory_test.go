//go:build faults

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/test/faults/rig"
)

// A memoryGroup is a control group with a limit.
type memoryGroup struct {
	t   *testing.T
	dir string
	v2  bool
}

func newMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	g := &memoryGroup{t: t}
	root, file := "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		g.v2, root, file = true, "/sys/fs/cgroup", "memory.max"
		_ = os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0o600) // it may be on
	}
	g.dir = filepath.Join(root, fmt.Sprintf("warren-test-%d", os.Getpid()))
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		t.Fatalf("make a control group: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(g.dir) }) // after the broker, which was made later
	if err := os.WriteFile(filepath.Join(g.dir, file), fmt.Append(nil, limit), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// wrap runs a command within the group.
func (g *memoryGroup) wrap() []string {
	return []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(g.dir, "cgroup.procs")}
}

// killed tells whether the system killed somebody for want of memory.
func (g *memoryGroup) killed() bool {
	g.t.Helper()
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		g.t.Fatal(err)
	}
	return !strings.Contains(string(text), "oom_kill 0")
}

// TestMemoryLimit publishes faster than the disk takes it, and more to a queue in
// memory than that may hold, with 256 MiB of memory. The process is never killed,
// publishers are blocked and released, consumers drain on, nothing is lost.
func TestMemoryLimit(t *testing.T) {
	g := newMemoryGroup(t, 256*mib)
	b := rig.New(t, rig.Options{Binary: with.binary, Wrap: g.wrap()}) // its sizes follow the group
	b.Start()
	var blocked, released sync.Once
	wasBlocked, wasReleased := make(chan struct{}), make(chan struct{})
	loud, err := client.Dial(rig.Ctx(t), client.Options{Addr: b.Addr(), User: "guest", Password: "guest", OnBlocked: func(x client.Blocked) {
		if x.Active {
			blocked.Do(func() { close(wasBlocked) })
		} else {
			released.Do(func() { close(wasReleased) })
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer rig.Close(loud)
	c := rig.Dial(t, b.Addr())
	declareOne(t, c, "durable")
	if _, err := rig.Channel(t, c, client.ChannelOptions{}).QueueDeclare(rig.Ctx(t), wire.QueueDeclare{Queue: "memory"}); err != nil {
		t.Fatal(err)
	}

	var ps []*rig.Publisher
	var wg sync.WaitGroup
	run := func(c *client.Conn, key string, size, count int) {
		p := &rig.Publisher{Producer: uint32(len(ps) + 1), Key: key, Size: size, Window: 4000}
		ps = append(ps, p)
		wg.Go(func() {
			if err := p.Run(c, count); err != nil {
				t.Errorf("publish to %s: %v", key, err)
			}
		})
	}
	for range 3 {
		run(rig.Dial(t, b.Addr()), "durable", 4096, 80_000)
	}
	run(loud, "memory", 16<<10, 4000) // twice what queues in memory may hold
	var y rig.Tally
	slow := rig.Consume(t, c, "durable", 20, &y)
	await(t, wasBlocked, "the publisher to memory to be blocked")
	rig.Drain(t, b.Addr(), "memory", &y)
	await(t, wasReleased, "it to be released")
	wg.Wait()
	if err := slow.Close(rig.Ctx(t)); err != nil {
		t.Fatalf("the consumer: %v", err)
	}
	rig.Drain(t, b.Addr(), "memory", &y)
	rig.Drain(t, b.Addr(), "durable", &y)
	y.Judge(t, ps...)
	now, most := b.RSS()
	t.Logf("resident: %d MiB, at most %d MiB", now/mib, most/mib)
	if !b.Running() || g.killed() {
		t.Error("the process was killed for want of memory")
	}
	b.Stop(30 * time.Second)
}

func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(rig.Patience):
		t.Fatalf("never: %s", what)
	}
}
