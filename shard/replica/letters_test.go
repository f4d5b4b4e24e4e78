package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// post hears of letters and does nothing with them.
type post struct{ dropped uint64 }

func (*post) Posted(shard.Outbox, shard.QueueID)  {}
func (p *post) Dropped(_ shard.QueueID, n uint64) { p.dropped += n }

// fillOutbox publishes n messages and rejects them: nothing leaves.
func (f *fake) fillOutbox(n int) {
	f.t.Helper()
	f.s.e.Mail = &post{}
	f.rule = shard.AtLeastOnce
	f.consume()
	for i := range n {
		f.publish(uint64(i + 1))
	}
	f.settle()
	for i := range f.holding {
		f.holding[i].Outcome = shard.Reject
	}
	if len(f.holding) != n {
		f.t.Fatalf("%d deliveries, want %d", len(f.holding), n)
	}
}

func (f *fake) letters() (ready, letters uint64) {
	q := f.s.e.Queue(1)
	return q.Ledger.Total().Messages, q.Ledger.Outbox().Messages
}

// A consumer that was told that its reject is committed has rejected for good:
// though the outbox was full, and though the leader goes.
func TestRejectsBeyondTheOutbox(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	const n = queue.OriginWindow + 100
	f.fillOutbox(n)
	f.said = nil
	const full = queue.OriginWindow
	f.s.Settle(f.holding[:full:full], nil)
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	f.s.Settle(f.holding[full:], nil)
	f.s.Settle(nil, func(err error) { f.said = append(f.said, fmt.Sprint("settled ", err)) })
	f.settle()
	f.at(1200 * time.Millisecond)
	f.settle()
	f.expect("settled <nil>")
	f.change(4)
	f.settle()
	f.expect()
	if ready, letters := f.letters(); ready != 0 || letters != n {
		t.Errorf("%d messages and %d letters, want %d letters", ready, letters, n)
	}
}

// A transaction that rejects is whole with a full outbox too.
func TestTxRejectsBeyondTheOutbox(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	const n = queue.OriginWindow + 2
	f.fillOutbox(n)
	f.s.Settle(f.holding[:n-1], nil)
	f.settle()
	f.at(1100 * time.Millisecond)
	f.settle()
	f.said = nil
	f.s.Tx(&shard.Tx{Settles: f.holding[n-1:]}, func(err error) { f.said = append(f.said, fmt.Sprint("tx ", err)) })
	f.settle()
	f.expect("tx <nil>")
	f.change(4)
	f.settle()
	f.expect()
	if ready, letters := f.letters(); ready != 0 || letters != n {
		t.Errorf("%d messages and %d letters, want %d letters", ready, letters, n)
	}
}

// A queue that fills with what nobody takes refuses publishes in the end.
func TestRejectsStopPublishers(t *testing.T) {
	f := newFake(t, 1)
	f.lead(2)
	const n = queue.OriginWindow + 1<<16
	f.fillOutbox(1 << 10)
	for last := 1 << 10; ; {
		f.s.Settle(f.holding, nil)
		f.holding = nil
		f.settle()
		f.at(1100 * time.Millisecond)
		f.settle()
		if last == n {
			break
		}
		for range 1 << 10 {
			last++
			f.publish(uint64(last))
		}
		f.settle()
		for i := range f.holding {
			f.holding[i].Outcome = shard.Reject
		}
	}
	if _, letters := f.letters(); letters != n {
		t.Fatalf("%d letters, want %d", letters, n)
	}
	f.said = nil
	f.publish(n + 1)
	f.settle()
	f.expect(fmt.Sprintf("refuse %d+1", n+1))
}
