//go:build faults

package faults

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenmq/warren/test/faults/rig"
)

// A tracer is strace on a running process.
type tracer struct {
	t     *testing.T
	file  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// A lockedBuffer is read while it is written to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// trace attaches strace to a broker and returns when it is attached.
func trace(t *testing.T, b *rig.Broker, args ...string) *tracer {
	t.Helper()
	tr := &tracer{t: t, file: filepath.Join(t.TempDir(), "trace"), ended: make(chan struct{})}
	args = append([]string{"-f", "-yy", "-ttt", "-s", "64", "-o", tr.file, "-p", strconv.Itoa(b.PID())}, args...)
	tr.cmd = exec.Command("strace", args...)
	var said lockedBuffer
	tr.cmd.Stderr = &said
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = tr.cmd.Wait(); close(tr.ended) }() // end waits for it
	t.Cleanup(tr.end)
	rig.Await(t, "strace to attach", func() bool { return strings.Contains(said.String(), "attached") })
	return tr
}

// end detaches.
func (tr *tracer) end() {
	_ = tr.cmd.Process.Signal(syscall.SIGINT) // it ends with the process it traces
	<-tr.ended
}

// A call is what a line of a trace says of a system call.
type call struct {
	thread, name, text string
	at                 time.Duration
	begins, ends       bool
}

// calls reads the trace. The order of lines is that of causes and effects: a
// thread goes on only after its line was written.
func (tr *tracer) calls() []call {
	tr.t.Helper()
	f, err := os.Open(tr.file)
	if err != nil {
		tr.t.Fatal(err)
	}
	defer f.Close()
	line := regexp.MustCompile(`^(\d+)\s+(\d+\.\d+) (?:<\.\.\. |\+\+\+ )?(\w+)(.*)$`)
	var all []call
	for s := bufio.NewScanner(f); s.Scan(); {
		m := line.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		seconds, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			tr.t.Fatal(err)
		}
		all = append(all, call{
			thread: m[1], name: m[3], text: m[4], at: time.Duration(seconds * float64(time.Second)),
			begins: !strings.Contains(s.Text(), "<... "), ends: !strings.HasSuffix(s.Text(), "<unfinished ...>"),
		})
	}
	return all
}

func (c *call) isSync() bool { return c.name == "fdatasync" || c.name == "fsync" }

func (c *call) isWrite() bool {
	return c.name == "write" || c.name == "writev" || c.name == "sendto" || c.name == "sendmsg"
}

// isAck tells whether the call hands a basic.ack to a socket: a frame of 13
// bytes, class 60, method 80, as strace writes it.
func (c *call) isAck() bool {
	return c.isWrite() && c.begins && strings.Contains(c.text, "TCP") && strings.Contains(c.text, `\r\0<\0P`)
}

// isPublish tells whether the call got a basic.publish (class 60, method 40).
func (c *call) isPublish() bool {
	return c.name == "read" && c.ends && strings.Contains(c.text, `\0<\0(`)
}

// TestConfirmAfterSync orders, for one message at a time, the read that brought
// it, the sync of the log and the write of its confirm: no confirm leaves before
// a sync that began after the message came has ended well.
func TestConfirmAfterSync(t *testing.T) {
	b := newBroker(t)
	b.Start()
	c := rig.Dial(t, b.Addr())
	declareOne(t, c, "q")
	tr := trace(t, b, "-e", "trace=read,write,writev,sendto,sendmsg,fsync,fdatasync")
	p := &rig.Publisher{Producer: 1, Key: "q", Size: 200, Window: 1}
	const messages = 300
	if err := p.Run(c, messages); err != nil {
		t.Fatal(err)
	}
	tr.end()

	published, acks, syncs, covered := -1, 0, 0, false
	began := map[string]int{} // by thread: when its sync began
	for i, k := range tr.calls() {
		if k.isSync() && k.begins && strings.Contains(k.text, ".seg>") {
			began[k.thread] = i
		}
		if at, ok := began[k.thread]; ok && k.isSync() && k.ends {
			delete(began, k.thread)
			if !strings.HasSuffix(k.text, "= 0") {
				t.Fatalf("a sync failed: %s", k.text)
			}
			syncs++
			covered = covered || at > published
		}
		if k.isPublish() {
			published, covered = i, false
		}
		if k.isAck() {
			if acks++; !covered {
				t.Fatalf("confirm %d left before the sync of its message: %s%s", acks, k.name, k.text)
			}
		}
	}
	t.Logf("%d messages, %d confirms, %d syncs: %.2f syncs a confirm", messages, acks, syncs, float64(syncs)/float64(max(acks, 1)))
	if acks != messages {
		t.Errorf("the trace shows %d confirms of %d", acks, messages)
	}
}

// TestSyncFails lets every sync fail from some moment on: the process ends with
// status 74 within a second, confirms nothing after the failure, and the next
// start has everything that was confirmed.
func TestSyncFails(t *testing.T) {
	for _, tc := range []struct {
		name            string
		publishers, win int
	}{{"one at a time", 1, 1}, {"many", 4, 100}} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBroker(t)
			b.Start()
			declareOne(t, rig.Dial(t, b.Addr()), "q")
			var ps []*rig.Publisher
			var wg sync.WaitGroup
			for i := range tc.publishers {
				p := &rig.Publisher{Producer: uint32(i), Key: "q", Size: 300, Window: tc.win}
				ps = append(ps, p)
				c := rig.Dial(t, b.Addr())
				wg.Go(func() { _ = p.Run(c, 1<<20) }) // until the connection ends
			}
			rig.Await(t, "confirms", func() bool { n, _ := ps[0].Confirms(); return n > 50 })
			tr := trace(t, b, "-e", "trace=write,writev,sendto,sendmsg,fsync,fdatasync",
				"-e", "inject=fdatasync:error=EIO", "-e", "inject=fsync:error=EIO")
			if code := b.Exit(10 * time.Second); code != 74 {
				t.Errorf("ended with status %d", code)
			}
			wg.Wait()
			tr.end()
			wantEndAfterFailure(t, tr, tc.win == 1)
			if !strings.Contains(b.Log(), "the node ends") {
				t.Error("the log does not say why")
			}

			b.Start()
			var y rig.Tally
			rig.Drain(t, b.Addr(), "q", &y)
			y.Judge(t, ps...)
			b.Stop(20 * time.Second)
		})
	}
}

// wantEndAfterFailure reads what happened after the first failed sync. With one
// message at a time no confirm of an earlier one can be under way.
func wantEndAfterFailure(t *testing.T, tr *tracer, strict bool) {
	t.Helper()
	var failed, last time.Duration
	acks := 0
	for _, k := range tr.calls() {
		if failed == 0 && k.isSync() && strings.Contains(k.text, "(INJECTED)") {
			failed = k.at
		}
		if last = k.at; failed != 0 && k.isAck() {
			acks++
		}
	}
	if failed == 0 {
		t.Fatal("no sync failed")
	}
	t.Logf("ended %s after the failed sync, %d writes of confirms in between", last-failed, acks)
	if last-failed > time.Second {
		t.Errorf("the process lived for %s after the failed sync", last-failed)
	}
	if strict && acks > 0 {
		t.Errorf("%d confirms left after the failed sync", acks)
	}
}
