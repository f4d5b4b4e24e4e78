// Package rig runs the real program as a child of a test, loads it with numbered
// and checksummed messages, and judges what comes back. The tests that hurt the
// program (test/faults) and that fill it (test/backlog) stand on it; it ships
// with nothing.
//
// A Broker kills what it started when the test ends. The goroutines of a
// Publisher and a Drain are those of their client, which ends with the test.
package rig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait for something that should take moments.
const Patience = 60 * time.Second

// Build returns the program: that of the environment variable WARREN, or one
// that is built below dir.
func Build(dir string) (string, error) {
	if bin := os.Getenv("WARREN"); bin != "" {
		return bin, nil
	}
	bin := filepath.Join(dir, "warren")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "github.com/warrenmq/warren/cmd/warren")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	out, err := build.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w: %s", err, out)
	}
	return bin, nil
}

// Options of a Broker.
type Options struct {
	Binary string
	// Dir is where the data directory, and the log of every life, lie. Default:
	// a directory of the test.
	Dir string
	// Args are given to serve.
	Args []string
	// Wrap is a command that runs the program, as nsenter with its flags.
	Wrap []string
	// Data is the data directory as the program sees it, and View as the test
	// does. Default: data below Dir.
	Data, View string
}

// A Broker is the program with one data directory.
type Broker struct {
	t     testing.TB
	o     Options
	lives int
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd was waited for
}

// New returns a broker that does not run yet. What runs when the test ends is
// killed, and its log shown if the test failed.
func New(t testing.TB, o Options) *Broker {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Data == "" {
		o.Data = filepath.Join(o.Dir, "data")
		o.View = o.Data
	}
	b := &Broker{t: t, o: o}
	t.Cleanup(func() {
		if b.Running() {
			_ = b.cmd.Process.Kill() // it may have ended just now
			<-b.ended
		}
		if t.Failed() && b.lives > 0 {
			text := b.Log()
			t.Logf("the broker's last log ends:\n%s", text[max(0, len(text)-6000):])
		}
	})
	return b
}

// Data is the data directory as the test sees it.
func (b *Broker) Data() string { return b.o.View }

// PID is the process of the life that runs.
func (b *Broker) PID() int { return b.cmd.Process.Pid }

// Log is what the last life wrote.
func (b *Broker) Log() string {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (b *Broker) logFile() string { return filepath.Join(b.o.Dir, fmt.Sprintf("log.%d", b.lives)) }

// Launch starts the program and does not wait for it.
func (b *Broker) Launch() {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.Data(), "ports.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal(err)
	}
	b.lives++
	log, err := os.Create(b.logFile())
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	args := append(append([]string{}, b.o.Wrap...), b.o.Binary, "serve", "--data", b.o.Data, "--name", "warren@test", "--listen", "amqp=127.0.0.1:0", "--until-stdin-closes")
	args = append(args, b.o.Args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	// The broker ends with the test, even if that is killed.
	if _, err := cmd.StdinPipe(); err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	b.cmd, b.ended = cmd, ended
	go func() { _ = cmd.Wait(); close(ended) }() // Exit and the test's end wait for it
}

// Start starts the program and waits until it serves.
func (b *Broker) Start() {
	b.t.Helper()
	b.Launch()
	Await(b.t, "the broker to serve", func() bool {
		if !b.Running() {
			b.t.Fatalf("the broker ended with status %d instead of serving", b.cmd.ProcessState.ExitCode())
		}
		return b.Addr() != ""
	})
}

// Running tells whether the process is there.
func (b *Broker) Running() bool {
	if b.cmd == nil {
		return false
	}
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

// Addr is where it serves AMQP; empty before it does.
func (b *Broker) Addr() string {
	text, err := os.ReadFile(filepath.Join(b.Data(), "ports.json"))
	var ports map[string]string
	if err != nil || json.Unmarshal(text, &ports) != nil {
		return ""
	}
	return ports["amqp"]
}

// Signal sends a signal.
func (b *Broker) Signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatalf("signal %s: %v", s, err)
	}
}

// Kill ends the process without a word and waits until it is gone.
func (b *Broker) Kill() {
	b.t.Helper()
	b.Signal(syscall.SIGKILL)
	<-b.ended
}

// Stop asks the process to end, and wants it to within limit and with status 0.
func (b *Broker) Stop(limit time.Duration) {
	b.t.Helper()
	b.Signal(syscall.SIGTERM)
	if code := b.Exit(limit); code != 0 {
		b.t.Fatalf("asked to stop, the broker ended with status %d", code)
	}
}

// Exit waits until the process ends by itself and returns its status, -1 if a
// signal ended it.
func (b *Broker) Exit(limit time.Duration) int {
	b.t.Helper()
	select {
	case <-b.ended:
		return b.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		b.t.Fatalf("the broker did not end within %s", limit)
		return 0
	}
}

// RSS returns the memory the process holds now and held at most, in bytes.
func (b *Broker) RSS() (now, most int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.PID()))
	if err != nil {
		return 0, 0 // it ended
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = kib << 10
		case "VmHWM:":
			most = kib << 10
		}
	}
	return now, most
}

// Segments returns the files of the log, oldest name first, and what they take.
func (b *Broker) Segments() (files []string, bytes int64) {
	files, err := filepath.Glob(filepath.Join(b.Data(), "e1", "log", "*.seg"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil { // it may go meanwhile
			bytes += info.Size()
		}
	}
	return files, bytes
}

// Status asks the program about itself, as an operator does.
func (b *Broker) Status() string {
	b.t.Helper()
	out, err := exec.Command(b.o.Binary, "status", "--data", b.Data()).CombinedOutput()
	if err != nil {
		b.t.Fatalf("status: %v: %s", err, out)
	}
	return string(out)
}

// Await waits until ok.
func Await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	AwaitFor(t, Patience, what, ok)
}

// AwaitFor waits until ok, at most for limit.
func AwaitFor(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
}
