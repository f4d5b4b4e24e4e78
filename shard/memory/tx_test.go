package memory_test

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A transaction happens as a whole or not at all.
func TestTx(t *testing.T) {
	h := &host{}
	h.settings.MaxLength, h.settings.Overflow = queue.AtMost(2), queue.RejectPublish
	q := h.queue()
	s := &sink{}
	q.Consume(&shard.Consumer{Queue: qid, Sink: s, Prefetch: 1, Session: 1}, func(error) {})
	publish(q, []uint64{1}, func(uint64) int { return 8 }, 0, nil)
	tx := func(ids ...uint64) (got error) {
		x := &shard.Tx{Settles: s.held}
		for _, id := range ids {
			x.Publishes = append(x.Publishes, shard.Publish{Message: &message.Message{Body: []byte{0, 0, 0, 0, 0, 0, 0, byte(id)}}, Queues: []shard.QueueID{qid}})
		}
		got = errors.New("no answer")
		q.Tx(x, func(err error) { got = err })
		return got
	}
	counts := func(ready, unacked uint64) {
		t.Helper()
		q.Counts(qid, func(c shard.Counts, err error) {
			if err != nil || c.Ready != ready || c.Unacked != unacked {
				t.Errorf("%+v, %v; want %d ready, %d unacked", c, err, ready, unacked)
			}
		})
	}
	if err := tx(2, 3, 4); !errors.Is(err, shard.ErrRefused) {
		t.Errorf("three for two: %v", err)
	}
	counts(0, 1)
	if err := tx(2, 3); err != nil {
		t.Error(err)
	}
	counts(1, 1)
	if err := tx(4); !errors.Is(err, shard.ErrRefused) { // message 1 is settled
		t.Errorf("settled twice: %v", err)
	}
	counts(1, 1)
	if len(s.got) != 2 || s.got[1] != 2 {
		t.Errorf("delivered %v", s.got)
	}
	h.gone.Store(true)
	q.Changed(qid)
	if err := tx(5); err != nil {
		t.Errorf("to a queue that is gone: %v", err)
	}
}
