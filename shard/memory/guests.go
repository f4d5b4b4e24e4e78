package memory

import (
	"sync"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// What sessions of other nodes ask a queue for stands in one order with the rest
// of what they ask: settles are not taken before an attach that they follow.

func (m *Queue) guest(r shard.Request) {
	r.Guest = true
	m.request(r)
}

// do has f run in a turn of a queue.
func (m *Queue) do(f func()) { m.guest(shard.Request{Kind: shard.ReqRun, Run: f}) }

// GetFor is Get for a session of any incarnation.
func (m *Queue) GetFor(q shard.QueueID, s queue.SessionID, done func(shard.GetResult, error)) {
	m.guest(shard.Request{Kind: shard.ReqGet, Queue: q, Session: s.Number, From: s.Incarnation, DoneGet: done})
}

// A count calls done when it has come down to zero.
type count struct {
	mu   sync.Mutex
	n    int
	done func()
}

func (c *count) one(f func()) {
	c.mu.Lock()
	f()
	c.n--
	last := c.n == 0
	c.mu.Unlock()
	if last {
		c.done()
	}
}

// Attach implements shard.Host. Every queue gets its part of the report, and all
// of them its end.
func (h *Host) Attach(a shard.Attachment, done func(shard.Attached, error)) {
	out := shard.Attached{Term: h.o.Incarnation.Number}
	if !h.o.Alive(a.From) {
		done(out, shard.ErrUnavailable)
		return
	}
	parts := map[*Queue]*shard.Attachment{}
	var order []*Queue
	part := func(m *Queue) *shard.Attachment {
		if parts[m] == nil {
			parts[m] = &shard.Attachment{From: a.From, Begin: a.Begin, End: a.End}
			order = append(order, m)
		}
		return parts[m]
	}
	for _, c := range a.Consumers {
		if m := h.o.Queue(c.Queue); m != nil {
			p := part(m)
			p.Consumers = append(p.Consumers, c)
		} else {
			out.Consumers = append(out.Consumers, c.ID)
		}
	}
	for _, x := range a.Claims {
		if m := h.o.Queue(x.Queue); m != nil {
			p := part(m)
			p.Claims = append(p.Claims, x)
		} else {
			out.Refused = append(out.Refused, x)
		}
	}
	if a.Begin || a.End {
		for _, m := range h.o.All() {
			part(m)
		}
	}
	c := &count{n: len(order) + 1, done: func() { done(out, nil) }}
	for _, m := range order {
		m.do(func() {
			got := m.e.Attach(parts[m])
			c.one(func() {
				out.Consumers = append(out.Consumers, got.Consumers...)
				out.Refused = append(out.Refused, got.Refused...)
			})
		})
	}
	c.one(func() {})
}

// Detach implements shard.Host.
func (h *Host) Detach(i queue.Incarnation) {
	h.mu.Lock()
	if st := h.mu.streams[i.Node]; st != nil && st.inc == i.Number {
		st.gapped = false
	}
	h.mu.Unlock()
	for _, m := range h.o.All() {
		m.do(func() { m.e.Detach(i) })
	}
}

// EndIncarnation implements shard.Host.
func (h *Host) EndIncarnation(i queue.Incarnation) {
	h.mu.Lock()
	if st := h.mu.streams[i.Node]; st != nil && st.inc == i.Number {
		delete(h.mu.streams, i.Node)
	}
	h.mu.Unlock()
	for _, m := range h.o.All() {
		m.do(func() { m.e.EndIncarnation(i) })
	}
}

// Settle implements shard.Host.
func (h *Host) Settle(ss []shard.Settle, done func(error)) {
	parts := map[shard.QueueID][]shard.Settle{}
	var order []shard.QueueID
	for _, s := range ss {
		if parts[s.Queue] == nil {
			order = append(order, s.Queue)
		}
		parts[s.Queue] = append(parts[s.Queue], s)
	}
	c := &count{n: len(order) + 1, done: func() {
		if done != nil {
			done(nil)
		}
	}}
	for _, id := range order {
		if m := h.o.Queue(id); m != nil {
			m.guest(shard.Request{Kind: shard.ReqSettles, Settles: parts[id], Done: func(error) { c.one(func() {}) }})
		} else {
			c.one(func() {})
		}
	}
	c.one(func() {})
}

// Consume implements shard.Host.
func (h *Host) Consume(c *shard.Consumer, done func(error)) {
	if !h.o.Alive(c.Incarnation) {
		done(shard.ErrUnavailable)
		return
	}
	if m := h.o.Queue(c.Queue); m != nil {
		m.guest(shard.Request{Kind: shard.ReqConsume, Queue: c.Queue, Consumer: c, From: c.Incarnation, Done: done})
		return
	}
	done(shard.ErrGone)
}

// Cancel implements shard.Host.
func (h *Host) Cancel(c *shard.Consumer, end bool, done func(error)) {
	if m := h.o.Queue(c.Queue); m != nil {
		m.guest(shard.Request{Kind: shard.ReqCancel, Consumer: c, End: end, From: c.Incarnation, Done: done})
		return
	}
	done(nil)
}

// Kick implements shard.Host.
func (h *Host) Kick(c *shard.Consumer) {
	if m := h.o.Queue(c.Queue); m != nil {
		m.guest(shard.Request{Kind: shard.ReqKick, Consumer: c, From: c.Incarnation})
	}
}

// GetFor implements shard.Host.
func (h *Host) GetFor(q shard.QueueID, s queue.SessionID, done func(shard.GetResult, error)) {
	if !h.o.Alive(s.Incarnation) {
		done(shard.GetResult{}, shard.ErrUnavailable)
		return
	}
	if m := h.o.Queue(q); m != nil {
		m.GetFor(q, s, done)
		return
	}
	done(shard.GetResult{}, shard.ErrGone)
}

// Purge implements shard.Host.
func (h *Host) Purge(q shard.QueueID, done func(uint64, error)) {
	if m := h.o.Queue(q); m != nil {
		m.Purge(q, done)
		return
	}
	done(0, shard.ErrGone)
}

// Counts implements shard.Host.
func (h *Host) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	if m := h.o.Queue(q); m != nil {
		m.Counts(q, done)
		return
	}
	done(shard.Counts{}, shard.ErrGone)
}

// Renew implements shard.Host.
func (h *Host) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	if m := h.o.Queue(q); m != nil {
		m.Renew(q, done)
		return
	}
	done(shard.Counts{}, shard.ErrGone)
}

// Close implements shard.Host.
func (h *Host) Close(q shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	if m := h.o.Queue(q); m != nil {
		m.Close(q, c, done)
		return
	}
	done(0, shard.ErrGone)
}

// Reopen implements shard.Host.
func (h *Host) Reopen(q shard.QueueID, done func(error)) {
	if m := h.o.Queue(q); m != nil {
		m.Reopen(q, done)
		return
	}
	done(shard.ErrGone)
}
