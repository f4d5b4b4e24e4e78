package checkpoint_test

import (
	"errors"
	"testing"
	"time"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
)

// A statLog is a log of which only the statistics matter.
type statLog struct {
	*storagetest.MemLog
	stats storage.LogStats
}

func (l *statLog) Stats() storage.LogStats { return l.stats }

// A source counts what is done with it.
type source struct {
	group, applied, cut uint64
	ready               func(checkpoint.Cut)
	asked               int
	err                 error
	steps               string
}

func (s *source) Group() uint64                  { return s.group }
func (s *source) Progress() (_, _ uint64, _ int) { return s.applied, s.cut, 0 }
func (s *source) Cut(f func(checkpoint.Cut))     { s.asked++; s.ready = f }

type cut struct {
	s     *source
	index uint64
}

func (s *source) give()     { s.ready(cut{s, s.applied}) }
func (c cut) Index() uint64 { return c.index }
func (c cut) Durable()      { c.s.cut = c.index; c.s.steps += "durable " }
func (c cut) Bodies(n func() storage.Batch) error {
	c.s.steps += "bodies "
	b := n()
	b.Set([]byte("b"), nil)
	return errors.Join(c.s.err, b.Commit())
}

func (c cut) State(b storage.Batch) error {
	c.s.steps += "state "
	b.Set([]byte{byte(c.s.group)}, nil)
	return nil
}

type world struct {
	log   *statLog
	state *state.Memory
	r     *checkpoint.Rounds
	fatal error
	now   time.Duration
}

func newWorld(sources ...*source) *world {
	w := &world{log: &statLog{MemLog: storagetest.NewMemLog()}, state: state.NewMemory()}
	w.r = checkpoint.New(checkpoint.Options{Log: w.log, State: w.state, Fatal: func(err error) { w.fatal = err }})
	for _, s := range sources {
		w.r.Add(s)
	}
	return w
}

func (w *world) step(d time.Duration) {
	w.now += d
	w.r.Step(w.now)
}

func TestRound(t *testing.T) {
	a, b, idle := &source{group: 1, applied: 5}, &source{group: 2, applied: 9, cut: 3}, &source{group: 3, applied: 4, cut: 4}
	w := newWorld(a, b, idle)
	w.step(time.Second)
	if a.asked != 0 {
		t.Fatal("a round without need")
	}
	w.log.stats.SinceOldest = 256 << 20
	w.step(0)
	if a.asked != 1 || b.asked != 1 || idle.asked != 0 {
		t.Fatalf("asked %d, %d and %d", a.asked, b.asked, idle.asked)
	}
	a.give()
	w.step(0)
	if a.steps != "" {
		t.Fatal("written before all cuts were there")
	}
	b.give()
	w.step(0)
	if a.steps != "bodies state durable " || b.steps != a.steps || w.state.Unflushed() != 0 {
		t.Fatalf("%q, %q, %d unflushed", a.steps, b.steps, w.state.Unflushed())
	}
	// Somebody else keeps the log from shrinking: rounds rest in between, and
	// another is due when as much was logged again.
	a.applied = 6
	w.step(time.Millisecond)
	w.step(time.Minute)
	if a.asked != 1 {
		t.Error("a round for what no round can help")
	}
	w.log.stats.Logged += 256 << 20
	if got := w.r.Behind(); got != 256<<20 {
		t.Errorf("%d bytes behind", got)
	}
	w.step(time.Millisecond)
	if a.asked != 2 {
		t.Error("never again")
	}
	a.give()
	w.step(0)
	a.applied = 7
	w.log.stats.Logged += 300 << 20
	w.step(time.Millisecond)
	if a.asked != 2 {
		t.Error("no rest")
	}
	w.step(time.Millisecond)
	if got := w.r.Behind(); got != 300<<20 {
		t.Errorf("%d bytes behind", got)
	}
	w.step(time.Second)
	if a.asked != 3 {
		t.Error("rests for ever")
	}
	a.give()
	w.step(time.Hour) // for want of space, say
	a.applied = 8
	w.log.stats.Logged += 512 << 20
	w.step(time.Millisecond)
	if a.asked != 4 {
		t.Error("rests while the log grows")
	}
}

func TestIdle(t *testing.T) {
	a := &source{group: 1, applied: 5}
	w := newWorld(a)
	w.log.stats.Segments, w.log.stats.Bytes = 2, 100
	w.step(time.Second)
	w.step(4 * time.Second)
	w.log.stats.Bytes = 200
	w.step(4 * time.Second)
	if a.asked != 0 {
		t.Fatal("not idle yet")
	}
	w.step(5 * time.Second)
	if a.asked != 1 {
		t.Fatal("idle, and no round")
	}
}

// Callbacks may call back, and those who ask while a round is open get the next.
func TestForce(t *testing.T) {
	a := &source{group: 1, applied: 5}
	w := newWorld(a)
	var said string
	w.r.Force(func() { said += "first "; w.r.Force(func() { said += "third " }) })
	w.step(0)
	w.r.Force(func() { said += "second " })
	a.give()
	w.step(0)
	if said != "first " {
		t.Fatalf("%q after the first round", said)
	}
	a.applied++
	w.step(0)
	a.give()
	w.step(0)
	if said != "first second third " {
		t.Fatalf("%q after the second round", said)
	}
	w.r.Force(func() { said += "nothing " })
	w.step(0)
	if said != "first second third nothing " {
		t.Fatalf("%q: there was nothing to do", said)
	}
}

func TestFailure(t *testing.T) {
	a := &source{group: 1, applied: 5, err: errors.New("no")}
	w := newWorld(a)
	w.r.Force(func() { t.Error("the round did not succeed") })
	w.step(0)
	a.give()
	w.step(0)
	w.step(time.Hour)
	if w.fatal == nil || a.steps != "bodies " || a.asked != 1 {
		t.Errorf("fatal %v, %q, asked %d times", w.fatal, a.steps, a.asked)
	}
}

func TestRun(t *testing.T) {
	w := newWorld()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); w.r.Run(stop, func() time.Duration { return 0 }) }()
	done := make(chan struct{})
	w.r.Force(func() { close(done) })
	<-done
	close(stop)
	<-ended
}

// A source that is removed is gone at once, or when the round under way has ended.
func TestRemove(t *testing.T) {
	a, b := &source{group: 1, applied: 5}, &source{group: 2, applied: 5}
	w := newWorld(a, b)
	gone := ""
	w.r.Remove(a, func() { gone += "a " })
	if gone != "a " {
		t.Fatalf("%q: no round had to do with it", gone)
	}
	w.r.Force(nil)
	w.step(0)
	if a.asked != 0 || b.asked != 1 {
		t.Fatalf("%d and %d cuts were asked for", a.asked, b.asked)
	}
	w.r.Remove(b, func() { gone += "b " })
	if gone != "a " {
		t.Fatalf("%q while a round is open", gone)
	}
	b.give()
	w.step(0)
	if gone != "a b " || b.steps != "bodies state durable " {
		t.Fatalf("%q after %q", gone, b.steps)
	}
	again := &source{group: 2, applied: 9}
	w.r.Add(again)
	w.r.Remove(b, func() {}) // it is another's by now
	w.r.Force(nil)
	w.step(0)
	if again.asked != 1 {
		t.Fatal("the new source of a group went with the old one")
	}
}
