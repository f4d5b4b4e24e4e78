package queue

import "slices"

// attachment is what a dispatcher knows of nodes that attach.
//
// A new dispatcher waits for the incarnations that its predecessor served. Each
// attaches with its consumers and what they hold, or has ended. What nobody
// claims was never received: it is ready. If one has ended, nobody can say what
// it received: a logged Lost flags all that it may have.
type attachment struct {
	waits []Incarnation // not yet attached nor ended
	ended bool          // one of them ended
	lost  bool          // a Lost was applied since
}

// Open reports whether messages may be dispatched, expired, dropped or purged.
func (d *Dispatcher) Open() bool {
	return len(d.attach.waits) == 0 && (!d.attach.ended || d.attach.lost)
}

// WantLost reports that an incarnation ended that was waited for, and that a Lost
// must be logged before anything is dispatched: together with its end, for it is
// not waited for again. It is true until that is applied.
func (d *Dispatcher) WantLost() bool { return d.attach.ended && !d.attach.lost }

// Waits returns the incarnations that have neither attached nor ended.
func (d *Dispatcher) Waits() []Incarnation { return d.attach.waits }

// Waiting reports whether somebody has neither attached nor ended: what consumers
// there are is not known yet.
func (d *Dispatcher) Waiting() bool { return len(d.attach.waits) > 0 }

func (d *Dispatcher) arrived(i Incarnation) bool {
	n := len(d.attach.waits)
	d.attach.waits = slices.DeleteFunc(d.attach.waits, func(x Incarnation) bool { return x == i })
	return len(d.attach.waits) < n
}

// Detach says that the stream to a node broke: its consumers get nothing until
// it attaches again.
func (d *Dispatcher) Detach(i Incarnation) {
	for _, h := range d.consumers {
		if h.spec.Session.Incarnation == i {
			h.detached = true
			d.refresh(h)
		}
	}
}

// Attach takes a chunk of what a node reports, consumers first; end closes its
// report. Its consumers have messages from then on; what this dispatcher
// thought held and the node does not claim was never received, and is ready.
// Claims that cannot be kept (gone, or held by another) are appended to refused.
func (d *Dispatcher) Attach(from Incarnation, consumers []ConsumerSpec, claims []Claim, end bool, refused []Claim) ([]Claim, error) {
	for _, c := range consumers {
		if h := d.byID[c.ID]; h != nil && h.spec.Session == c.Session {
			h.reported = true
			h.spec.Shared, h.parked = c.Shared, false // a credit that it was refused ended with the stream
			continue
		}
		if err := d.Add(c); err != nil {
			return refused, err
		}
		h := d.byID[c.ID]
		h.reported, h.detached = true, true
		d.refresh(h)
	}
	d.Detach(from)
	waited := slices.Contains(d.attach.waits, from)
	for _, c := range claims {
		if !d.claim(c, waited) {
			refused = append(refused, c)
		}
	}
	if end {
		d.attached(from)
	}
	return refused, nil
}

// claim keeps a holding that a node reports. A node that was not waited for has
// none but those this dispatcher knows. Of two claims of one message the later
// holding stands, whoever came first: the message was given out again, so the
// earlier one had ended, and its node has not heard of that. So no claim may be
// settled while somebody is waited for.
func (d *Dispatcher) claim(c Claim, waited bool) bool {
	ln, p, at := d.l.at(c.Seq)
	if p == nil || c.Acquired < p.exception(at).acquired {
		return false // settled, or given back since: the node has not heard of it
	}
	s := p.slot(at)
	if waited && s != nil && s.state() == held && s.counter&claimed != 0 && c.Holding.after(d.claims[c.Seq]) {
		d.release(p, at, s)
		d.keep(c, p, at)
		return true
	}
	if s != nil && s.state() == held {
		if d.number(c.Seq, s) != c.Holding || d.holders[s.owner&ownerMask].spec.Session != c.Session {
			return false
		}
		s.owner |= confirmed
		return true
	}
	rests := s != nil && s.state() == laidDown // when it was given back: since then it was given out again
	if !waited || s != nil && s.state() != requeued && !rests || s == nil && ln.passed(c.Seq) {
		return false // on its way out, or back
	}
	if rests {
		d.away.sub(1, uint64(s.size))
	}
	d.keep(c, p, at)
	return true
}

// keep has the claimant hold what nobody else holds.
func (d *Dispatcher) keep(c Claim, p *page, at int) {
	h := d.byID[c.Consumer]
	if h == nil || h.spec.Session != c.Session {
		h = d.getter(c.Session)
	}
	if d.claims == nil {
		d.claims = make(map[uint64]Holding)
	}
	d.claims[c.Seq] = c.Holding
	d.hold(h, p, at, c.Size, claimed)
	p.slot(at).owner |= confirmed
	d.refresh(h)
}

// attached ends a node's report.
func (d *Dispatcher) attached(from Incarnation) {
	d.arrived(from)
	for _, h := range slices.Clone(d.consumers) {
		if h.spec.Session.Incarnation != from {
			continue
		}
		if !h.reported {
			d.unregister(h)
			d.settleDown(h)
			continue
		}
		h.reported, h.detached = false, false
		d.refresh(h)
	}
	d.eachHeld(d.everything(), func(ln *lane, p *page, at int, s *slot) {
		switch {
		case d.holders[s.owner&ownerMask].spec.Session.Incarnation != from:
		case s.owner&confirmed != 0:
			s.owner &^= confirmed
		default:
			d.release(p, at, s)
			d.requeue(ln, p, at)
		}
	})
	d.elect()
}

func (d *Dispatcher) everything() *span {
	return &span{low: 0, high: ^uint64(0), n: ^uint32(0)}
}

// EndIncarnation ends all sessions of an incarnation, whose deliveries count as
// acquired, and the waiting for it.
func (d *Dispatcher) EndIncarnation(i Incarnation, out *Outcome) {
	if d.arrived(i) && d.wouldLose() {
		d.attach.ended = true
		d.attach.lost = false
	}
	var where span
	var ended []*session
	for _, h := range d.holders {
		if h != nil && h.spec.Session.Incarnation == i && !h.ending {
			where = d.end(h.session, where)
			ended = append(ended, h.session)
		}
	}
	d.giveBackAll(where, RaiseAcquired, out)
	for _, s := range ended {
		d.sweep(s)
	}
	d.elect()
}

// wouldLose reports whether a Lost would flag anything.
func (d *Dispatcher) wouldLose() bool {
	return slices.ContainsFunc(d.l.lanes, func(ln *lane) bool { return min(ln.horizon, ln.next-1) > ln.lost })
}
