package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/warrenmq/warren/shard"
)

// A visitorSink is a consumer of another node.
type visitorSink struct {
	*fake
	name string
}

func (v visitorSink) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	for range ds {
		v.said = append(v.said, v.name)
	}
}

// only returns a consumer of a guest that says its name for what it gets.
func (f *fake) named(n, id uint64, exclusive bool) *shard.Consumer {
	c := f.of(guest(n), id)
	c.Sink, c.Exclusive = visitorSink{f, fmt.Sprintf("guest %d", n)}, exclusive
	return c
}

// settleAt is settle at a time.
func (f *fake) settleAt(d time.Duration) {
	for f.at(d); len(f.flight) > 0; f.at(d) {
		es := f.flight
		f.flight = nil
		f.commit(es...)
	}
}

// The right of an exclusive consumer is logged before it gets anything, and the
// next leader gives the queue to nobody else while its node may come.
func TestGrantOutlivesTheLeader(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1, 2, 3)
	f.s.Get(1, 1, func(shard.GetResult, error) {}) // the horizon is behind all of them then
	f.settle()
	f.said = nil
	f.attach(guest(1), []*shard.Consumer{f.named(1, 7, true)}, nil)
	f.expect() // the grant is under way
	f.settle()
	f.expect("guest 1", "guest 1")
	want := shard.Grant{Node: guest(1).Node, Incarnation: guest(1).Number, Consumer: 7}
	if g := f.s.e.Queue(1).Grant; g != want {
		t.Fatalf("grant %+v", g)
	}
	f.change(4)
	f.consume()
	f.publish(3)
	f.settle()
	f.expect("confirm 3+1")
	f.attach(guest(1), []*shard.Consumer{f.named(1, 7, true)}, nil)
	f.settle()
	if !slices.Contains(f.said, "guest 1") || !slices.Contains(f.said, shard.ErrExclusive.Error()) || slices.Contains(f.said, "deliver m3") {
		t.Errorf("said %q", f.said)
	}
	if g := f.s.e.Queue(1).Grant; g != want {
		t.Errorf("grant %+v", g)
	}
}

// When the node of who had the right ends, somebody else gets it.
func TestGrantEndsWithItsNode(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.attach(guest(1), []*shard.Consumer{f.named(1, 7, true)}, nil)
	f.publish(1)
	f.settle()
	f.expect("confirm 1+1", "guest 1")
	f.change(4)
	f.consume()
	f.settle()
	f.expect()
	f.s.EndIncarnation(guest(1))
	f.settle()
	f.expect("deliver m1 again")
}

// The active consumer stays active, though another attaches to the next leader
// before it, and though its grant was not applied yet when the lead changed.
func TestActiveConsumerOutlivesTheLeader(t *testing.T) {
	for name, applied := range map[string]bool{"granted": true, "asked for": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			f.single = true
			f.lead(2)
			f.serve(f.s.o.Incarnation)
			f.serve(guest(1))
			f.publish(1)
			f.settle()
			f.attach(guest(1), []*shard.Consumer{f.named(1, 7, false)}, nil)
			if applied {
				f.settle()
				f.expect("confirm 1+1", "guest 1")
			} else {
				f.expect("confirm 1+1")
				if len(f.flight) == 0 {
					t.Fatal("no grant is asked for")
				}
			}
			f.consume()
			f.turn()
			if n := f.s.e.Queue(1).Disp.Consumers(); n != 2 {
				t.Fatalf("%d consumers", n)
			}
			f.change(4) // this node's consumer attaches at once
			f.publish(2)
			f.settle()
			f.expect("confirm 2+1")
			f.attach(guest(1), []*shard.Consumer{f.named(1, 7, false)}, nil)
			f.settle()
			own, theirs := slices.Contains(f.said, "deliver m2"), slices.Contains(f.said, "guest 1")
			if own == theirs || applied && own {
				t.Errorf("said %q", f.said)
			}
		})
	}
}

