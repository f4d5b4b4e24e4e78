package memory_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

const qid = 7

type host struct {
	held     atomic.Int64
	now      atomic.Int64
	expiring atomic.Bool
	gone     atomic.Bool
	settings shard.Settings
}

func (h *host) queue() *memory.Queue {
	return memory.New(memory.Options{
		ID: qid, Settings: h.settings, Incarnation: queue.Incarnation{Node: 1, Number: 1}, Now: h.now.Load,
		Lookup: func() (shard.Settings, bool) { return h.settings, !h.gone.Load() },
		Memory: func(d int) { h.held.Add(int64(d)) }, Ended: func(shard.QueueID) {},
		Expiring: func(*memory.Queue) { h.expiring.Store(true) },
	})
}

func publish(q *memory.Queue, ids []uint64, size func(id uint64) int, priority uint8, to shard.Confirms) {
	var ps []shard.Publish
	for _, id := range ids {
		b := make([]byte, max(8, size(id)))
		binary.BigEndian.PutUint64(b, id)
		ps = append(ps, shard.Publish{Message: &message.Message{Body: b}, Queues: []shard.QueueID{qid}, Priority: priority, To: to, Tag: id})
	}
	q.Publish(ps)
}

type sink struct {
	got       []uint64
	again     []bool
	held      []shard.Settle
	cancelled bool
}

func (s *sink) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	for _, d := range ds {
		m, err := message.Parse(d.Blob)
		if err != nil {
			panic(err)
		}
		s.got = append(s.got, binary.BigEndian.Uint64(m.Body))
		s.again = append(s.again, d.Redelivered)
		s.held = append(s.held, shard.Settle{Queue: qid, Seq: d.Seq, Holding: d.Holding})
		if !bytes.Equal(m.Body[8:], make([]byte, len(m.Body)-8)) {
			panic(fmt.Sprintf("message %d has bytes of another", s.got[len(s.got)-1]))
		}
	}
}
func (s *sink) Cancelled(*shard.Consumer) { s.cancelled = true }
func (s *sink) Wake()                     {}

// TestModel holds a queue against a sorted list, with one consumer and gets.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &host{}
		q := h.queue()
		var ready, held []uint64
		seen := map[uint64]bool{}
		next := uint64(0)
		holding := map[uint64]shard.Settle{}
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				var ids []uint64
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					next++
					ids = append(ids, next)
				}
				big := rapid.Bool().Draw(t, "big")
				publish(q, ids, func(id uint64) int {
					if big && id%7 != 0 {
						return 3000
					}
					return 20
				}, 0, nil)
				ready = append(ready, ids...)
			},
			"get": func(t *rapid.T) {
				q.Get(qid, 1, func(g shard.GetResult, err error) {
					if err != nil || g.Empty != (len(ready) == 0) {
						t.Fatalf("empty %v, %v; %d ready", g.Empty, err, len(ready))
					}
					if g.Empty {
						return
					}
					m, err := message.Parse(g.Blob)
					if err != nil {
						t.Fatal(err)
					}
					id := binary.BigEndian.Uint64(m.Body)
					if id != ready[0] || g.Redelivered != seen[id] || g.Remaining != uint64(len(ready)-1) {
						t.Fatalf("got %d (again %v, %d left), want %d", id, g.Redelivered, g.Remaining, ready[0])
					}
					ready, held = ready[1:], append(held, id)
					holding[id] = shard.Settle{Queue: qid, Seq: g.Seq, Holding: g.Holding}
				})
			},
			"settle": func(t *rapid.T) {
				if len(held) == 0 {
					t.Skip("nothing held")
				}
				i := rapid.IntRange(0, len(held)-1).Draw(t, "i")
				id := held[i]
				s := holding[id]
				s.Outcome = rapid.SampledFrom([]shard.Outcome{shard.Accept, shard.Accept, shard.Reject, shard.Requeue, shard.Release}).Draw(t, "outcome")
				answered := false
				q.Settle([]shard.Settle{s}, func(err error) { answered = err == nil })
				if !answered {
					t.Fatal("not answered")
				}
				held = slices.Delete(held, i, i+1)
				switch s.Outcome {
				case shard.Requeue:
					seen[id] = true
					ready = append(ready, id)
				case shard.Release:
					ready = append(ready, id)
				}
				slices.Sort(ready)
			},
			"purge": func(t *rapid.T) {
				q.Purge(qid, func(n uint64, err error) {
					if n != uint64(len(ready)) || err != nil {
						t.Fatalf("purged %d, %v, want %d", n, err, len(ready))
					}
				})
				ready = nil
			},
			"": func(t *rapid.T) {
				q.Counts(qid, func(c shard.Counts, err error) {
					if c.Ready != uint64(len(ready)) || c.Unacked != uint64(len(held)) || err != nil {
						t.Fatalf("%+v, %v; want %d, %d", c, err, len(ready), len(held))
					}
				})
				if len(ready)+len(held) == 0 && h.held.Load() != 0 {
					t.Fatalf("%d bytes held of nothing", h.held.Load())
				}
			},
		})
	})
}

