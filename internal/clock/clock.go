// Package clock is where time comes from. Everything that waits or stamps is
// handed a Clock; nothing below the program's edge asks the operating system.
//
// Real is the machine's clock. Manual stands still until a test moves it and
// runs what has become due in the goroutine that moves it, in order of due
// time and then of creation, so that a run is the same every time.
package clock

import "time"

// A Clock tells two times. Now is the wall clock: it may jump, and is only for
// showing and for seeding. Mono counts from some start and never goes back:
// every duration and deadline is measured with it.
type Clock interface {
	Now() time.Time
	Mono() time.Duration
	// NewTimer returns a timer that fires once, d from now.
	NewTimer(d time.Duration) Timer
	// NewTicker returns a timer that fires every d, which must be positive.
	// A tick that nobody has taken yet is not queued a second time.
	NewTicker(d time.Duration) Timer
	// AfterFunc calls f once, d from now: in a goroutine of its own with Real,
	// in Advance's caller with Manual.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer fires once or, made by NewTicker, again and again.
type Timer interface {
	// C receives when the timer fires; nil for AfterFunc.
	C() <-chan time.Time
	// Reset makes the timer fire d from now, and a ticker every d from then
	// on. It reports whether the timer was running. No stale value is
	// received from C after Reset or Stop.
	Reset(d time.Duration) bool
	// Stop reports whether the timer was running.
	Stop() bool
}
