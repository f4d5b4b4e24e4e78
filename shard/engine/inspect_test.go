package engine

import (
	"testing"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// To look at a queue that rests leaves it at rest: it gets no dispatcher, and
// the log, which is not there, is not asked for anything.
func TestInspectLeavesAQueueAtRest(t *testing.T) {
	e := New(nil, queue.Incarnation{}, 0, nil)
	rests := &Queue{ID: 7, Ledger: queue.NewLedger(queue.Settings{SingleActive: true})}
	rests.Settings.SingleActive = true
	for range 3 {
		rests.Ledger.Enqueue(queue.Record{Size: 10})
	}
	e.Add(rests)
	got := e.Inspect([]shard.QueueID{6, 7, 8}, true)
	want := shard.Counts{Ready: 3, ReadyBytes: 30, Bytes: 30}
	if len(got) != 1 || got[0].ID != 7 || got[0].Counts != want || !got[0].SingleActive || got[0].Only != nil || got[0].Consumers != nil {
		t.Errorf("got %+v", got)
	}
	if rests.Disp != nil || rests.touched {
		t.Error("the queue was woken")
	}
}
