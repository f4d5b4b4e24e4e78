package node

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/internal/clock"
)

// A fakeElector is a group that is led once it has stood so often.
type fakeElector struct {
	clock *clock.Manual
	wins  int
	stood []time.Duration
}

func (e *fakeElector) Status() (s raftgroup.Status) {
	if e.wins > 0 && len(e.stood) >= e.wins {
		s.Leader = 7
	}
	return s
}

func (e *fakeElector) Campaign() { e.stood = append(e.stood, e.clock.Mono()) }

// Two who stand at once are not elected; they stand again, apart from each other, and
// not for ever.
func TestStand(t *testing.T) {
	const heard = 5 * time.Millisecond // less than that is at once
	race := func(wins int) (first, second []time.Duration) {
		c := clock.NewManual(time.Unix(0, 0))
		a, b := &fakeElector{clock: c, wins: wins}, &fakeElector{clock: c, wins: wins}
		c.Advance(campaignStep) // the first in rank hears of it a step after the second
		stand(c, a, 0, campaignAgain, campaigns)
		stand(c, b, 0, campaignAgain+campaignStep, campaigns)
		for range 2000 {
			c.Advance(time.Millisecond)
		}
		return a.stood, b.stood
	}
	first, second := race(0)
	if len(first) != campaigns || len(second) != campaigns {
		t.Fatalf("stood at %v and %v, want %d times", first, second, campaigns)
	}
	for i := 1; i < campaigns; i++ {
		for _, at := range second {
			if (first[i] - at).Abs() < heard {
				t.Errorf("both stand at %v", at)
			}
		}
	}
	if first[1] > time.Second/2 {
		t.Errorf("it stands again at %v", first[1])
	}
	if first, _ = race(2); len(first) != 2 {
		t.Errorf("it stood %d times and is led since the second", len(first))
	}
}
