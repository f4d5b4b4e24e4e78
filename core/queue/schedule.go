package queue

import "github.com/warrenmq/warren/internal/heap"

// A schedule is a queue that nobody consumes: each message leaves it, through
// the outbox, when it is due, whatever its place. When that is stands where
// other queues have the expiry. What is due follows from log time and is decided
// by the leader: it posts what Due names.
//
// The leader finds the next message in two steps: a heap of pages by the least
// that their messages may be due at, and, for a page whose turn it is, a heap of
// its messages. So a page whose time is far may be cold, and a new leader reads
// no page before something in it may be due.

// schedule is the dispatcher's part of a schedule.
type schedule struct {
	// pages may have entries that their pages outlived: they are passed over.
	pages []firstDue
	of    map[uint64]*duePage // by page: those in which something waits
}

// firstDue says that nothing in a page is due before a time.
type firstDue struct {
	at   int64
	page uint64
}

// Before implements heap.Item.
func (a firstDue) Before(b firstDue) bool {
	return a.at < b.at || a.at == b.at && a.page < b.page
}

type duePage struct {
	at    int64     // of the entry that counts
	known bool      // slots are all that wait
	slots []dueSlot // a heap; what left meanwhile is passed over
}

type dueSlot struct {
	at   int64
	slot uint16
}

// Before implements heap.Item.
func (a dueSlot) Before(b dueSlot) bool {
	return a.at < b.at || a.at == b.at && a.slot < b.slot
}

// newSchedule begins with what the pages' headers say.
func (d *Dispatcher) newSchedule() {
	d.schedule = &schedule{of: map[uint64]*duePage{}}
	for _, ln := range d.l.lanes {
		for _, p := range ln.pages {
			if p.live > 0 {
				d.schedule.move(p.id, new(duePage), p.soonest)
			}
		}
	}
}

// move puts a page where its first message belongs.
func (s *schedule) move(page uint64, x *duePage, at int64) {
	x.at = at
	s.of[page] = x
	s.pages = heap.Push(s.pages, firstDue{at, page})
}

// first returns the page that is next, 0 and nil if nothing waits.
func (s *schedule) first() (page uint64, x *duePage) {
	for len(s.pages) > 0 {
		f := s.pages[0]
		if x = s.of[f.page]; x != nil && x.at == f.at {
			return f.page, x
		}
		s.pages, _ = heap.Pop(s.pages)
	}
	if cap(s.pages) > maxSpareHeap {
		s.pages = nil
	}
	return 0, nil
}

// enter is told of a message that was enqueued.
func (s *schedule) enter(p *page, slot int, due int64) {
	x := s.of[p.id]
	switch {
	case x == nil:
		x = new(duePage)
		s.move(p.id, x, due)
	case due < x.at:
		s.move(p.id, x, due)
	}
	if x.known {
		x.slots = heap.Push(x.slots, dueSlot{due, uint16(slot)})
	}
}

// evicted is told that the records of a page left memory.
func (s *schedule) evicted(page uint64) {
	if x := s.of[page]; x != nil {
		x.known, x.slots = false, nil
	}
}

// Due names messages of a schedule that are due, up to max and in the order of
// their time, for Post(…, Due). When it pauses for a page, log what it named,
// install the page and call again.
func (d *Dispatcher) Due(now int64, max int, out []Run) ([]Run, Pause) {
	if !d.Open() {
		return out, Pause{Why: Attaching}
	}
	s := d.schedule
	for n := 0; n < max; {
		id, x := s.first()
		switch {
		case x == nil:
			return out, Pause{Why: NoMessage}
		case x.at > now:
			return out, Pause{}
		}
		p := d.l.pageByID(id)
		if !p.hot() {
			return out, Pause{Why: NeedPage, Page: id}
		}
		d.know(p, x)
		switch {
		case len(x.slots) == 0:
			delete(s.of, id)
		case x.slots[0].at > x.at:
			s.move(id, x, x.slots[0].at)
		default:
			out = d.leaveAt(p, int(x.slots[0].slot), out)
			x.slots, _ = heap.Pop(x.slots)
			n++
		}
	}
	return out, Pause{Why: LimitReached}
}

// know has a hot page know what waits in it, the first of it in front.
func (d *Dispatcher) know(p *page, x *duePage) {
	if !x.known {
		x.known = true
		for at := p.bits.next(p.lo); at < p.end; at = p.bits.next(at + 1) {
			if d.waits(p, at) {
				x.slots = heap.Push(x.slots, dueSlot{p.at(at).expires, uint16(at)})
			}
		}
	}
	for len(x.slots) > 0 && !d.waits(p, int(x.slots[0].slot)) {
		x.slots, _ = heap.Pop(x.slots)
	}
}

// waits reports whether a message is in the queue and nothing was decided about
// it.
func (d *Dispatcher) waits(p *page, at int) bool {
	if !p.bits.get(at) || p.slot(at) != nil {
		return false
	}
	return !d.l.lanes.at(PriorityOf(p.first())).passed(p.first() | uint64(at)) // a purge named it
}

// leaveAt takes a message away for the outbox, appending it to out.
func (d *Dispatcher) leaveAt(p *page, at int, out []Run) []Run {
	s := d.spares.occupy(p, at)
	s.counter, s.size = 0, p.at(at).size
	s.become(leaving)
	d.away.add(1, uint64(s.size))
	return AppendRun(out, p.first()|uint64(at), s.size)
}

// NextDue is a time before which nothing of a schedule is due, 0 if nothing
// waits.
func (d *Dispatcher) NextDue() int64 {
	if _, x := d.schedule.first(); x != nil {
		return x.at
	}
	return 0
}

// dueAt is when a message of a schedule is due: at once, if it does not say.
func dueAt(expires int64) int64 { return max(1, expires) }

// sooner notes in the page's header the least that an expiry of it may be.
func (p *page) sooner(expires int64) {
	if expires != 0 && (p.soonest == 0 || expires < p.soonest) {
		p.soonest = expires
	}
}

// soonestNow finds what the header of a schedule's page may say, so that nobody
// reads it before.
func (p *page) soonestNow() {
	if p.live == 0 || !p.hot() {
		return
	}
	p.soonest = 0
	for at := p.bits.next(p.lo); at < p.end; at = p.bits.next(at + 1) {
		p.sooner(p.at(at).expires)
	}
}
