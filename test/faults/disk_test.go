//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/client"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/test/faults/rig"
)

const mib = 1 << 20

// A smallDisk is a tmpfs in a mount namespace of its own, which ends with the
// test.
type smallDisk struct {
	t    *testing.T
	pid  int
	path string // within the namespace
}

func newSmallDisk(t *testing.T, size int64) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, path: t.TempDir()}
	// The shell holds the namespace until its input ends.
	cmd := exec.Command("unshare", "-m", "sh", "-c", fmt.Sprintf("mount -t tmpfs -o size=%d tmpfs '%s' && echo ready && cat", size, d.path))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line := make([]byte, 6)
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatalf("mount a tmpfs, which root may do: %v: %s", err, said.String())
	}
	d.pid = cmd.Process.Pid
	return d
}

// view is a path on the disk as the test sees it.
func (d *smallDisk) view(name string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", d.pid), d.path, name)
}

// fill takes space away, and returns how to give it back.
func (d *smallDisk) fill(bytes int64) (free func()) {
	d.t.Helper()
	if err := os.WriteFile(d.view("ballast"), make([]byte, bytes), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return func() {
		d.t.Helper()
		if err := os.Remove(d.view("ballast")); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *smallDisk) broker(args ...string) *rig.Broker {
	return rig.New(d.t, rig.Options{
		Binary: with.binary, Wrap: []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", d.pid), "--"},
		Data: filepath.Join(d.path, "data"), View: d.view("data"),
		Args: append([]string{"--set", "memory.budget=64MiB", "--set", "shards=2", "--set", "log.segment_size=2MiB"}, args...),
	})
}

// TestFullDisk fills the disk under confirmed load. Publishers stop, or the
// process ends with the status for it; it never confirms what it can not keep.
// With space again, everything confirmed is there and more is taken.
func TestFullDisk(t *testing.T) {
	d := newSmallDisk(t, 160*mib)
	free := d.fill(96 * mib)
	b := d.broker()
	b.Start()
	c := rig.Dial(t, b.Addr())
	declareOne(t, c, "q")
	p := &rig.Publisher{Producer: 1, Key: "q", Size: 4096, Window: 100}
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(c, 1<<20) }) // until the connection ends
	ended := awaitStandstill(t, b, p)
	n, _ := p.Confirms()
	t.Logf("%d messages of 4 KiB confirmed on 64 MiB, the process ended: %v", n, ended)
	if n < 1000 {
		t.Errorf("only %d were confirmed", n)
	}
	if ended {
		if code := b.Exit(time.Second); code != 74 {
			t.Errorf("ended with status %d", code)
		}
		wantFullStart(t, b)
	}
	free()
	if !ended {
		before := n
		rig.Await(t, "confirms to come again", func() bool { n, _ := p.Confirms(); return n > before })
		b.Kill()
	}
	wg.Wait()
	b.Start()
	var y rig.Tally
	rig.Drain(t, b.Addr(), "q", &y)
	y.Judge(t, p)
	if err := p.Run(rig.Dial(t, b.Addr()), 100); err != nil {
		t.Errorf("publish with space again: %v", err)
	}
	b.Stop(20 * time.Second)
}

// awaitStandstill waits until the process ended, or no confirm came for 5 s.
func awaitStandstill(t *testing.T, b *rig.Broker, p *rig.Publisher) (ended bool) {
	t.Helper()
	rig.AwaitFor(t, 2*time.Minute, "the disk to be full", func() bool {
		_, last := p.Confirms()
		return !b.Running() || !last.IsZero() && time.Since(last) > 5*time.Second
	})
	return !b.Running()
}

// wantFullStart starts a broker on a full disk: it serves what it has or says
// why not, in bounded time.
func wantFullStart(t *testing.T, b *rig.Broker) {
	t.Helper()
	b.Launch()
	begin := time.Now()
	rig.AwaitFor(t, 20*time.Second, "a start on a full disk to serve or to fail", func() bool {
		return !b.Running() || b.Addr() != ""
	})
	if b.Running() {
		b.Kill()
		return
	}
	code := b.Exit(time.Second)
	t.Logf("a start on the full disk ended with status %d after %.1f s", code, time.Since(begin).Seconds())
	if code != 74 && code != 73 || !strings.Contains(b.Log(), "no space left") {
		t.Errorf("status %d, and the log says\n%s", code, b.Log())
	}
}

