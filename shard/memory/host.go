package memory

import (
	"maps"
	"slices"
	"sync"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A Host is all queues in the memory of this node, as the sessions of other nodes
// use them. Their batches may be for several queues: it knows them by their
// numbers, hands each queue its part, and answers when all have.
//
// Who leads is the node's incarnation for as long as that lives: its number is
// the term.
type Host struct {
	o     HostOptions
	token commitlog.Token // of who hands batches to their queues, in order

	mu struct {
		sync.Mutex
		streams map[uint64]*stream // by node
		waiting []*batch           // for this node's view of the catalog, or room in memory, in order
		held    bool               // Held is to call resume
	}
}

// HostOptions of NewHost.
type HostOptions struct {
	Incarnation queue.Incarnation
	// Queue returns a queue in the memory of this node, nil if it is gone; All
	// lists them.
	Queue func(shard.QueueID) *Queue
	All   func() []*Queue
	// Revision is the catalog's as this node knows it, and Alive reports whether
	// it has not ended an incarnation.
	Revision func() uint64
	Alive    func(queue.Incarnation) bool
	// Held reports whether this node holds in memory all it may: then batches wait,
	// and those who sent them wait for their answers, which bounds what they send.
	// It calls resume once when that is over. nil: it never does.
	Held func(resume func()) bool
	// Answers is told what became of batches. It may be called by any goroutine.
	Answers shard.Answers
}

// A stream is one incarnation's batches.
type stream struct {
	inc    uint64
	next   uint64
	gapped bool
	// answered are the outcomes of batches at or above the floor of the last.
	answered map[uint64][]uint32
}

// A batch is one that some queues have not answered yet.
type batch struct {
	id    shard.BatchID
	b     *shard.Builder
	parts int
	no    map[uint32]bool // publishes that were refused
}

// NewHost returns the host of this node's memory.
func NewHost(o HostOptions) *Host {
	h := &Host{o: o}
	h.mu.streams = map[uint64]*stream{}
	return h
}

var _ shard.Host = (*Host)(nil)

// Serving implements shard.Host.
func (h *Host) Serving() (uint64, bool) { return h.o.Incarnation.Number, true }

// Revision implements shard.Host: what is applied here was routed on this node's
// own view.
func (h *Host) Revision() uint64 { return h.o.Revision() }

// Offer implements shard.Host.
func (h *Host) Offer(data []byte) {
	b, id, err := shard.Adopt(data)
	if err != nil {
		return // its stream closes: the answer never comes
	}
	x := &batch{id: id, b: b}
	h.mu.Lock()
	refused, what, known := h.accept(x)
	if !known {
		h.mu.waiting = append(h.mu.waiting, x)
	}
	h.mu.Unlock()
	if known && what != under {
		h.answer(&id, refused, what)
	}
	h.Revised()
}

// under says that a batch is under way: its answer comes.
const under = ^shard.BatchOutcome(0)

// accept decides about a batch by its number; h.mu is held. known is false if it
// is the next.
func (h *Host) accept(x *batch) (refused []uint32, what shard.BatchOutcome, known bool) {
	inc := queue.Incarnation{Node: x.id.Node, Number: x.id.Incarnation}
	st := h.mu.streams[inc.Node]
	if !h.o.Alive(inc) || st != nil && st.inc > inc.Number {
		return nil, shard.BatchEnded, true
	}
	if st == nil || st.inc < inc.Number {
		st = &stream{inc: inc.Number, next: 1, answered: map[uint64][]uint32{}}
		h.mu.streams[inc.Node] = st
	}
	switch n := x.id.Number; {
	case n < st.next:
		if refused, ok := st.answered[n]; ok {
			return refused, shard.BatchTook, true
		}
		return nil, under, true
	case n > st.next && st.gapped:
		return nil, under, true
	case n > st.next:
		st.gapped = true
		return nil, shard.BatchGap, true
	}
	st.next, st.gapped = x.id.Number+1, false
	for n := range st.answered {
		if n < x.id.Floor {
			delete(st.answered, n)
		}
	}
	return nil, 0, false
}

// ready takes the batches whose revision this node's view has reached, in order;
// h.mu is held.
func (h *Host) ready() (out []*batch) {
	now := h.o.Revision()
	for len(h.mu.waiting) > 0 && h.mu.waiting[0].id.Revision <= now {
		if h.mu.held = h.mu.held || h.o.Held != nil && h.o.Held(h.resume); h.mu.held {
			break
		}
		out = append(out, h.mu.waiting[0])
		h.mu.waiting = slices.Delete(h.mu.waiting, 0, 1)
	}
	return out
}

// resume goes on when there is room in memory again.
func (h *Host) resume() {
	h.mu.Lock()
	h.mu.held = false
	h.mu.Unlock()
	h.Revised()
}

// Revised says that this node's view of the catalog is newer: batches may have
// waited for it.
func (h *Host) Revised() {
	if !h.token.Take() {
		return // whoever is at it looks again
	}
	for {
		h.mu.Lock()
		xs := h.ready()
		h.mu.Unlock()
		h.enter(xs)
		if !h.token.Release() {
			return
		}
	}
}

// enter hands batches to their queues; see split.
func (h *Host) enter(xs []*batch) {
	for _, x := range xs {
		parts := h.split(x)
		h.mu.Lock()
		x.parts = len(parts)
		h.mu.Unlock()
		if len(parts) == 0 {
			h.ended(x)
		}
		for _, p := range parts {
			p.m.request(shard.Request{Kind: shard.ReqRun, Run: func() { h.entered(x, p, p.m.enqueue(p.b)) }})
		}
	}
}

// A part of a batch is what is for one queue, and which publishes that is.
type part struct {
	m    *Queue
	b    *shard.Builder
	pubs []uint32
}

// split parts a batch by its queues. A queue that is gone takes nothing. What is
// settled and published as one is refused: it can be for several queues, which
// have nothing in common here.
func (h *Host) split(x *batch) (parts []*part) {
	x.no = map[uint32]bool{}
	of := map[shard.QueueID]*part{}
	pub := uint32(0)
	for i := 0; i < x.b.Items(); i++ {
		it := x.b.Item(i)
		if it.Flags&shard.ItemSame == 0 && i > 0 {
			pub++
		}
		if it.Flags&shard.ItemTx != 0 {
			x.no[pub] = true
			i += int(it.Size)
			continue
		}
		p := of[it.Queue]
		if p == nil {
			if m := h.o.Queue(it.Queue); m != nil {
				p = &part{m: m, b: shard.NewBuilder(int(it.Len), 1)}
				parts = append(parts, p)
			}
			of[it.Queue] = p
		}
		if p != nil {
			p.b.Copy(x.b, i)
			p.pubs = append(p.pubs, pub)
		}
	}
	return parts
}

// entered notes what a queue refused.
func (h *Host) entered(x *batch, p *part, refused []uint32) {
	h.mu.Lock()
	for _, i := range refused {
		x.no[p.pubs[i]] = true
	}
	x.parts--
	last := x.parts == 0
	h.mu.Unlock()
	if last {
		h.ended(x)
	}
}

// ended answers a batch that all its queues have taken.
func (h *Host) ended(x *batch) {
	refused := slices.Sorted(maps.Keys(x.no))
	h.mu.Lock()
	if st := h.mu.streams[x.id.Node]; st != nil && st.inc == x.id.Incarnation {
		st.answered[x.id.Number] = refused
	}
	h.mu.Unlock()
	h.answer(&x.id, refused, shard.BatchTook)
}

func (h *Host) answer(id *shard.BatchID, refused []uint32, what shard.BatchOutcome) {
	h.o.Answers.Answer(shard.Answer{
		To: queue.Incarnation{Node: id.Node, Number: id.Incarnation}, Number: id.Number, What: what, Refused: refused,
	})
	h.o.Answers.Wake()
}