// A long-lived small message does not pin its batch, nor is it lost when many
// thousand batches came and went since.
func TestSurvivor(t *testing.T) {
	h := &host{settings: shard.Settings{Settings: queue.Settings{MaxPriority: 3}}}
	q := h.queue()
	ids := make([]uint64, 1000)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	publish(q, ids, func(id uint64) int { return 1000 }, 2, nil)
	s := &sink{}
	q.Consume(&shard.Consumer{Queue: qid, Sink: s}, func(error) {})
	keep := s.held[499]
	q.Settle(slices.Delete(slices.Clone(s.held), 499, 500), nil)
	if n := h.held.Load(); n > 5000 {
		t.Errorf("%d bytes held for one message of 1000", n)
	}
	s.held, s.got = nil, nil
	for i := range uint64(70_000) {
		publish(q, []uint64{10_000 + i}, func(uint64) int { return 8 }, 0, nil)
		q.Settle(s.held, nil)
		s.held = s.held[:0]
	}
	s.got, s.again = nil, nil
	keep.Outcome = shard.Requeue
	q.Settle([]shard.Settle{keep}, nil)
	if len(s.got) != 1 || s.got[0] != 500 || !s.again[0] {
		t.Fatalf("got %v %v, want 500 again", s.got, s.again)
	}
	q.Settle(s.held, nil)
	if n := h.held.Load(); n != 0 {
		t.Errorf("%d bytes held of nothing", n)
	}
}

func TestExpiry(t *testing.T) {
	h := &host{settings: shard.Settings{TTL: 100, HasTTL: true}}
	q := h.queue()
	publish(q, []uint64{1, 2}, func(uint64) int { return 8 }, 0, nil)
	if !h.expiring.Load() {
		t.Fatal("Tick is not asked for")
	}
	for _, at := range []struct {
		now  int64
		want uint64
	}{{50, 2}, {99, 2}, {100, 0}} {
		h.now.Store(at.now)
		q.Tick()
		q.Counts(qid, func(c shard.Counts, _ error) {
			if c.Ready != at.want {
				t.Errorf("at %d: %d ready, want %d", at.now, c.Ready, at.want)
			}
		})
	}
	if h.held.Load() != 0 {
		t.Errorf("%d bytes held of nothing", h.held.Load())
	}
}

func TestDeleted(t *testing.T) {
	h := &host{}
	q := h.queue()
	s := &sink{}
	publish(q, []uint64{1}, func(uint64) int { return 80 }, 0, nil)
	q.Consume(&shard.Consumer{Queue: qid, Sink: s}, func(error) {})
	h.gone.Store(true)
	q.Changed(qid)
	publish(q, []uint64{2}, func(uint64) int { return 80 }, 0, nil)
	q.Settle(s.held, nil)
	q.Get(qid, 1, func(_ shard.GetResult, err error) {
		if err != shard.ErrGone {
			t.Errorf("get: %v", err)
		}
	})
	if !s.cancelled || h.held.Load() != 0 {
		t.Errorf("cancelled %v, %d bytes held", s.cancelled, h.held.Load())
	}
}

// TestStress: many goroutines; nothing is lost or doubled, everything confirmed.
func TestStress(t *testing.T) {
	defer goleak.VerifyNone(t)
	const publishers, each = 8, 400
	h := &host{}
	q := h.queue()
	var confirmed atomic.Int64
	to := counter{&confirmed}
	ch := make(chan shard.Settle, publishers*each*4)
	var got sync.Map
	var n atomic.Int64
	for range 3 {
		c := chanSink{ch: ch, got: &got, n: &n}
		q.Consume(&shard.Consumer{Queue: qid, Sink: c, Prefetch: 3}, func(error) {})
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range uint64(each) {
				publish(q, []uint64{uint64(p)<<32 | i}, func(uint64) int { return 100 }, 0, to)
			}
		})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	timeout := time.After(30 * time.Second)
	for n.Load() < publishers*each || len(ch) > 0 {
		select {
		case s := <-ch:
			if rng.IntN(10) == 0 {
				s.Outcome = shard.Requeue
			}
			q.Settle([]shard.Settle{s}, nil)
		case <-timeout:
			t.Fatalf("%d of %d delivered", n.Load(), publishers*each)
		}
	}
	wg.Wait()
	if confirmed.Load() != publishers*each {
		t.Errorf("%d confirmed", confirmed.Load())
	}
}

type counter struct{ n *atomic.Int64 }

func (c counter) Confirmed(_ uint64, n uint32, _ bool) { c.n.Add(int64(n)) }
func (c counter) Unknown(uint64, uint32)               {}
func (c counter) Wake()                                {}

type chanSink struct {
	ch  chan shard.Settle
	got *sync.Map
	n   *atomic.Int64
}

func (c chanSink) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	for _, d := range ds {
		m, err := message.Parse(d.Blob)
		if err != nil {
			panic(err)
		}
		if _, again := c.got.LoadOrStore(binary.BigEndian.Uint64(m.Body), true); again != d.Redelivered {
			panic("flag is wrong")
		} else if !again {
			c.n.Add(1)
		}
		c.ch <- shard.Settle{Queue: qid, Seq: d.Seq, Holding: d.Holding}
	}
}
func (chanSink) Cancelled(*shard.Consumer) {}
func (chanSink) Wake()                     {}
