package remote

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A ledger is the naive replicated state of one shard: what is committed. All
// nodes see the same.
type ledger struct {
	term    uint64
	leader  *fakeHost
	next    uint64
	queues  map[uint64][]*stored
	streams map[queue.Incarnation]*taken
	gone    map[uint64]bool // queues deleted
	// served are whom a new leader waits for.
	served   map[queue.Incarnation]bool
	revision uint64
	applied  map[string]int // bodies, by how often they were enqueued
	enqueued func(body string)
}

type stored struct {
	seq      uint64
	blob     []byte
	size     uint32
	acquired uint16
}

type taken struct {
	last  uint64
	ended bool
}

func newLedger() *ledger {
	return &ledger{queues: map[uint64][]*stored{}, streams: map[queue.Incarnation]*taken{}, gone: map[uint64]bool{}, served: map[queue.Incarnation]bool{}, applied: map[string]int{}}
}

// A fakeHost is a node's Host of the ledger: soft state, and what is proposed
// and not committed.
type fakeHost struct {
	n     *node
	t     Target
	l     *ledger
	token commitlog.Token
	mu    sync.Mutex
	in    []func() // guarded by mu

	leads     bool
	deaf      bool                       // it counts nothing
	attach    map[queue.Incarnation]bool // attached in this term
	consumers []*shard.Consumer
	detached  map[queue.Incarnation]bool
	parked    map[*shard.Consumer]bool
	held      map[uint64]hold // by seq
	void      map[uint64]bool // settled and not committed
	counter   uint64
	returning int             // given back and not committed
	pending   []func(ok bool) // proposed
	turn      int
	wakes     shard.Wakes
	browsed   map[*shard.Browse]uint64
}

type hold struct {
	queue    uint64
	of       queue.SessionID
	consumer uint64
	holding  queue.Holding
	claimed  bool
}

// lead makes h the leader of its ledger. What the leader before proposed is
// committed or not, as keep says.
func (h *fakeHost) lead(keep bool) {
	l := h.l
	if old := l.leader; old != nil {
		old.follow(keep)
	}
	l.term++
	l.leader = h
	h.leads = true
	h.attach, h.detached, h.parked = map[queue.Incarnation]bool{}, map[queue.Incarnation]bool{}, map[*shard.Consumer]bool{}
	h.browsed = map[*shard.Browse]uint64{}
	h.consumers, h.held, h.void, h.counter, h.pending = nil, map[uint64]hold{}, map[uint64]bool{}, 0, nil
	h.returning = 0
	h.n.server.Lead(h.t, l.term)
	h.run()
}

func (h *fakeHost) follow(keep bool) {
	h.leads = false
	fs := h.pending
	h.pending = nil
	for _, f := range fs {
		f(keep)
	}
	h.l.leader = nil
	h.wakes.Wake()
	h.n.server.Follow(h.t)
	h.run()
}

// commit commits what was proposed.
func (h *fakeHost) commit() {
	h.do(func() {
		fs := h.pending
		h.pending = nil
		for _, f := range fs {
			f(true)
		}
	})
}

func (h *fakeHost) do(f func()) {
	h.mu.Lock()
	h.in = append(h.in, f)
	h.mu.Unlock()
	h.run()
}

func (h *fakeHost) run() {
	if !h.token.Take() {
		return
	}
	for {
		h.mu.Lock()
		fs := h.in
		h.in = nil
		h.mu.Unlock()
		for _, f := range fs {
			f()
		}
		h.dispatch()
		h.wakes.Wake()
		if !h.token.Release() {
			return
		}
	}
}

// open reports whether everybody who was served has attached.
func (h *fakeHost) open() bool {
	for inc := range h.l.served {
		if !h.attach[inc] {
			return false
		}
	}
	return true
}

func (h *fakeHost) ready(q uint64) *stored {
	for _, m := range h.l.queues[q] {
		if _, held := h.held[m.seq]; !held && !h.void[m.seq] {
			return m
		}
	}
	return nil
}

