//go:build chaos

package chaos

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A broker runs below a folder; a starter of test/interop/brokers knows how.
type broker struct{ dir string }

func starter() string {
	if s := os.Getenv("BROKER_CMD"); s != "" {
		return s
	}
	return "../interop/brokers/warren.sh"
}

// canDieYoung says that the starter writes the process id before the broker serves.
func canDieYoung() bool { return os.Getenv("BROKER_CMD") == "" }

func (b *broker) run(t *testing.T, verb string) {
	t.Helper()
	if out, err := exec.Command(starter(), verb, b.dir).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", verb, err, out)
	}
}

func (b *broker) start(t *testing.T) { t.Helper(); b.run(t, "start") }
func (b *broker) kill(t *testing.T)  { t.Helper(); b.run(t, "kill") }

// end stops what is left, and says so if that fails while nothing else did.
func (b *broker) end(t *testing.T) {
	if out, err := exec.Command(starter(), "stop", b.dir).CombinedOutput(); err != nil && !t.Failed() {
		t.Errorf("stop: %v: %s", err, out)
	}
	if t.Failed() {
		if text, err := os.ReadFile(filepath.Join(b.dir, "log")); err == nil {
			t.Logf("the broker's log ends:\n%s", text[max(0, len(text)-4000):])
		}
	}
}

// dieYoung starts the broker and kills it after a while, perhaps within its
// recovery. A start that fails because of that is what is wanted.
func (b *broker) dieYoung(t *testing.T, after time.Duration) {
	t.Helper()
	file := filepath.Join(b.dir, "pid")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	start := exec.Command(starter(), "start", b.dir)
	if err := start.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	await(t, "a process id", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(text, &pid) == nil
	})
	<-time.After(after)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("killing %d: %v: it ended by itself", pid, err)
	}
	_ = start.Wait()
	b.run(t, "kill") // waits until the process is gone
}

// address is where the broker serves AMQP.
func (b *broker) address() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "ports.json"))
	if err != nil {
		return ""
	}
	var ports map[string]string
	if json.Unmarshal(text, &ports) != nil {
		return ""
	}
	return ports["amqp"]
}
