package queue

import "fmt"

// A Dispatcher decides who gets what. See the package comment.
type Dispatcher struct {
	l    *Ledger
	life Life

	counter uint64 // of the last holding
	top     int    // lanes before it have nothing ready

	// Everything in the ledger is ready, held, or away: decided here, and
	// waiting for the log.
	held, away Amount
	inflight   Amount // publishes admitted and not applied
	spares     spares
	claims     map[uint64]Holding // by sequence: holdings of earlier terms

	consumers []*holder // in order of registration
	byID      map[ConsumerID]*holder
	sessions  map[SessionID]*session
	holders   []*holder // by index; nil where free
	unused    []uint32  // free indices
	levels    []*level
	active    *holder // the single active consumer

	resting []resting // given back and not ready yet

	schedule *schedule // nil unless the queue is one

	attach attachment
}

// Life identifies a dispatcher and says whom it waits for.
type Life struct {
	Epoch, Term uint64
	Waits       []Incarnation
	// Grants says that a consumer that keeps others out gets nothing before its
	// grant is logged; see WantGrant.
	Grants bool
}

// NewDispatcher stands over l from now on; an earlier one is detached. Until
// all it waits for have attached or ended, it dispatches nothing.
func NewDispatcher(l *Ledger, life Life) *Dispatcher {
	if l.soft != nil {
		l.soft.Close()
	}
	d := &Dispatcher{
		l: l, life: life,
		byID:     make(map[ConsumerID]*holder),
		sessions: make(map[SessionID]*session),
	}
	d.attach.waits = append(d.attach.waits, life.Waits...)
	l.soft = d
	for _, ln := range l.lanes {
		ln.ready = readyLane{cursor: ln.first()}
		for _, p := range ln.pages {
			d.adopt(ln, p)
		}
	}
	if l.settings.Schedule {
		d.newSchedule()
	}
	return d
}

// adopt puts messages that have a place of their own where they belong.
func (d *Dispatcher) adopt(ln *lane, p *page) {
	for _, e := range p.except {
		switch at := int(e.slot); {
		case !p.bits.get(at):
		case e.until != 0:
			d.layDown(p, at, e.until)
		case e.order != 0:
			d.requeue(ln, p, at)
		}
	}
}

// Close detaches the dispatcher from its ledger: leadership was lost. What it
// decided and was not applied is void.
func (d *Dispatcher) Close() {
	if d.l.soft != d {
		return
	}
	d.l.soft = nil
	for _, ln := range d.l.lanes {
		ln.ready = readyLane{cursor: ln.first()}
		for _, p := range ln.pages {
			p.held = nil
		}
	}
}

// Ready is what may be delivered, now or behind the horizon.
func (d *Dispatcher) Ready() Amount {
	t := d.l.total
	return Amount{
		Messages: t.Messages - d.held.Messages - d.away.Messages,
		Bytes:    t.Bytes - d.held.Bytes - d.away.Bytes,
	}
}

// Held is delivered and not settled.
func (d *Dispatcher) Held() Amount { return d.held }

func (a *Amount) add(n, bytes uint64) { a.Messages += n; a.Bytes += bytes }

func (a *Amount) sub(n, bytes uint64) {
	if n > a.Messages || bytes > a.Bytes {
		panic(fmt.Sprintf("queue: %d messages of %d bytes taken from %+v", n, bytes, *a))
	}
	a.Messages -= n
	a.Bytes -= bytes
}

// subUpTo is for estimates: it stops at zero.
func (a *Amount) subUpTo(n, bytes uint64) {
	a.Messages -= min(n, a.Messages)
	a.Bytes -= min(bytes, a.Bytes)
}

// --- what the ledger tells ---

func (d *Dispatcher) enqueued(ln *lane, size uint32) {
	d.top = 0
	if ln.ready.inflight > 0 {
		ln.ready.inflight--
		d.inflight.subUpTo(1, uint64(size))
	}
}