func (h *fakeHost) dispatch() {
	if !h.leads || !h.open() || h.returning > 0 { // what is given back keeps its place
		return
	}
	given := map[*shard.Consumer][]shard.Delivery{}
	var order []*shard.Consumer
	for idle := 0; idle <= len(h.consumers) && len(h.consumers) > 0; {
		h.turn++
		c := h.consumers[h.turn%len(h.consumers)]
		m := h.ready(c.Queue)
		held := 0
		for _, x := range h.held {
			if x.of.Incarnation == c.Incarnation && x.consumer == c.ID {
				held++
			}
		}
		if m == nil || h.detached[c.Incarnation] || h.parked[c] || c.Prefetch > 0 && held >= int(c.Prefetch) {
			idle++
			continue
		}
		if !c.Shared.Take() {
			h.parked[c] = true
			idle++
			continue
		}
		idle = 0
		d := h.give(c.Queue, m, queue.SessionID{Incarnation: c.Incarnation, Number: c.Session}, c.ID)
		if given[c] == nil {
			order = append(order, c)
		}
		given[c] = append(given[c], d)
	}
	for _, c := range order {
		c.Sink.Deliver(c, given[c])
		h.wakes.Later(c.Sink)
	}
}

func (h *fakeHost) give(q uint64, m *stored, of queue.SessionID, consumer uint64) shard.Delivery {
	h.counter++
	x := queue.Holding{Term: h.l.term, Counter: h.counter}
	h.held[m.seq] = hold{q, of, consumer, x, false}
	h.l.served[of.Incarnation] = true
	return shard.Delivery{Blob: m.blob, Seq: m.seq, Holding: x, Redelivered: m.acquired > 0, Acquired: m.acquired, Size: m.size}
}

func (h *fakeHost) Serving() (uint64, bool) { return h.l.term, h.leads }
func (h *fakeHost) Revision() uint64        { return h.l.revision }

func (h *fakeHost) Offer(data []byte) {
	h.do(func() {
		if h.leads {
			h.pending = append(h.pending, func(ok bool) { h.apply(data, ok) })
		}
	})
}

func (h *fakeHost) apply(data []byte, ok bool) {
	b, id, err := shard.Adopt(append([]byte(nil), data...))
	if err != nil {
		h.n.w.t.Fatalf("a batch that can not be read: %v", err)
	}
	if !ok {
		return
	}
	inc := queue.Incarnation{Node: id.Node, Number: id.Incarnation}
	st := h.l.streams[inc]
	if st == nil {
		st = &taken{}
		h.l.streams[inc] = st
	}
	a := shard.Answer{To: inc, Shard: uint64(h.t), Number: id.Number}
	switch {
	case st.ended:
		a.What = shard.BatchEnded
	case id.Number > st.last+1:
		a.What = shard.BatchGap
	case id.Number == st.last+1:
		st.last++
		h.enqueue(b)
		h.l.revision = max(h.l.revision, id.Revision)
	}
	if h.leads {
		h.n.server.Answer(a)
		h.wakes.Later(h.n.server)
	}
}

func (h *fakeHost) enqueue(b *shard.Builder) {
	data := b.Seal(shard.BatchID{}, nil)
	for i := range b.Items() {
		it := b.Item(i)
		blob := data[it.Off : it.Off+it.Len]
		m, err := message.Parse(blob)
		if err != nil {
			h.n.w.t.Fatal(err)
		}
		if h.l.gone[it.Queue] {
			continue
		}
		h.l.next++
		h.l.applied[string(m.Body)]++
		if h.l.enqueued != nil {
			h.l.enqueued(string(m.Body))
		}
		h.l.queues[it.Queue] = append(h.l.queues[it.Queue], &stored{seq: h.l.next, blob: blob, size: it.Size})
	}
}

