package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// guest is another node's incarnation, in the order of their registration.
func guest(n uint64) queue.Incarnation { return queue.Incarnation{Node: 10 + n, Number: 10 + n} }

// attach reports consumers and claims of another node, the whole report.
func (f *fake) attach(from queue.Incarnation, cs []*shard.Consumer, claims []shard.Claim) (out shard.Attached) {
	f.t.Helper()
	told := false
	f.s.Host().Attach(shard.Attachment{From: from, Consumers: cs, Claims: claims, Begin: true, End: true}, func(a shard.Attached, err error) {
		if told = true; err != nil {
			f.t.Errorf("attach %v: %v", from, err)
		}
		out = a
	})
	f.turn()
	if !told {
		f.t.Errorf("attach %v is not answered", from)
	}
	return out
}

// of returns a consumer of another node.
func (f *fake) of(i queue.Incarnation, id uint64) *shard.Consumer {
	return &shard.Consumer{Queue: 1, Sink: f, Session: 1, Incarnation: i, ID: id}
}

// serve has it logged that an incarnation is served, who has no consumer yet.
func (f *fake) serve(i queue.Incarnation) {
	f.t.Helper()
	if f.s.serves(i) {
		f.t.Errorf("%v is served already", i)
	}
	f.settle()
	if !f.s.served[i] {
		f.t.Errorf("%v is not served", i)
	}
}

// lost has the lead go and come back in a later term, without a turn of others.
func (f *fake) change(term uint64) {
	f.follow()
	f.lead(term)
}

// claims lists what this node would claim from the next leader.
func (f *fake) claims() (out []shard.Claim) {
	for _, a := range f.s.org.Report(f.s.org.Term()) {
		out = append(out, a.Claims...)
	}
	return out
}

// held returns the last delivery as a claim of a session.
func (f *fake) held() shard.Claim {
	s := f.holding[len(f.holding)-1]
	return shard.Claim{Queue: s.Queue, Seq: s.Seq, Holding: s.Holding, Size: 2, Session: 1}
}

func (f *fake) holds(x shard.Claim) bool {
	d := f.s.e.Queue(1).Disp
	return d != nil && d.Holds(x.Seq, x.Holding)
}

// A settle of this node's sessions waits until everybody has attached.
func TestSettleWaitsForClaims(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1)
	f.consume()
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	x := f.held()
	f.change(4)
	f.s.Settle(f.holding, func(err error) { f.said = append(f.said, fmt.Sprint("settled ", err)) })
	f.settle()
	f.expect()
	if !f.holds(x) {
		t.Fatal("it is settled while a claim may come")
	}
	f.attach(guest(1), nil, nil)
	f.settle()
	f.at(1100 * time.Millisecond) // settles wait a moment for company
	f.settle()
	f.expect("settled <nil>")
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

// What was postponed goes to the next leader once: it is settled there, and from
// then on this node claims nothing of it. It did: what it settled stayed among
// what its sessions held, and kept a message for ever that had gone to somebody
// else.
func TestPostponedIsClaimedOnce(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1)
	f.consume()
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	f.holding[0].Outcome = shard.Requeue
	f.change(4)
	f.s.Settle(f.holding, nil)
	f.turn()
	f.follow() // nobody attached
	if cs := f.claims(); len(cs) != 1 || cs[0].Holding != f.holding[0].Holding {
		t.Fatalf("claims %+v, want the one holding", cs)
	}
	var numbers []uint64
	f.s.org.Unsettled(func(n uint64, ss []shard.Settle) {
		numbers = append(numbers, n)
		if len(ss) != 1 || ss[0].Outcome != shard.Requeue {
			t.Errorf("to be settled again: %+v", ss)
		}
	})
	if len(numbers) != 1 {
		t.Fatalf("settles under %v, want one number", numbers)
	}
	f.s.org.Settled(numbers[0]) // another leader did it
	if cs := f.claims(); len(cs) != 0 {
		t.Errorf("claims %+v of what was settled", cs)
	}
}

// Twice: a leader that was told while it waited tells the next one, which waits
// too, and so on.
func TestPostponedOverTwoChanges(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1)
	f.consume()
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	f.change(4)
	f.s.Settle(f.holding, func(err error) { f.said = append(f.said, fmt.Sprint("settled ", err)) })
	f.turn()
	f.change(6)
	f.settle()
	f.change(8)
	f.settle()
	f.expect()
	f.attach(guest(1), nil, nil)
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	f.expect("settled <nil>")
	f.follow()
	if cs := f.claims(); len(cs) != 0 {
		t.Errorf("claims %+v of what was settled", cs)
	}
}

