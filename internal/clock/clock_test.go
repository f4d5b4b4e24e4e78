package clock_test

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warrenmq/warren/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start() *clock.Manual { return clock.NewManual(time.Unix(1000, 0)) }

func fired(t clock.Timer) bool {
	select {
	case <-t.C():
		return true
	default:
		return false
	}
}

func TestManualMovesBothTimes(t *testing.T) {
	c := start()
	c.Advance(3 * time.Second)
	if c.Mono() != 3*time.Second || !c.Now().Equal(time.Unix(1003, 0)) {
		t.Fatalf("mono %v, wall %v", c.Mono(), c.Now())
	}
	c.SetWall(time.Unix(5, 0))
	c.Advance(time.Second)
	if c.Mono() != 4*time.Second || !c.Now().Equal(time.Unix(6, 0)) {
		t.Fatalf("after a jump: mono %v, wall %v", c.Mono(), c.Now())
	}
}

func TestManualFiresInOrderAtDueTime(t *testing.T) {
	c := start()
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, name+"@"+c.Mono().String()) }
	}
	c.AfterFunc(3*time.Second, note("c"))
	c.AfterFunc(time.Second, func() {
		note("a")()
		c.AfterFunc(time.Second, note("nested"))
	})
	c.AfterFunc(2*time.Second, note("b"))
	c.AfterFunc(9*time.Second, note("late"))
	c.Advance(4 * time.Second)
	want := []string{"a@1s", "b@2s", "nested@2s", "c@3s"}
	if !slices.Equal(got, want) {
		t.Fatalf("fired %v, want %v", got, want)
	}
	if d, ok := c.Next(); !ok || d != 5*time.Second {
		t.Fatalf("next in %v %v", d, ok)
	}
}

func TestTimers(t *testing.T) {
	c := start()
	tm, tick := c.NewTimer(time.Second), c.NewTicker(time.Second)
	c.Advance(5 * time.Second)
	if !fired(tm) || fired(tm) || !fired(tick) || fired(tick) {
		t.Fatal("a timer fires once, a slow reader finds one tick")
	}
	if tm.Stop() || tm.Reset(time.Second) || !tick.Stop() {
		t.Fatal("wrong answer to whether the timer was running")
	}
	c.Advance(time.Second)
	if tm.Reset(time.Second) {
		t.Fatal("running after it fired")
	}
	if fired(tm) {
		t.Fatal("stale value after Reset")
	}
	c.Advance(time.Second)
	if !fired(tm) || fired(tick) {
		t.Fatal("reset timer or stopped ticker is wrong")
	}
}

func TestBlockUntil(t *testing.T) {
	c := start()
	done := make(chan time.Time)
	go func() { done <- <-c.NewTimer(time.Minute).C() }()
	c.BlockUntil(1)
	c.Advance(time.Minute)
	if at := <-done; !at.Equal(time.Unix(1060, 0)) {
		t.Fatalf("fired at %v", at)
	}
}

func TestReal(t *testing.T) {
	var c clock.Clock = clock.NewReal()
	before := c.Mono()
	<-c.NewTimer(time.Millisecond).C()
	tick := c.NewTicker(time.Millisecond)
	<-tick.C()
	<-tick.C()
	if !tick.Stop() || tick.Stop() || tick.Reset(time.Hour) || !tick.Stop() {
		t.Fatal("wrong answer to whether the ticker was running")
	}
	ran := make(chan struct{})
	c.AfterFunc(time.Millisecond, func() { close(ran) })
	<-ran
	if c.Mono()-before < 4*time.Millisecond {
		t.Fatalf("only %v went by", c.Mono()-before)
	}
}
