package replica

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// tx publishes bodies and settles, as one.
func (f *fake) tx(ss []shard.Settle, bodies ...string) {
	t := &shard.Tx{Settles: ss}
	for _, b := range bodies {
		t.Publishes = append(t.Publishes, shard.Publish{Message: &message.Message{Body: []byte(b)}, Queues: []shard.QueueID{1}})
	}
	f.s.Tx(t, func(err error) { f.said = append(f.said, fmt.Sprint("tx ", err)) })
}

// total is what queue 1 holds.
func (f *fake) total() uint64 { return f.s.e.Queue(1).Ledger.Total().Messages }

func TestTx(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.consume()
	f.publish(1, 2)
	f.settle()
	f.expect("confirm 1+2", "deliver m1", "deliver m2")
	held := f.holding
	held[1].Outcome = shard.Requeue
	f.tx(held, "a", "b")
	f.publish(3)
	f.settle()
	f.expect("tx <nil>", "confirm 3+1", "deliver m2 again", "deliver a", "deliver b", "deliver m3")
	if n := f.total(); n != 4 {
		t.Errorf("%d messages", n)
	}
	// The same again: nothing of it is held that way any more.
	f.tx(held, "c")
	f.settle()
	f.expect("tx " + shard.ErrRefused.Error())
	if n := f.total(); n != 4 {
		t.Errorf("%d messages after a refusal", n)
	}
}

// What one queue has no room for refuses the whole, and what it was to settle
// stays held.
func TestTxFull(t *testing.T) {
	f := newFake(t, 1)
	f.max = queue.AtMost(1)
	f.lead(2)
	f.consume()
	f.publish(1)
	f.settle()
	f.said = nil
	f.tx(f.holding, "a", "b")
	f.settle()
	f.expect("tx " + shard.ErrRefused.Error())
	f.tx(f.holding, "c")
	f.settle()
	f.expect("tx <nil>", "deliver c")
	if n := f.total(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// A transaction that is logged under another term than it was admitted in does
// not happen: who leads now does not know what was held.
func TestTxOfAnotherTerm(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.consume()
	f.publish(1)
	f.settle()
	f.said = nil
	f.tx(f.holding, "a", "b")
	f.publish(2)
	f.turn()
	es := f.flight
	f.flight = nil
	f.follow()
	f.expect()
	for i := range es {
		es[i].Term = 3
	}
	f.commit(es...)
	f.expect("tx "+shard.ErrRefused.Error(), "confirm 2+1")
	f.lead(4)
	f.settle()
	f.expect("deliver m1 again", "deliver m2") // what it held is given back
	if n := f.total(); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// A transaction that was dropped, or lost with its term, is admitted again.
func TestTxAgain(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.consume()
	f.publish(1)
	f.settle()
	f.said = nil
	f.drop = true
	f.tx(f.holding, "a")
	f.turn()
	f.drop = false
	f.settle()
	f.expect("tx <nil>", "deliver a")
	f.tx(nil, "b")
	f.turn()
	f.follow()
	f.expect()
	f.lead(3) // what was in flight is lost
	f.settle()
	f.expect("tx <nil>", "deliver b")
	if n := f.total(); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// What was decided about a transaction goes with its batch: if the log drops that,
// it goes before the batch of another node that has come meanwhile.
func TestTxDropped(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	f.consume()
	f.publish(1) // the last batch proposed is this node's: another's is next
	from := guest(1)
	f.attach(from, nil, nil)
	f.settle()
	f.said, f.drop = nil, true
	f.tx(f.holding, "a")
	f.turn()
	b := shard.NewBuilder(0, 0)
	b.Add(&shard.Publish{Message: &message.Message{Body: []byte("theirs")}, Queues: []shard.QueueID{1}})
	f.s.Host().Offer(b.Seal(shard.BatchID{Node: from.Node, Incarnation: from.Number, Number: 1, Floor: 1}, nil))
	f.turn()
	f.drop = false
	f.settle()
	f.expect("tx <nil>", "deliver a", "deliver theirs")
	if n := f.total(); n != 2 {
		t.Errorf("%d messages, want the two new ones", n)
	}
}
