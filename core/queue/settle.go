package queue

import (
	"fmt"

	"github.com/warrenmq/warren/internal/plant"
)

// Settle ends a holding: credit is free at once, and the caller logs
// Ledger.Settle, or Remove(…, Rejected). ok is false if the holding is stale;
// then nothing changed.
func (d *Dispatcher) Settle(seq uint64, h Holding) (size uint32, ok bool) {
	p, at, s := d.holding(seq, h)
	if s == nil {
		return 0, false
	}
	d.release(p, at, s)
	s.counter = 0
	s.become(leaving)
	d.away.add(1, uint64(s.size))
	return s.size, true
}

// Return ends a holding that is given back. The message is ready again once the
// caller's Ledger.Return is applied.
func (d *Dispatcher) Return(seq uint64, h Holding, raise Raise) (size uint32, v Verdict) {
	p, at, s := d.holding(seq, h)
	if s == nil {
		return 0, Stale
	}
	return s.size, d.giveBack(p, at, s, raise)
}

// holding returns the slot of a message held under exactly this number.
func (d *Dispatcher) holding(seq uint64, h Holding) (p *page, at int, s *slot) {
	ln := d.l.lanes.at(PriorityOf(seq))
	if ln == nil {
		return nil, 0, nil
	}
	if p = ln.page(PageOf(seq)); p == nil {
		return nil, 0, nil
	}
	at = int(seq & slotMask)
	if s = p.slot(at); s == nil || s.state() != held || d.number(seq, s) != h && !plant.Is(plant.StaleSettle) {
		return nil, 0, nil
	}
	return p, at, s
}

// number returns the full holding number of a held message.
func (d *Dispatcher) number(seq uint64, s *slot) Holding {
	if s.counter&claimed != 0 {
		return d.claims[seq]
	}
	return Holding{d.life.Epoch, d.life.Term, s.counter}
}

// giveBack ends a holding for a return, unless the delivery limit is reached.
func (d *Dispatcher) giveBack(p *page, at int, s *slot, raise Raise) Verdict {
	d.release(p, at, s)
	s.counter = 0
	d.away.add(1, uint64(s.size))
	if raise&RaiseFailed != 0 && d.l.settings.DeliveryLimit.exceeded(uint64(p.exception(at).failed)+1) {
		s.become(leaving)
		return Spend
	}
	s.become(returning)
	return Return
}

// EndConsumer removes a consumer and gives back what it holds.
func (d *Dispatcher) EndConsumer(id ConsumerID, raise Raise, out *Outcome) bool {
	h := d.byID[id]
	if h == nil {
		return false
	}
	d.unregister(h)
	h.ending = true
	d.giveBackAll(span{h.low, h.high, h.held}, raise, out)
	d.settleDown(h)
	return true
}

// EndSession removes a session's consumers and gives back what it holds.
func (d *Dispatcher) EndSession(id SessionID, raise Raise, out *Outcome) {
	if s := d.sessions[id]; s != nil {
		d.giveBackAll(d.end(s, span{}), raise, out)
		d.sweep(s)
	}
}

// A span is where holdings of some holders lie, and how many there are.
type span struct {
	low, high uint64
	n         uint32
}

func (x span) with(h *holder) span {
	switch {
	case h.held == 0:
		return x
	case x.n == 0:
		return span{h.low, h.high, h.held}
	}
	return span{min(x.low, h.low), max(x.high, h.high), x.n + h.held}
}

// end unregisters a session's consumers and returns where its holdings lie.
func (d *Dispatcher) end(s *session, where span) span {
	for _, h := range s.holders {
		if !h.getter && !h.cancelled {
			d.unregister(h)
		}
		h.ending = true
		where = where.with(h)
	}
	return where
}

// sweep forgets what is left of an ended session.
func (d *Dispatcher) sweep(s *session) {
	for n := len(s.holders); n > 0; n-- {
		h := s.holders[n-1]
		if h.held > 0 {
			panic(fmt.Sprintf("queue: an ended holder still has %d messages in [%d, %d]", h.held, h.low, h.high))
		}
		d.settleDown(h)
	}
}

// giveBackAll gives back the holdings of all ending holders, in order of their
// sequences. It looks at the held parts of the pages in the span only.
func (d *Dispatcher) giveBackAll(where span, raise Raise, out *Outcome) {
	d.eachHeld(&where, func(_ *lane, p *page, at int, s *slot) {
		if !d.holders[s.owner&ownerMask].ending {
			return
		}
		where.n--
		seq, size := p.first()|uint64(at), s.size
		if d.giveBack(p, at, s, raise) == Spend {
			out.Spent = AppendRun(out.Spent, seq, size)
		} else {
			out.Returns = AppendRun(out.Returns, seq, size)
		}
	})
}

// eachHeld visits the held messages of a span by sequence, the highest lane
// first, until n of them were found.
func (d *Dispatcher) eachHeld(where *span, visit func(*lane, *page, int, *slot)) {
	for _, ln := range d.l.lanes {
		for i := ln.find(PageOf(where.low)); i < len(ln.pages) && where.n > 0; i++ {
			p := ln.pages[i]
			if p.first() > where.high {
				break
			}
			for c := 0; c < len(heldPage{}.chunks) && p.held != nil; c++ {
				d.eachHeldIn(p, c, func(at int, s *slot) { visit(ln, p, at, s) })
			}
		}
	}
}

func (d *Dispatcher) eachHeldIn(p *page, c int, visit func(int, *slot)) {
	ch := p.held.chunks[c]
	if ch == nil {
		return
	}
	for i := range ch.slots {
		if s := &ch.slots[i]; s.state() == held {
			visit(c*chunkSlots+i, s)
		}
	}
}

// Holds reports whether a message is held under exactly this number.
func (d *Dispatcher) Holds(seq uint64, h Holding) bool {
	_, _, s := d.holding(seq, h)
	return s != nil
}
