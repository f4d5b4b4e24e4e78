package queue

// Expired names expired messages at the head, up to max, for Remove(…, Expired).
// Only the head expires: a message waits behind those before it. Call it after
// Dispatch, so that a TTL of 0 still reaches a waiting consumer.
func (d *Dispatcher) Expired(now int64, max int, out []Run) ([]Run, Pause) {
	if !d.Open() {
		return out, Pause{Why: Attaching}
	}
	d.rise(now)
	for range max {
		hd, ok := d.next()
		if !ok {
			return out, Pause{Why: NoMessage}
		}
		if hd.page.soonest == 0 {
			return out, Pause{}
		}
		if !hd.page.has(hd.slot) {
			return out, Pause{Why: NeedPage, Page: hd.page.id}
		}
		if x := hd.page.at(hd.slot).expires; x == 0 || x > now {
			return out, Pause{}
		}
		out = d.drop(&hd, out)
	}
	return out, Pause{Why: LimitReached}
}

// NextExpiry is when the head expires, 0 if never. A cold head of which that is
// not known pauses.
func (d *Dispatcher) NextExpiry() (at int64, p Pause) {
	hd, ok := d.next()
	switch {
	case !ok || hd.page.soonest == 0:
		return 0, Pause{}
	case !hd.page.has(hd.slot):
		return 0, Pause{Why: NeedPage, Page: hd.page.id}
	default:
		return hd.page.at(hd.slot).expires, Pause{}
	}
}

// Overflow names what is ready beyond the limits, from the head and up to max,
// for Remove(…, Dropped). From the call on it is neither counted nor delivered.
// Call it after Dispatch, so that a message may reach a waiting consumer of a
// full queue.
func (d *Dispatcher) Overflow(max int, out []Run) ([]Run, Pause) {
	s := &d.l.settings
	if s.Overflow != DropHead || s.MaxLength == 0 && s.MaxBytes == 0 {
		return out, Pause{}
	}
	if !d.Open() {
		return out, Pause{Why: Attaching}
	}
	for range max {
		r := d.Ready()
		if !s.MaxLength.exceeded(r.Messages) && !s.MaxBytes.exceeded(r.Bytes) {
			return out, Pause{}
		}
		hd, ok := d.next()
		if !ok {
			return out, Pause{Why: NoMessage}
		}
		if !hd.page.has(hd.slot) {
			return out, Pause{Why: NeedPage, Page: hd.page.id}
		}
		out = d.drop(&hd, out)
	}
	return out, Pause{Why: LimitReached}
}

// Purge names everything ready, for Remove(…, Purged): whole pages at once where
// nothing of them is held or on its way. When it pauses for a page, log what it
// named, install the page and call again.
func (d *Dispatcher) Purge(out []Run) ([]Run, Pause) {
	if !d.Open() {
		return out, Pause{Why: Attaching}
	}
	for _, ln := range d.l.lanes {
		for {
			p, at, _, ok := ln.top()
			if !ok {
				break
			}
			hd := head{lane: ln, page: p, slot: at, returned: true}
			if !p.has(at) {
				return out, Pause{Why: NeedPage, Page: p.id}
			}
			out = d.drop(&hd, out)
		}
		for {
			p, at, ok := ln.fresh()
			if !ok {
				break
			}
			var pause Pause
			if out, pause = d.purgePage(ln, p, at, out); pause.Why != NotPaused {
				return out, pause
			}
		}
	}
	return out, Pause{}
}

// purgePage names what is ready in a page from the slot on.
func (d *Dispatcher) purgePage(ln *lane, p *page, at int, out []Run) ([]Run, Pause) {
	if p.held == nil && p.bits.count(p.lo, at) == 0 {
		r := Run{Seq: p.first() | uint64(at), Span: uint32(p.end - at), N: uint32(p.live), Bytes: p.bytes}
		d.away.add(uint64(r.N), r.Bytes)
		ln.ready.cursor = p.first() + uint64(p.end)
		return append(out, r), Pause{}
	}
	if !p.has(at) {
		return out, Pause{Why: NeedPage, Page: p.id}
	}
	for ; at < p.end; at = p.bits.nextIn(at+1, p.end) {
		if p.slot(at) != nil {
			continue
		}
		size := p.at(at).size
		d.away.add(1, uint64(size))
		out = AppendRun(out, p.first()|uint64(at), size)
	}
	ln.ready.cursor = p.first() + uint64(p.end)
	return out, Pause{}
}

// Admit accounts for a publish that is about to be proposed; false says that
// the queue is full and rejects it (nothing is accounted then).
func (d *Dispatcher) Admit(priority uint8, size uint32) bool {
	s := &d.l.settings
	if s.Overflow != DropHead {
		r := d.Ready()
		if s.MaxLength.exceeded(r.Messages+d.inflight.Messages+1) ||
			s.MaxBytes.exceeded(r.Bytes+d.inflight.Bytes+uint64(size)) {
			return false
		}
	}
	d.Expect(priority, size)
	return true
}

// Expect accounts for a publish that is proposed whatever the limits say.
func (d *Dispatcher) Expect(priority uint8, size uint32) {
	d.l.lanes.make(min(priority, d.l.settings.MaxPriority)).ready.inflight++
	d.inflight.add(1, uint64(size))
}

// Withdraw takes back what Admit accounted and will not be applied.
func (d *Dispatcher) Withdraw(priority uint8, size uint32) {
	ln := d.l.lanes.make(min(priority, d.l.settings.MaxPriority))
	if ln.ready.inflight > 0 {
		ln.ready.inflight--
		d.inflight.subUpTo(1, uint64(size))
	}
}

// ClearInFlight forgets publishes and horizons in flight: nothing proposed is
// unapplied any more.
func (d *Dispatcher) ClearInFlight() {
	d.inflight = Amount{}
	for _, ln := range d.l.lanes {
		ln.ready.inflight, ln.ready.asked = 0, 0
	}
}

// InFlight is how many publishes were admitted and are not applied.
func (d *Dispatcher) InFlight() uint64 { return d.inflight.Messages }