// removed is told before the live bits of the run are cleared.
func (d *Dispatcher) removed(ln *lane, p *page, lo, hi int, r Run) {
	left, bytes := uint64(r.N), r.Bytes // not yet explained by a slot
	below := 0                          // slots that the cursor has passed
	if p.held != nil {
		for at := p.bits.nextIn(lo, hi); at < hi; at = p.bits.nextIn(at+1, hi) {
			s := p.slot(at)
			if s == nil {
				continue
			}
			left--
			bytes -= uint64(s.size)
			if ln.passed(p.first() | uint64(at)) {
				below++
			}
			d.gone(p, at, s)
			if p.held == nil {
				break
			}
		}
	}
	if left > 0 {
		d.freeRemoved(ln, p, lo, hi, below, left, bytes)
	}
}

// gone takes the slot of a removed message.
func (d *Dispatcher) gone(p *page, at int, s *slot) {
	switch s.state() {
	case held:
		d.release(p, at, s)
	case returning, leaving, laidDown:
		d.away.sub(1, uint64(s.size))
	}
	d.spares.vacate(p, at)
}

// freeRemoved accounts for removed messages that had no slot: those that the
// cursor had passed were on their way out, the others were ready.
func (d *Dispatcher) freeRemoved(ln *lane, p *page, lo, hi, below int, n, bytes uint64) {
	split := int(min(max(ln.ready.cursor, p.first()+uint64(lo)), p.first()+uint64(hi)) - p.first())
	switch out := uint64(p.bits.count(lo, split) - below); out {
	case 0:
	case n:
		d.away.sub(n, bytes)
	default:
		// What the cursor passed was named for removal by this dispatcher, the
		// rest is ready: no decision names both.
		panic(fmt.Sprintf("queue: removal of [%d, %d) in page %d crosses the cursor %d", lo, hi, p.id, ln.ready.cursor))
	}
}

// returned is told after the counts were raised.
func (d *Dispatcher) returned(ln *lane, p *page, at int) {
	s := p.slot(at)
	if until := p.exception(at).until; until != 0 {
		d.returnedLater(ln, p, at, s, until)
		return
	}
	switch {
	case s == nil:
		if p.order(at) != p.first()|uint64(at) && !ln.passed(p.first()|uint64(at)) {
			d.requeue(ln, p, at)
		}
	case s.state() == returning:
		d.away.sub(1, uint64(s.size))
		d.requeue(ln, p, at)
	case s.state() == laidDown:
		d.away.sub(1, uint64(s.size))
		d.requeue(ln, p, at)
	case s.state() == requeued:
		d.requeue(ln, p, at)
	}
}

// returnedLater is returned for a message that is to rest.
func (d *Dispatcher) returnedLater(ln *lane, p *page, at int, s *slot, until int64) {
	switch {
	case s == nil && ln.passed(p.first()|uint64(at)): // it is named for removal
	case s == nil || s.state() == requeued:
		d.layDown(p, at, until)
	case s.state() == returning, s.state() == laidDown:
		s.become(laidDown)
		d.restUntil(resting{until, p.first() | uint64(at)})
	}
}

// requeue makes a message ready in its place.
func (d *Dispatcher) requeue(ln *lane, p *page, at int) {
	s := d.spares.occupy(p, at)
	s.counter = 0
	if p.has(at) {
		s.size = p.at(at).size
	}
	s.become(requeued)
	ln.ready.push(place{p.order(at), p.first() | uint64(at)})
	d.top = 0
}

// letGo frees everything that is held of a page: the queue is deleted.
func (d *Dispatcher) letGo(p *page) {
	for at := 0; at < PageSize && p.held != nil; at++ {
		if s := p.slot(at); s != nil {
			if s.state() == held {
				d.release(p, at, s)
			}
			d.spares.vacate(p, at)
		}
	}
}

// emptied is told at the end of Clear.
func (d *Dispatcher) emptied() {
	d.away, d.resting = Amount{}, nil
	for _, ln := range d.l.lanes {
		ln.ready.returned = nil
		ln.ready.cursor = ln.next
	}
	if d.schedule != nil {
		d.newSchedule()
	}
}

func (d *Dispatcher) pageGone(ln *lane, p *page) {
	if ln.ready.page == p {
		ln.ready.page = nil
	}
	if d.schedule != nil {
		delete(d.schedule.of, p.id)
	}
}

func (d *Dispatcher) lostApplied() { d.attach.lost = true }

func (d *Dispatcher) settingsChanged() {
	d.top = 0
	d.elect()
	for _, h := range d.consumers {
		d.refresh(h)
	}
}
