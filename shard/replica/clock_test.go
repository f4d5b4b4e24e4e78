package replica

import (
	"testing"
	"time"
)

func TestLogClock(t *testing.T) {
	var c logClock
	c.applied(5000, replaying)
	if c.lived {
		t.Error("a replay is no life")
	}
	c.seed(4000)
	if now := c.now(2*time.Second, 4000); now != 5000 {
		t.Errorf("seeded with an older time: %d", now)
	}
	if now := c.now(3*time.Second, 1<<40); now != 6010 {
		t.Errorf("one second later, by a fast clock: %d", now)
	}
	if now := c.now(4*time.Second, 0); now != 7000 {
		t.Errorf("one second later, by a slow clock: %d", now)
	}
	if now := c.now(3*time.Second, 0); now != 7000 {
		t.Errorf("back in time: %d", now)
	}
	c.applied(6500, leading)
	if now := c.now(4*time.Second, 0); now != 7000 {
		t.Errorf("a leader's own stamp takes it back to %d", now)
	}
	c.applied(9000, leading)
	if now := c.now(5*time.Second, 10_000); now != 9000 {
		t.Errorf("with a stamp: %d", now)
	}
	if now := c.now(6*time.Second, 10_000); now != 10_000 {
		t.Errorf("behind a stamp: %d", now)
	}
}

// Who follows has the leader's time, however fast its own clock was, and however
// long it was paused before it heard of an entry: messages must not expire early
// when it leads.
func TestLogClockFollows(t *testing.T) {
	var c logClock
	c.applied(1000, following)
	c.now(time.Second, 0)
	if now := c.now(61*time.Second, 61_600); now != 61_600 {
		t.Fatalf("a minute later, by a fast clock: %d", now)
	}
	c.applied(61_000, following)
	if now := c.now(61*time.Second, 61_600); now != 61_000 {
		t.Errorf("the leader says 61000, the clock %d", now)
	}
	// Paused for half a minute, and the first it does is to apply.
	c.applied(91_000, following)
	if now := c.now(91*time.Second, 91_600); now != 91_000 {
		t.Errorf("the leader says 91000, the clock %d", now)
	}
}

// A process stands still inside a turn, and takes what has come meanwhile: that is
// stamped with the time at which it is there, or it would expire early.
func TestStoodStillInATurn(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.settle()
	before, now := f.s.stamp, time.Second
	f.s.o.Mono = func() time.Duration { return now }
	f.s.Run(func() {
		now += 10 * time.Second
		f.publish(2)
	})
	f.turn() // it began before
	es := f.flight
	f.flight = nil
	f.commit(es...)
	if took := time.Duration(f.s.stamp-before) * time.Millisecond; took < 9*time.Second || took > 11*time.Second {
		t.Errorf("stamped %s after what came ten seconds before", took)
	}
}

// A replica that began anew hears the time from its leader, however long nothing else
// was logged, and goes by that when it leads: not by its own wall clock.
func TestLogTime(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.settle()
	from := f.s.stamp
	f.s.Turn(11*time.Second, f)
	f.s.LogTime()
	f.s.Turn(11*time.Second, f)
	if len(f.flight) != 1 {
		t.Fatalf("%d entries are under way, want that of the time", len(f.flight))
	}
	es := f.flight
	f.flight = nil
	f.commit(es...)
	stamp := f.s.stamp
	if took := stamp - from; took < 9000 || took > 11_000 {
		t.Fatalf("%d ms were logged after ten seconds", took)
	}
	if f.s.Turn(11*time.Second, f); len(f.flight) != 0 {
		t.Fatal("it is logged again")
	}

	anew := newFake(t, 1)
	anew.s.o.Wall = func() int64 { return stamp + int64(time.Hour/time.Millisecond) }
	anew.follow()
	anew.commit(f.log...)
	anew.s.Turn(time.Second, anew)
	anew.lead(3)
	if now := anew.s.e.Now; now < stamp || now > stamp+100 {
		t.Errorf("it leads %d ms later than it was told", now-stamp)
	}
}
