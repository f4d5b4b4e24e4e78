package queue

import "github.com/warrenmq/warren/internal/heap"

// What is ready in a lane: first deliveries from the cursor on, found by the
// live bits of the pages, without any node per message; and what was given
// back, in a heap by its place. The two are merged by place, so that a returned
// message is where it was.

// readyLane is the dispatcher's part of a lane.
type readyLane struct {
	cursor   uint64 // the next first delivery is at or after
	page     *page  // of the cursor, if known
	returned []place
	inflight uint64 // publishes proposed and not applied
	asked    uint64 // the horizon asked for and not applied
}

// A place orders messages of a lane: by key, then by sequence.
type place struct{ key, seq uint64 }

// Before implements heap.Item.
func (a place) Before(b place) bool {
	return a.key < b.key || a.key == b.key && a.seq < b.seq
}

func (r *readyLane) push(x place) { r.returned = heap.Push(r.returned, x) }

func (r *readyLane) pop() {
	r.returned, _ = heap.Pop(r.returned)
	if len(r.returned) == 0 && cap(r.returned) > maxSpareHeap {
		r.returned = nil
	}
}

// maxSpareHeap bounds what an empty heap keeps.
const maxSpareHeap = 4096

// A head is the next message of a lane.
type head struct {
	lane     *lane
	page     *page
	slot     int
	returned bool // from the heap
}

func (h *head) seq() uint64 { return h.page.first() | uint64(h.slot) }

// head returns the lane's next message; page is nil if there is none.
func (ln *lane) head() (h head) {
	h.lane = ln
	p, slot, fresh := ln.fresh()
	if len(ln.ready.returned) > 0 {
		if rp, rslot, key, ok := ln.top(); ok && (!fresh || key <= p.first()|uint64(slot)) {
			h.page, h.slot, h.returned = rp, rslot, true
			return h
		}
	}
	if fresh {
		h.page, h.slot = p, slot
	}
	return h
}

// top returns the first of what was given back. Entries that no longer stand
// for a requeued message are passed over.
func (ln *lane) top() (p *page, at int, key uint64, ok bool) {
	for len(ln.ready.returned) > 0 {
		x := ln.ready.returned[0]
		at = int(x.seq & slotMask)
		if p = ln.page(PageOf(x.seq)); p != nil {
			if s := p.slot(at); s != nil && s.state() == requeued && p.order(at) == x.key {
				return p, at, x.key, true
			}
		}
		ln.ready.pop()
	}
	return nil, 0, 0, false
}

// fresh moves the cursor to the next first delivery.
func (ln *lane) fresh() (p *page, at int, ok bool) {
	r := &ln.ready
	for r.cursor < ln.next {
		p = r.page
		if p == nil || p.id != PageOf(r.cursor) {
			i := ln.find(PageOf(r.cursor))
			if i == len(ln.pages) {
				r.cursor = ln.next
				break
			}
			p = ln.pages[i]
			r.page = p
			r.cursor = max(r.cursor, p.first())
		}
		at = p.bits.next(int(r.cursor & slotMask))
		if at == PageSize {
			r.cursor = min(p.first()+PageSize, ln.next)
			continue
		}
		r.cursor = p.first() | uint64(at)
		if p.held == nil || p.held.state(at) == free {
			return p, at, true
		}
		r.cursor++
	}
	return nil, 0, false
}

// passed reports whether the cursor has passed a sequence.
func (ln *lane) passed(seq uint64) bool { return seq < ln.ready.cursor }
