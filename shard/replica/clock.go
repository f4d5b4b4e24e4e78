package replica

import "time"

// A logClock is the log's time: it never goes back. It is the last stamp plus
// the monotonic time since that was applied; the wall clock corrects it by at
// most one percent, and seeds it after a full stop.
type logClock struct {
	stamp time.Duration // since the epoch
	mono  time.Duration // when stamp was right
	fresh bool          // mono is not known yet
	// lived says that a stamp was applied while somebody led: a leader that
	// only replayed the last one does not know how long ago that was.
	lived bool
}

// seed starts the clock of a leader that only replayed the last stamp.
func (c *logClock) seed(wall int64) {
	c.stamp, c.fresh = max(c.stamp, time.Duration(wall)*time.Millisecond), true
	c.lived = true
}

// applied takes the stamp of an entry; led says that it is not a replay.
func (c *logClock) applied(stamp int64, mono time.Duration, led bool) {
	c.lived = c.lived || led
	if t := time.Duration(stamp) * time.Millisecond; t > c.stamp {
		c.stamp, c.mono, c.fresh = t, mono, false
	}
}

// last returns the time without advancing it, in milliseconds.
func (c *logClock) last() int64 { return int64(c.stamp / time.Millisecond) }

// now advances the clock and returns milliseconds.
func (c *logClock) now(mono time.Duration, wall int64) int64 {
	if c.fresh || !c.lived {
		c.mono, c.fresh = mono, false
	}
	if el := mono - c.mono; el > 0 {
		t := c.stamp + el
		most := el / 100
		t += min(max(time.Duration(wall)*time.Millisecond-t, -most), most)
		c.stamp, c.mono = t, mono
	}
	return int64(c.stamp / time.Millisecond)
}
