package broker

import (
	"context"
	"runtime"
	"testing"

	"github.com/warrenmq/warren/shard"
)

// A chatty is a spot whose publishes call back.
type chatty struct {
	spot
	within func()
}

func (s *chatty) Publish(ps []shard.Publish) bool {
	if f := s.within; f != nil {
		s.within = nil
		f()
	}
	return s.spot.Publish(ps)
}

// What a call brings about may come back to the front, also while the queue moves
// and waits for that very call, and while what was held is let go.
func TestFrontIsEnteredAgain(t *testing.T) {
	from, to := &chatty{}, &chatty{}
	f := newFront(5, from, true, stayed)
	done := make(chan struct{})
	from.within = func() {
		go func() { f.follow(context.Background(), to); close(done) }()
		for !f.followed() {
			runtime.Gosched() // until the move waits for this publish
		}
		f.Settle(make([]shard.Settle, 1), nil)
		f.Publish(pub("b"))
		f.Ready(func() {})
		if to.heard() != "" {
			t.Errorf("the shard heard %q while a publish to the memory was under way", to.heard())
		}
	}
	to.within = func() { f.Settle(make([]shard.Settle, 2), nil) }
	f.Publish(pub("a"))
	<-done
	f.Publish(pub("c"))
	if got, want := from.heard(), "5 gets a, counts"; got != want {
		t.Errorf("the memory heard %q, want %q", got, want)
	}
	if got, want := to.heard(), "1 settles, 5 gets b, 2 settles, 5 gets c"; got != want {
		t.Errorf("the shard heard %q, want %q", got, want)
	}
}

func BenchmarkFront(b *testing.B) {
	f := newFront(5, &still{}, true, stayed)
	ps := pub("x")
	b.ReportAllocs()
	for b.Loop() {
		f.Publish(ps)
	}
}

// A still takes everything.
type still struct{ shard.Shard }

func (*still) Publish([]shard.Publish) bool { return true }
