package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// stopTime is how long a started broker may take to end.
const stopTime = 20 * time.Second

// A process is this program, started again.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer     // the process ends when this is closed, as it is if we die
	ready chan struct{} // closed when it has printed its line
	ended chan struct{} // closed when it has ended, and err is set
	err   error
	log   tail
}

func startProcess(a *App, args ...string) (*process, error) {
	self, err := a.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file: %w", err)
	}
	p := &process{cmd: exec.Command(self, args...), ready: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = slices.DeleteFunc(a.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "RABBITMQ_") // a demonstration is the same for everybody
	})
	p.cmd.Stderr = &p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", self, err)
	}
	go func() { // ends with the process, for which stop and kill wait
		defer close(p.ended)
		r := bufio.NewReader(stdout)
		if _, err := r.ReadString('\n'); err == nil {
			close(p.ready)
		}
		_, _ = io.Copy(io.Discard, r)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process without a warning.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid(), err)
	}
	<-p.ended
	return nil
}

// stop asks the process to end and waits. One that was killed has ended.
func (p *process) stop() error {
	_ = p.stdin.Close() // closed already if it has ended
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("the broker did not stop within %s", stopTime), p.kill())
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && !exit.Exited() {
		return nil // by a signal
	}
	if p.err != nil {
		return fmt.Errorf("the broker did not end well: %w", p.failure())
	}
	return nil
}

// failure is why the process ended, with the last it has logged.
func (p *process) failure() error {
	return fmt.Errorf("%w\n%s", p.err, p.log.String())
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