func (h *fakeHost) Attach(a shard.Attachment, done func(shard.Attached, error)) {
	h.do(func() {
		if !h.leads {
			done(shard.Attached{}, shard.ErrUnavailable)
			return
		}
		got := shard.Attached{Term: h.l.term}
		if a.Begin {
			h.consumers = slices.DeleteFunc(h.consumers, func(c *shard.Consumer) bool { return c.Incarnation == a.From })
			h.detached[a.From] = true
			for seq, x := range h.held {
				if x.of.Incarnation == a.From {
					x.claimed = false
					h.held[seq] = x
				}
			}
		}
		for _, c := range a.Consumers {
			if h.l.gone[c.Queue] {
				got.Consumers = append(got.Consumers, c.ID)
				continue
			}
			h.consumers = append(h.consumers, c)
		}
		for _, c := range a.Claims {
			i := slices.IndexFunc(h.l.queues[c.Queue], func(m *stored) bool { return m.seq == c.Seq })
			x, held := h.held[c.Seq]
			if i < 0 || held && (x.holding != c.Holding || x.of.Incarnation != a.From) || !held && (h.void[c.Seq] || h.attach[a.From]) {
				got.Refused = append(got.Refused, c)
				continue
			}
			h.held[c.Seq] = hold{c.Queue, queue.SessionID{Incarnation: a.From, Number: c.Session}, c.Consumer, c.Holding, true}
		}
		if a.End {
			h.attach[a.From] = true
			delete(h.detached, a.From)
			for seq, x := range h.held {
				if x.of.Incarnation == a.From && !x.claimed {
					delete(h.held, seq)
				}
			}
		}
		done(got, nil)
	})
}

func (h *fakeHost) Detach(inc queue.Incarnation) {
	h.do(func() {
		if h.leads {
			h.detached[inc] = true
		}
	})
}

// EndIncarnation gives back what the incarnation holds.
func (h *fakeHost) EndIncarnation(inc queue.Incarnation) {
	h.do(func() {
		if st := h.l.streams[inc]; st != nil {
			st.ended = true
		} else {
			h.l.streams[inc] = &taken{ended: true}
		}
		lost := h.l.served[inc] && !h.attach[inc]
		delete(h.l.served, inc)
		if !h.leads {
			return
		}
		h.consumers = slices.DeleteFunc(h.consumers, func(c *shard.Consumer) bool { return c.Incarnation == inc })
		for seq, x := range h.held {
			if x.of.Incarnation == inc {
				h.raise(x.queue, seq)
				delete(h.held, seq)
			}
		}
		if lost { // nobody can say what it received
			for _, q := range h.l.queues {
				for _, m := range q {
					if _, held := h.held[m.seq]; !held {
						m.acquired++
					}
				}
			}
		}
	})
}

func (h *fakeHost) raise(q, seq uint64) {
	for _, m := range h.l.queues[q] {
		if m.seq == seq {
			m.acquired++
		}
	}
}

func (h *fakeHost) Settle(ss []shard.Settle, done func(error)) {
	h.do(func() {
		if !h.leads {
			if done != nil {
				done(shard.ErrUnavailable)
			}
			return
		}
		for _, s := range ss {
			x, ok := h.held[s.Seq]
			if !ok || x.holding != s.Holding {
				continue
			}
			delete(h.held, s.Seq)
			h.void[s.Seq] = true
			back := s.Outcome != shard.Accept && s.Outcome != shard.Reject
			if back {
				h.returning++
			}
			h.pending = append(h.pending, func(ok bool) {
				delete(h.void, s.Seq)
				if back {
					h.returning--
				}
				if ok {
					h.settled(s)
				}
			})
		}
		if done != nil {
			h.pending = append(h.pending, func(ok bool) {
				if ok && h.leads {
					done(nil)
				} else {
					done(shard.ErrUnavailable)
				}
			})
		}
	})
}

func (h *fakeHost) settled(s shard.Settle) {
	switch s.Outcome {
	case shard.Accept, shard.Reject:
		h.l.queues[s.Queue] = slices.DeleteFunc(h.l.queues[s.Queue], func(m *stored) bool { return m.seq == s.Seq })
	case shard.Requeue, shard.Abandon:
		h.raise(s.Queue, s.Seq)
	}
}

func (h *fakeHost) Consume(c *shard.Consumer, done func(error)) {
	h.do(func() {
		switch {
		case !h.leads:
			done(shard.ErrUnavailable)
		case h.l.gone[c.Queue]:
			done(shard.ErrGone)
		default:
			h.consumers = append(h.consumers, c)
			h.l.served[c.Incarnation] = true
			done(nil)
		}
	})
}

func (h *fakeHost) Cancel(c *shard.Consumer, _ bool, done func(error)) {
	h.do(func() {
		h.consumers = slices.DeleteFunc(h.consumers, func(x *shard.Consumer) bool { return x == c })
		done(nil)
	})
}

func (h *fakeHost) Kick(c *shard.Consumer) { h.do(func() { delete(h.parked, c) }) }
