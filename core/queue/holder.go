package queue

import "slices"

// A holder is what holds messages: a consumer, a cancelled consumer whose
// session still holds what it got, or a session's getter.
type holder struct {
	spec    ConsumerSpec
	index   uint32
	session *session

	held      uint32
	heldBytes uint64
	// What it holds lies in [low, high]; exact when it held nothing before.
	low, high uint64

	credit    uint32 // if metered
	getter    bool
	cancelled bool
	parked    bool // its shared credit was refused
	detached  bool // its node is not attached
	reported  bool // by the node that is attaching
	ending    bool // its holdings are being given back
	asked     bool // its grant was asked for and is not applied

	// The rotation; nil if it may not have a message now.
	level      *level
	next, prev *holder
}

// A session is the holders that end together. It exists while it has any.
type session struct {
	id      SessionID
	holders []*holder
	getter  *holder
}

func (d *Dispatcher) session(id SessionID) *session {
	s := d.sessions[id]
	if s == nil {
		s = &session{id: id}
		d.sessions[id] = s
	}
	return s
}

func (d *Dispatcher) newHolder(spec ConsumerSpec) *holder {
	h := &holder{spec: spec, session: d.session(spec.Session), credit: spec.Credit}
	h.session.holders = append(h.session.holders, h)
	if n := len(d.unused); n > 0 {
		h.index = d.unused[n-1]
		d.unused = d.unused[:n-1]
		d.holders[h.index] = h
	} else {
		h.index = uint32(len(d.holders))
		d.holders = append(d.holders, h)
	}
	return h
}

// getter returns the session's holder of messages without a consumer.
func (d *Dispatcher) getter(id SessionID) *holder {
	if s := d.sessions[id]; s != nil && s.getter != nil {
		return s.getter
	}
	h := d.newHolder(ConsumerSpec{Session: id})
	h.getter = true
	h.session.getter = h
	return h
}

// settleDown forgets a holder that is no consumer and holds nothing.
func (d *Dispatcher) settleDown(h *holder) {
	if h.held > 0 || !h.getter && !h.cancelled || d.holders[h.index] != h {
		return
	}
	s := h.session
	s.holders = slices.DeleteFunc(s.holders, func(x *holder) bool { return x == h })
	if s.getter == h {
		s.getter = nil
	}
	if len(s.holders) == 0 {
		delete(d.sessions, s.id)
	}
	d.holders[h.index] = nil
	d.unused = append(d.unused, h.index)
}

// hold gives a message to a holder.
func (d *Dispatcher) hold(h *holder, p *page, at int, size uint32, counter uint64) {
	seq := p.first() | uint64(at)
	s := d.spares.occupy(p, at)
	s.counter, s.size, s.owner = counter, size, uint32(held)<<stateShift|h.index
	if h.held == 0 {
		h.low, h.high = seq, seq
	} else {
		h.low, h.high = min(h.low, seq), max(h.high, seq)
	}
	h.held++
	h.heldBytes += uint64(size)
	d.held.add(1, uint64(size))
}

// release takes a held message from its holder; the caller changes the slot's
// state. Credit is free at once.
func (d *Dispatcher) release(p *page, at int, s *slot) {
	if s.counter&claimed != 0 {
		delete(d.claims, p.first()|uint64(at))
	}
	d.held.sub(1, uint64(s.size))
	h := d.holders[s.owner&ownerMask]
	h.held--
	h.heldBytes -= uint64(s.size)
	if h.getter || h.cancelled {
		d.settleDown(h)
	} else if h.level == nil {
		d.refresh(h)
	}
}