// The later claim of a message stands, whoever comes first, and the settle of the
// earlier one changes nothing.
func TestLaterClaimStands(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1)
	f.consume()
	f.settle()
	x := f.held()
	f.change(4)
	f.s.Settle(f.holding, nil)
	f.turn()
	later := x
	later.Holding = queue.Holding{Term: 3, Counter: 7} // a leader in between gave it out again
	if out := f.attach(guest(1), nil, []shard.Claim{later}); len(out.Refused) != 0 {
		t.Errorf("refused: %+v", out.Refused)
	}
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	if !f.holds(later) {
		t.Error("the later holding does not stand")
	}
	if n := f.s.e.Queue(1).Ledger.Total().Messages; n != 1 {
		t.Errorf("%d messages: a stale settle counted", n)
	}
}

// A settle of another node waits too. If the lead goes before it is done, it is
// refused, and comes again from there.
func TestGuestSettleWaits(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.serve(guest(2))
	f.publish(1)
	f.attach(guest(1), []*shard.Consumer{f.of(guest(1), 1)}, nil)
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	x := f.held()
	x.Consumer = 1
	f.change(4)
	f.attach(guest(1), []*shard.Consumer{f.of(guest(1), 1)}, []shard.Claim{x})
	told := []string{}
	settle := func() {
		f.s.Host().Settle([]shard.Settle{{Queue: 1, Seq: x.Seq, Holding: x.Holding}}, func(err error) { told = append(told, fmt.Sprint(err)) })
	}
	settle()
	f.settle()
	if len(told) != 0 || !f.holds(x) {
		t.Fatalf("told %q, held %v: it must wait for guest 2", told, f.holds(x))
	}
	f.change(6)
	if fmt.Sprint(told) != fmt.Sprint([]string{shard.ErrUnavailable.Error()}) {
		t.Fatalf("told %q", told)
	}
	f.attach(guest(1), []*shard.Consumer{f.of(guest(1), 1)}, []shard.Claim{x})
	settle()
	f.attach(guest(2), nil, nil)
	f.settle()
	if told[len(told)-1] != "<nil>" || f.s.e.Queue(1).Ledger.Total().Messages != 0 {
		t.Errorf("told %q, %d messages", told, f.s.e.Queue(1).Ledger.Total().Messages)
	}
}

// The end of an incarnation gives back nothing while somebody may have a later
// claim; that everybody who is waited for has ended is no reason to wait.
func TestEndWaitsForClaims(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.serve(guest(2))
	f.publish(1)
	f.attach(guest(1), []*shard.Consumer{f.of(guest(1), 1)}, nil)
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	x := f.held()
	x.Consumer = 1
	f.change(4)
	f.attach(guest(1), []*shard.Consumer{f.of(guest(1), 1)}, []shard.Claim{x})
	f.s.EndIncarnation(guest(1))
	f.consume()
	f.settle()
	if !f.holds(x) || !f.s.served[guest(1)] {
		t.Fatal("it has ended while guest 2 may have a later claim")
	}
	f.expect()
	f.s.EndIncarnation(guest(2)) // nobody is left to wait for
	f.settle()
	f.expect("deliver m1 again")
	if len(f.s.served) != 1 {
		t.Errorf("served: %v, want this node only", f.s.served)
	}
}

// A consumer that is cancelled with all it holds, while somebody is waited for,
// gives it back under the next leader too.
func TestPostponedCancel(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.publish(1)
	c := &shard.Consumer{Queue: 1, Sink: f, Session: 1}
	f.s.Consume(c, func(error) {})
	f.settle()
	f.expect("confirm 1+1", "deliver m1")
	x := f.held()
	f.change(4)
	f.s.Cancel(c, true, func(err error) { f.said = append(f.said, fmt.Sprint("cancelled ", err)) })
	f.settle()
	if !f.holds(x) {
		t.Fatal("it was given back while a claim may come")
	}
	f.change(6)
	f.expect("cancelled <nil>")
	f.attach(guest(1), nil, nil)
	f.settle()
	f.consume()
	f.settle()
	f.expect("deliver m1 again")
	if n := f.s.e.Queue(1).Disp.Consumers(); n != 1 {
		t.Errorf("%d consumers, want the new one", n)
	}
}

// A consumer that was cancelled while this node did not lead is given nothing when it
// leads next, though it is told of the end only when nobody is waited for: as here,
// where its queue is made anew, and nobody has anything to claim of that.
func TestCancelledBeforeTheLead(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.serve(guest(1))
	f.serve(f.s.o.Incarnation)
	c := &shard.Consumer{Queue: 1, Sink: f, Session: 1}
	f.s.Consume(c, func(err error) { f.said = append(f.said, fmt.Sprint("consume ", err)) })
	f.turn()
	f.follow() // with the command that makes the queue
	f.s.Cancel(c, true, func(err error) { f.said = append(f.said, fmt.Sprint("cancelled ", err)) })
	f.turn()
	f.expect("consume <nil>", "cancelled <nil>")
	f.lead(4)
	f.publish(1)
	f.settle()
	f.expect("confirm 1+1")
	f.attach(guest(1), nil, nil)
	f.settle()
	f.consume()
	f.settle()
	f.expect("deliver m1")
	if n := f.s.e.Queue(1).Disp.Consumers(); n != 1 {
		t.Errorf("%d consumers, want the new one", n)
	}
}