// Of the rights that were asked for one behind the other the last counts: who had the
// first and is the active consumer again gets nothing before the log says so, for a
// next leader goes by that.
func TestLastGrantCounts(t *testing.T) {
	f := newFake(t, 1)
	f.single = true
	f.lead(2)
	f.serve(guest(1))
	f.serve(guest(2))
	f.publish(1)
	f.settle()
	f.expect("confirm 1+1")
	first, second := []*shard.Consumer{f.named(1, 7, false)}, []*shard.Consumer{f.named(2, 8, false)}
	f.attach(guest(1), first, nil)
	f.attach(guest(2), second, nil)
	asked := f.flight
	f.flight = nil
	f.attach(guest(1), nil, nil) // now the second is active, and its right is asked for
	f.attach(guest(1), []*shard.Consumer{f.named(1, 7, false)}, nil)
	f.commit(asked...)
	asked, f.flight = f.flight, nil
	f.attach(guest(2), nil, nil) // and now the first again
	f.turn()
	f.expect()
	again := f.flight
	f.flight = nil
	f.commit(asked...)
	f.turn()
	f.expect() // the log says that the second has it
	f.commit(again...)
	f.settle()
	f.expect("guest 1")
	want := shard.Grant{Node: guest(1).Node, Incarnation: guest(1).Number, Consumer: 7}
	if g := f.s.e.Queue(1).Grant; g != want {
		t.Errorf("grant %+v", g)
	}
}

// An incarnation that has nothing here for long is not waited for any more, once
// that is applied.
func TestUnserve(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			f.lead(2)
			f.serve(guest(1))
			at := 10 * time.Second
			f.settleAt(at)
			f.settleAt(at + unserveAfter - time.Second)
			if !f.s.served[guest(1)] {
				t.Fatal("too soon")
			}
			f.at(at + unserveAfter + watchEvery)
			if len(f.flight) == 0 {
				t.Fatal("nothing is logged")
			}
			if f.s.serves(guest(1)) {
				t.Error("it is served, and that it is not is under way")
			}
			if applied {
				es := f.flight
				f.flight = nil
				f.commit(es...)
			}
			f.change(4)
			if waits := len(f.s.serving.waits) > 0; waits == applied {
				t.Errorf("waits for %v", f.s.serving.waits)
			}
		})
	}
}

// Somebody who comes while it is logged that it is not served is served again
// before it gets anything.
func TestServedAgain(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.settleAt(10 * time.Second)
	f.at(10*time.Second + unserveAfter + watchEvery)
	f.publish(1)
	f.s.Host().Consume(f.named(1, 7, false), func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	f.settleAt(10*time.Second + unserveAfter + watchEvery)
	f.expect("confirm 1+1", "guest 1")
	if !f.s.served[guest(1)] {
		t.Error("it has a message and is not served")
	}
}

// Before the lead is handed over everything decided is committed, and nothing new
// begins; if it is not, everything goes on.
func TestQuiesce(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.consume()
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	f.publish(2)
	f.turn() // under way
	f.s.Settle(f.holding, nil)
	quiet := 0
	f.s.Quiesce(func() { quiet++ })
	f.turn()
	f.publish(3)
	f.s.Get(1, 1, func(shard.GetResult, error) { f.said = append(f.said, "got") })
	if quiet != 0 {
		t.Fatal("quiet, and an entry is under way")
	}
	f.settle()
	f.settle()
	f.expect("confirm 2+1")
	if quiet != 1 || len(f.flight) != 0 {
		t.Fatalf("quiet %d times, %d entries under way", quiet, len(f.flight))
	}
	f.s.Resume()
	f.settle()
	if quiet != 1 || !slices.Contains(f.said, "confirm 3+1") || !slices.Contains(f.said, "got") {
		t.Errorf("said %q", f.said)
	}
}

// What was asked of a quiet leader goes to the next one.
func TestQuiesceAndFollow(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.publish(1)
	f.consume()
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	quiet := false
	f.s.Quiesce(func() { quiet = true })
	f.turn()
	f.publish(2)
	f.s.Settle(f.holding, func(err error) { f.said = append(f.said, fmt.Sprint("settled ", err)) })
	f.turn()
	if !quiet {
		t.Fatal("not quiet")
	}
	f.follow()
	f.turn()
	f.expect()
	f.lead(4)
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	for _, want := range []string{"confirm 2+1", "settled <nil>", "deliver m2"} {
		if !slices.Contains(f.said, want) {
			t.Errorf("not said: %s, but %q", want, f.said)
		}
	}
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 1 {
		t.Errorf("%d messages, want one", n)
	}
}
