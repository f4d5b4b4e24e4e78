package memory_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// A hostWorld is a host with two queues, the second of which takes one message.
type hostWorld struct {
	queues   map[uint64]*memory.Queue
	revision uint64
	said     []string
	got      []shard.Delivery
	resume   func() // while there is no room
	full     bool
	asked    int
}

func (w *hostWorld) held(resume func()) bool {
	if w.full {
		w.asked++
		w.resume = resume
	}
	return w.full
}

func (w *hostWorld) Answer(a shard.Answer) {
	w.said = append(w.said, fmt.Sprintf("%d: %d %v", a.Number, a.What, a.Refused))
}
func (w *hostWorld) Wake()                     {}
func (w *hostWorld) Cancelled(*shard.Consumer) { w.said = append(w.said, "cancelled") }
func (w *hostWorld) Deliver(_ *shard.Consumer, d []shard.Delivery) {
	w.got = append(w.got, slices.Clone(d)...)
}

func newHostWorld(t *testing.T) (*hostWorld, *memory.Host) {
	t.Helper()
	w := &hostWorld{queues: map[uint64]*memory.Queue{}, revision: 1}
	me := queue.Incarnation{Node: 1, Number: 1}
	for id := uint64(1); id <= 2; id++ {
		o := memory.Options{
			ID: id, Incarnation: me, Now: func() int64 { return 1 }, Memory: func(int) {},
			Lookup: func() (s shard.Settings, ok bool) { return s, true }, Ended: func(uint64) {}, Expiring: func(*memory.Queue) {},
		}
		if id == 2 {
			o.Settings.MaxLength, o.Settings.Overflow = queue.AtMost(1), queue.RejectPublish
		}
		w.queues[id] = memory.New(o)
	}
	return w, memory.NewHost(memory.HostOptions{
		Incarnation: me, Queue: func(id uint64) *memory.Queue { return w.queues[id] },
		All:      func() []*memory.Queue { return []*memory.Queue{w.queues[1], w.queues[2]} },
		Revision: func() uint64 { return w.revision }, Alive: func(i queue.Incarnation) bool { return i.Number != 9 },
		Answers: w, Held: w.held,
	})
}

// sealed is the number-th batch of an incarnation: one message to each of the
// queues of each publish.
func sealed(inc, number, revision uint64, to ...[]uint64) []byte {
	b := shard.NewBuilder(0, 0)
	for i, qs := range to {
		b.Add(&shard.Publish{Message: &message.Message{Body: fmt.Append(nil, number, i)}, Queues: qs})
	}
	return b.Seal(shard.BatchID{Node: 2, Incarnation: inc, Number: number, Floor: 1, Revision: revision}, nil)
}

func (w *hostWorld) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(w.said, want) {
		t.Errorf("said %q, want %q", w.said, want)
	}
	w.said = nil
}

// Batches are for several queues, count once each and in order, and wait for
// this node's view of the catalog.
func TestHostBatches(t *testing.T) {
	w, h := newHostWorld(t)
	h.Offer(sealed(5, 1, 1, []uint64{1, 2}, []uint64{2}, []uint64{7}, []uint64{1}))
	w.expect(t, "1: 0 [1]") // the second queue is full, the seventh is gone
	h.Offer(sealed(5, 1, 1, []uint64{1, 2}, []uint64{2}, []uint64{7}, []uint64{1}))
	w.expect(t, "1: 0 [1]")
	h.Offer(sealed(5, 3, 1, []uint64{1}))
	h.Offer(sealed(5, 4, 1, []uint64{1}))
	w.expect(t, "3: 1 []") // said once
	h.Offer(sealed(5, 2, 2, []uint64{1}))
	w.expect(t)
	w.revision = 2
	h.Revised()
	w.expect(t, "2: 0 []")
	h.Offer(sealed(9, 1, 1, []uint64{1}))
	w.expect(t, "1: 2 []") // that incarnation has ended
	h.Counts(1, func(c shard.Counts, err error) {
		if c.Ready != 3 || err != nil {
			t.Errorf("%d ready, %v", c.Ready, err)
		}
	})
}

// A consumer of another node whose stream broke holds what it claims; what it
// does not claim was never received.
func TestHostAttach(t *testing.T) {
	w, h := newHostWorld(t)
	h.Offer(sealed(5, 1, 1, []uint64{1}, []uint64{1}))
	inc := queue.Incarnation{Node: 2, Number: 5}
	c := &shard.Consumer{Queue: 1, Sink: w, Session: 3, Incarnation: inc, ID: 8, Prefetch: 2}
	h.Consume(c, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	if len(w.got) != 2 {
		t.Fatalf("%d deliveries", len(w.got))
	}
	first := w.got[0]
	h.Detach(inc)
	again := *c
	w.got = nil
	h.Attach(shard.Attachment{
		From: inc, Begin: true, End: true, Consumers: []*shard.Consumer{&again},
		Claims: []shard.Claim{
			{Queue: 1, Seq: first.Seq, Holding: first.Holding, Size: first.Size, Session: 3, Consumer: 8},
			{Queue: 7, Seq: 1},
		},
	}, func(out shard.Attached, err error) {
		if err != nil || len(out.Refused) != 1 || len(out.Consumers) != 0 || out.Term != 1 {
			t.Errorf("attached %+v, %v", out, err)
		}
	})
	if len(w.got) != 1 || w.got[0].Seq == first.Seq || w.got[0].Redelivered {
		t.Errorf("after attach %+v", w.got)
	}
	settled := false
	h.Settle([]shard.Settle{{Queue: 1, Seq: first.Seq, Holding: first.Holding}, {Queue: 7}}, func(err error) { settled = err == nil })
	if !settled {
		t.Error("not settled")
	}
	h.EndIncarnation(inc)
	h.Counts(1, func(c shard.Counts, _ error) {
		if c.Ready != 1 || c.Unacked != 0 || c.Consumers != 0 {
			t.Errorf("at the end %+v", c)
		}
	})
}

// While the node holds all it may, what other nodes publish waits unanswered, in
// order; it goes on when there is room.
func TestOffersWaitForMemory(t *testing.T) {
	w, h := newHostWorld(t)
	w.full = true
	for n := uint64(1); n <= 3; n++ {
		h.Offer(sealed(2, n, 1, []uint64{1}))
	}
	if len(w.said) != 0 || w.asked != 1 {
		t.Fatalf("said %q, asked %d times", w.said, w.asked)
	}
	w.full = false
	w.resume()
	if want := []string{"1: 0 []", "2: 0 []", "3: 0 []"}; !slices.Equal(w.said, want) {
		t.Errorf("said %q, want %q", w.said, want)
	}
	h.Offer(sealed(2, 4, 1, []uint64{1}))
	if len(w.said) != 4 {
		t.Errorf("said %q", w.said)
	}
}
