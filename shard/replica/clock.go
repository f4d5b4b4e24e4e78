package replica

import "time"

// A logClock is the log's time. It is the last stamp plus the monotonic time since
// that was applied; the wall clock corrects it by at most one percent, and seeds it
// after a full stop. A leader's never goes back; who follows has its leader's: what
// it thought before, its own clock may have been too fast or stood still, is void.
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

// applied takes the stamp of an entry: it is right now, and a turn tells when that
// is. The last turn may have been long ago, if the node was paused.
func (c *logClock) applied(stamp int64, by role) {
	c.lived = c.lived || by != replaying
	if t := time.Duration(stamp) * time.Millisecond; t > c.stamp || by == following {
		c.stamp, c.fresh = t, true
	}
}

// A role is that of a node when it applies an entry.
type role uint8

const (
	replaying role = iota // nobody leads, as far as it knows
	following
	leading
)

func (s *Shard) role() role {
	switch {
	case s.leading:
		return leading
	case s.leader != 0:
		return following
	}
	return replaying
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
