package clock

import (
	"sync"
	"time"
)

// Manual is a clock that moves only when it is told to.
type Manual struct {
	mu struct {
		sync.Mutex
		mono    time.Duration
		wall    time.Time // what Now returns
		timers  []*manualTimer
		created uint64
		changed chan struct{} // closed and renewed when a timer is added
	}
}

// NewManual returns a clock whose wall time is wall and whose Mono is zero.
func NewManual(wall time.Time) *Manual {
	c := &Manual{}
	c.mu.wall = wall
	c.mu.changed = make(chan struct{})
	return c
}

// Now implements Clock.
func (c *Manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.wall
}

// Mono implements Clock.
func (c *Manual) Mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.mono
}

// SetWall makes the wall clock jump. Mono and the timers do not notice.
func (c *Manual) SetWall(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.wall = wall
}

// Advance moves both times by d and fires what becomes due on the way, each
// timer at its own due time. Timers made by a function that runs on the way
// fire too if they fall due.
func (c *Manual) Advance(d time.Duration) {
	if d < 0 {
		panic("clock: Advance by a negative duration")
	}
	c.mu.Lock()
	target := c.mu.mono + d
	for {
		t := c.firstLocked()
		if t == nil || t.due > target {
			break
		}
		c.moveLocked(t.due)
		if f := t.fireLocked(); f != nil {
			c.mu.Unlock()
			f()
			c.mu.Lock()
		}
	}
	c.moveLocked(target)
	c.mu.Unlock()
}

// Next returns how far away the next timer is.
func (c *Manual) Next() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.firstLocked()
	if t == nil {
		return 0, false
	}
	return max(0, t.due-c.mu.mono), true
}

// BlockUntil waits until at least n timers are running: the way for a test to
// know that another goroutine has begun to wait.
func (c *Manual) BlockUntil(n int) {
	for {
		c.mu.Lock()
		enough, changed := len(c.mu.timers) >= n, c.mu.changed
		c.mu.Unlock()
		if enough {
			return
		}
		<-changed
	}
}

// NewTimer implements Clock.
func (c *Manual) NewTimer(d time.Duration) Timer {
	return c.add(&manualTimer{c: c, ch: make(chan time.Time, 1)}, d)
}

// NewTicker implements Clock.
func (c *Manual) NewTicker(d time.Duration) Timer {
	if d <= 0 {
		panic("clock: ticker without a positive period")
	}
	return c.add(&manualTimer{c: c, ch: make(chan time.Time, 1), period: d}, d)
}

// AfterFunc implements Clock.
func (c *Manual) AfterFunc(d time.Duration, f func()) Timer {
	return c.add(&manualTimer{c: c, f: f}, d)
}

func (c *Manual) add(t *manualTimer, d time.Duration) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.startLocked(d)
	return t
}

func (c *Manual) moveLocked(to time.Duration) {
	if to > c.mu.mono {
		c.mu.wall = c.mu.wall.Add(to - c.mu.mono)
		c.mu.mono = to
	}
}

func (c *Manual) firstLocked() *manualTimer {
	var first *manualTimer
	for _, t := range c.mu.timers {
		if first == nil || t.due < first.due || t.due == first.due && t.order < first.order {
			first = t
		}
	}
	return first
}

// manualTimer's fields but the first three are guarded by its clock's mu.
type manualTimer struct {
	c  *Manual
	ch chan time.Time
	f  func()

	period  time.Duration // zero unless a ticker
	due     time.Duration
	order   uint64
	running bool
}

func (t *manualTimer) C() <-chan time.Time { return t.ch }

func (t *manualTimer) Reset(d time.Duration) bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	was := t.stopLocked()
	if t.period > 0 {
		t.period = d
	}
	t.startLocked(d)
	return was
}

func (t *manualTimer) Stop() bool {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return t.stopLocked()
}

func (t *manualTimer) startLocked(d time.Duration) {
	mu := &t.c.mu
	mu.created++
	t.due, t.order, t.running = mu.mono+max(0, d), mu.created, true
	mu.timers = append(mu.timers, t)
	close(mu.changed)
	mu.changed = make(chan struct{})
}

func (t *manualTimer) stopLocked() bool {
	was := t.running
	t.removeLocked()
	select {
	case <-t.ch: // drops a value nobody took; ch may be nil
	default:
	}
	return was
}

func (t *manualTimer) removeLocked() {
	t.running = false
	for i, o := range t.c.mu.timers {
		if o == t {
			t.c.mu.timers = append(t.c.mu.timers[:i], t.c.mu.timers[i+1:]...)
			return
		}
	}
}

// fireLocked sends the tick and returns the function to call, if any.
func (t *manualTimer) fireLocked() func() {
	if t.period > 0 {
		t.due += t.period
	} else {
		t.removeLocked()
	}
	if t.f != nil {
		return t.f
	}
	select {
	case t.ch <- t.c.mu.wall:
	default:
	}
	return nil
}
