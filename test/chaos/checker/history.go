package checker

import (
	"bufio"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Recorder writes the history of a run and has it judged as it goes. Clients of
// any goroutine report to it; what it writes is what it judges.
type Recorder struct {
	mu struct {
		sync.Mutex
		judge *Judge
		out   *bufio.Writer
		line  []byte
		err   error
	}
	clock func() time.Duration
}

// NewRecorder returns a Recorder. The clock tells the time since the run began.
func NewRecorder(w io.Writer, j *Judge, clock func() time.Duration) *Recorder {
	r := &Recorder{clock: clock}
	r.mu.judge, r.mu.out = j, bufio.NewWriterSize(w, 1<<16)
	return r
}

// Add adds events that happen now, in their order.
func (r *Recorder) Add(es ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.clock()
	for _, e := range es {
		e.At = now
		r.mu.line = e.Append(r.mu.line[:0])
		if _, err := r.mu.out.Write(r.mu.line); err != nil && r.mu.err == nil {
			r.mu.err = fmt.Errorf("write the history: %w", err)
		}
		r.mu.judge.Add(e)
	}
}

// Report judges the history so far.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.judge.Report()
}

// Counts returns how many messages were sent, confirmed and received so far.
func (r *Recorder) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.judge.counts
}

// Missing returns how many confirmed messages have yet to come.
func (r *Recorder) Missing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.judge.Missing()
}

// Flush writes what is buffered, and says whether the whole history was written.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mu.out.Flush(); err != nil && r.mu.err == nil {
		r.mu.err = fmt.Errorf("write the history: %w", err)
	}
	return r.mu.err
}

// Replay judges a history that was written.
func Replay(r io.Reader, j *Judge) error {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		e, err := ParseEvent(lines.Bytes())
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		j.Add(e)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	return nil
}
