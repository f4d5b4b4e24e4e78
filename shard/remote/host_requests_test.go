package remote

import (
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

func (h *fakeHost) GetFor(q shard.QueueID, s queue.SessionID, done func(shard.GetResult, error)) {
	h.do(func() {
		if !h.leads || !h.open() {
			done(shard.GetResult{}, shard.ErrUnavailable)
			return
		}
		m := h.ready(q)
		if m == nil {
			done(shard.GetResult{Empty: true}, nil)
			return
		}
		done(shard.GetResult{Delivery: h.give(q, m, s, 0)}, nil)
	})
}

func (h *fakeHost) Purge(q shard.QueueID, done func(uint64, error)) {
	h.do(func() {
		if !h.leads || !h.open() {
			done(0, shard.ErrUnavailable)
			return
		}
		n := uint64(0)
		h.l.queues[q] = slices.DeleteFunc(h.l.queues[q], func(m *stored) bool {
			_, held := h.held[m.seq]
			if held || h.void[m.seq] {
				return false
			}
			n++
			return true
		})
		done(n, nil)
	})
}

func (h *fakeHost) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	h.do(func() {
		if !h.leads || h.deaf {
			done(shard.Counts{}, shard.ErrUnavailable)
			return
		}
		done(shard.Counts{Ready: uint64(len(h.l.queues[q])), Consumers: len(h.consumers)}, nil)
	})
}

func (h *fakeHost) Renew(q shard.QueueID, done func(shard.Counts, error)) { h.Counts(q, done) }

func (h *fakeHost) Close(q shard.QueueID, _ shard.Conditions, done func(uint64, error)) {
	h.do(func() {
		if !h.leads {
			done(0, shard.ErrUnavailable)
			return
		}
		done(uint64(len(h.l.queues[q])), nil)
	})
}

func (h *fakeHost) Reopen(_ shard.QueueID, done func(error)) { h.do(func() { done(shard.ErrGone) }) }

// delete deletes a queue.
func (h *fakeHost) delete(q uint64) {
	h.do(func() {
		h.l.gone[q] = true
		h.l.queues[q] = nil
		for _, c := range slices.Clone(h.consumers) {
			if c.Queue == q {
				c.Sink.Cancelled(c)
				h.wakes.Later(c.Sink)
			}
		}
		h.consumers = slices.DeleteFunc(h.consumers, func(c *shard.Consumer) bool { return c.Queue == q })
	})
}

// Inspect implements shard.Inspector.
func (h *fakeHost) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	h.do(func() {
		var out []shard.QueueInfo
		for _, id := range ids {
			in := shard.QueueInfo{ID: id, Counts: shard.Counts{Ready: uint64(len(h.l.queues[id]))}}
			for _, c := range h.consumers {
				if c.Queue == id {
					in.Counts.Consumers++
					in.Only = c
					if consumers {
						in.Consumers = append(in.Consumers, c)
					}
				}
			}
			out = append(out, in)
		}
		done(out)
	})
}

// Browse implements shard.Browser: one message at a time.
func (h *fakeHost) Browse(b *shard.Browse, done func(shard.BrowsePart)) {
	h.do(func() {
		for _, m := range h.l.queues[b.Queue] {
			if m.seq > h.browsed[b] {
				h.browsed[b] = m.seq
				done(shard.BrowsePart{Messages: []shard.Browsed{{Blob: m.blob, Seq: m.seq}}})
				return
			}
		}
		done(shard.BrowsePart{End: true})
	})
}