// TestNoSpaceAtFirstStart starts a fresh broker where nothing fits.
func TestNoSpaceAtFirstStart(t *testing.T) {
	d := newSmallDisk(t, 8*mib)
	for _, left := range []int64{0, 64 << 10, 300 << 10, mib} {
		free := d.fill(8*mib - left)
		b := d.broker()
		wantFullStart(t, b)
		free()
		b.Start()
		declareOne(t, rig.Dial(t, b.Addr()), "q")
		b.Stop(20 * time.Second)
		if err := os.RemoveAll(d.view("data")); err != nil {
			t.Fatal(err)
		}
	}
}

// flip changes a bit of a body in a segment file, and returns the file's name.
func flip(t *testing.T, b *rig.Broker, body []byte) string {
	t.Helper()
	files, _ := b.Segments()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(text, body)
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{text[at+20] ^ 8}, int64(at+20)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(file)
	}
	t.Fatal("the body is nowhere in the log")
	return ""
}

// TestFlippedBit changes a bit of a confirmed message of a broker that was
// stopped: the next start names the file, refuses that shard and serves the
// rest. It serves nothing that was not published.
func TestFlippedBit(t *testing.T) {
	b := newBroker(t, "--set", "shards=4")
	b.Start()
	c := rig.Dial(t, b.Addr())
	const queues = 8
	var ps []*rig.Publisher
	for i := range queues {
		q := fmt.Sprintf("q%d", i)
		declareOne(t, c, q)
		p := &rig.Publisher{Producer: uint32(i), Key: q, Size: 200, Window: 50}
		if err := p.Run(c, 500); err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	b.Stop(20 * time.Second)
	file := flip(t, b, rig.AppendBody(nil, 3, 123, 200))

	b.Start()
	for _, says := range []string{"shard refused", file, "offset"} {
		if !strings.Contains(b.Log(), says) {
			t.Errorf("the log does not say %q", says)
		}
	}
	if s := b.Status(); !strings.Contains(s, "refused") {
		t.Errorf("the status does not say it:\n%s", s)
	}
	served, refused := 0, 0
	for i := range queues {
		q := fmt.Sprintf("q%d", i)
		ch := rig.Channel(t, rig.Dial(t, b.Addr()), client.ChannelOptions{})
		if _, err := ch.QueueDeclare(rig.Ctx(t), wire.QueueDeclare{Queue: q, Durable: true, Passive: true}); err != nil {
			refused++
			continue
		}
		served++
		var y rig.Tally
		rig.Drain(t, b.Addr(), q, &y)
		y.Judge(t, ps[i])
	}
	t.Logf("%d queues served, %d refused", served, refused)
	if served == 0 || refused == 0 || served+refused != queues {
		t.Errorf("%d queues served, %d refused", served, refused)
	}
	b.Stop(20 * time.Second)
}

// TestFlippedTail changes a bit of the very last record of a broker that was
// killed. Nothing vouches for that it was ever whole: it is cut, and said so, and
// all before it is served.
func TestFlippedTail(t *testing.T) {
	b := newBroker(t)
	b.Start()
	c := rig.Dial(t, b.Addr())
	declareOne(t, c, "q")
	p := &rig.Publisher{Producer: 1, Key: "q", Size: 200, Window: 1}
	const messages = 100
	if err := p.Run(c, messages); err != nil {
		t.Fatal(err)
	}
	b.Kill()
	flip(t, b, rig.AppendBody(nil, 1, messages-1, 200))
	b.Start()
	if log := b.Log(); !strings.Contains(log, "torn tail") || strings.Contains(log, "refused") || strings.Contains(log, "ERROR") {
		t.Error("the log does not speak of a torn tail alone")
	}
	var y rig.Tally
	rig.Drain(t, b.Addr(), "q", &y)
	if y.Got() != messages-1 {
		t.Errorf("%d messages are left of %d", y.Got(), messages)
	}
	b.Stop(20 * time.Second)
}
