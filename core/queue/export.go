package queue

// Holdings calls f with everything that the sessions of an incarnation hold, by
// sequence, the highest lane first: what its node claims when it attaches to
// another dispatcher.
func (d *Dispatcher) Holdings(of Incarnation, f func(Claim)) {
	if !d.Holding(of) {
		return
	}
	d.eachHeld(d.everything(), func(_ *lane, p *page, at int, s *slot) {
		h := d.holders[s.owner&ownerMask]
		if h.spec.Session.Incarnation != of {
			return
		}
		seq := p.first() | uint64(at)
		c := Claim{Seq: seq, Holding: d.number(seq, s), Size: s.size, Acquired: p.exception(at).acquired, Session: h.spec.Session}
		if !h.cancelled {
			c.Consumer = h.spec.ID // 0 for a getter
		}
		f(c)
	})
}

// HeldBy calls f with everything that a consumer holds.
func (d *Dispatcher) HeldBy(id ConsumerID, f func(seq uint64, x Holding)) {
	h := d.byID[id]
	if h == nil {
		return
	}
	d.eachHeld(&span{h.low, h.high, h.held}, func(_ *lane, p *page, at int, s *slot) {
		if d.holders[s.owner&ownerMask] == h {
			seq := p.first() | uint64(at)
			f(seq, d.number(seq, s))
		}
	})
}

// Holding reports whether sessions of an incarnation hold anything.
func (d *Dispatcher) Holding(of Incarnation) bool {
	for _, h := range d.holders {
		if h != nil && h.held > 0 && h.spec.Session.Incarnation == of {
			return true
		}
	}
	return false
}

// Acquired returns how often a message was given back that had been delivered.
func (d *Dispatcher) Acquired(seq uint64) uint16 {
	_, p, at := d.l.at(seq)
	if p == nil {
		return 0
	}
	return p.exception(at).acquired
}

// Size returns what a message counts that was decided about and has not left.
func (d *Dispatcher) Size(seq uint64) (uint32, bool) {
	ln := d.l.lanes.at(PriorityOf(seq))
	if ln == nil {
		return 0, false
	}
	p := ln.page(PageOf(seq))
	if p == nil {
		return 0, false
	}
	s := p.slot(int(seq & slotMask))
	if s == nil {
		return 0, false
	}
	return s.size, true
}

// Last returns the number of the holding given out last.
func (d *Dispatcher) Last() Holding { return Holding{d.life.Epoch, d.life.Term, d.counter} }
