package clock

import (
	"sync/atomic"
	"time"
)

// Real is the machine's clock.
type Real struct {
	start time.Time
}

// NewReal returns the machine's clock; its Mono counts from here.
func NewReal() *Real { return &Real{start: time.Now()} }

// Now returns the wall clock's time.
func (c *Real) Now() time.Time { return time.Now() }

// Mono returns the time since NewReal.
func (c *Real) Mono() time.Duration { return time.Since(c.start) }

// NewTimer implements Clock.
func (c *Real) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

// AfterFunc implements Clock.
func (c *Real) AfterFunc(d time.Duration, f func()) Timer {
	return realTimer{time.AfterFunc(d, f)}
}

// NewTicker implements Clock.
func (c *Real) NewTicker(d time.Duration) Timer {
	t := &realTicker{t: time.NewTicker(d)}
	t.running.Store(true)
	return t
}

type realTimer struct{ t *time.Timer }

func (t realTimer) C() <-chan time.Time        { return t.t.C }
func (t realTimer) Reset(d time.Duration) bool { return t.t.Reset(d) }
func (t realTimer) Stop() bool                 { return t.t.Stop() }

type realTicker struct {
	t       *time.Ticker
	running atomic.Bool
}

func (t *realTicker) C() <-chan time.Time { return t.t.C }

func (t *realTicker) Reset(d time.Duration) bool {
	t.t.Reset(d)
	return t.running.Swap(true)
}

func (t *realTicker) Stop() bool {
	t.t.Stop()
	return t.running.Swap(false)
}
