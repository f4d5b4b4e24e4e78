package queue

import (
	"fmt"
	"math/bits"

	"github.com/warrenmq/warren/internal/plant"
)

// A Ledger is the replicated content of one queue. See the package comment.
type Ledger struct {
	settings Settings
	lanes    lanes
	total    Amount
	counters Counters
	history  uint64 // a running digest of everything enqueued

	out     *outbox  // nil until a message was posted
	origins *origins // nil until one came from an origin

	spare *page       // of the last page that went; one per ledger
	soft  *Dispatcher // nil on followers

	// For checkpoints; unused by memory queues.
	dirty   []*page
	gone    []GonePage
	changed bool
	hot     int // pages with records in memory
}

// NewLedger returns an empty queue.
func NewLedger(s Settings) *Ledger { return &Ledger{settings: s, changed: true} }

// Enqueue adds a message at the tail of its lane and returns its sequence.
func (l *Ledger) Enqueue(r Record) (seq uint64) {
	ln := l.lanes.make(min(r.Priority, l.settings.MaxPriority))
	seq = ln.next
	p := ln.tail()
	if p == nil {
		p = l.newPage(seq)
		ln.pages = append(ln.pages, p)
	}
	rec := record{body: r.Body, expires: r.Expires, size: r.Size, priority: r.Priority, flags: r.Flags}
	if p.base == p.end {
		l.hot++
	}
	if l.settings.Schedule {
		rec.expires = dueAt(rec.expires)
	}
	p.push(rec)
	if r.Acquired|r.Failed != 0 {
		e := p.amend(int(seq & slotMask))
		e.acquired, e.failed = r.Acquired, r.Failed
	}
	ln.next++
	l.total.Messages++
	l.total.Bytes += uint64(r.Size)
	l.counters.Enqueued++
	l.history = mix(l.history, seq, &rec)
	l.touch(p)
	if l.soft != nil {
		l.soft.enqueued(ln, r.Size)
		if l.soft.schedule != nil {
			l.soft.schedule.enter(p, int(seq&slotMask), rec.expires)
		}
	}
	return seq
}

// Settle removes what a consumer acknowledged. It returns how many messages
// went: r.N, or 0 if the run does not name exactly what is there.
func (l *Ledger) Settle(r Run) (n uint32) {
	n = l.remove(r)
	l.counters.Settled += uint64(n)
	return n
}

// Remove is Settle for what the leader took away.
func (l *Ledger) Remove(r Run, why Reason) (n uint32) {
	c := l.counters.of(why)
	n = l.remove(r)
	*c += uint64(n)
	return n
}

func (c *Counters) of(why Reason) *uint64 {
	switch why {
	case Expired:
		return &c.Expired
	case Dropped:
		return &c.Dropped
	case Purged:
		return &c.Purged
	case Rejected:
		return &c.Rejected
	case Spent:
		return &c.Spent
	case Due:
		return &c.Due
	default:
		// An unknown command stops the node; it never gets here.
		panic(fmt.Sprintf("queue: remove for unknown reason %d", why))
	}
}

// locate returns what a run names, or nil if it does not name exactly that.
func (l *Ledger) locate(r Run) (ln *lane, p *page, lo, hi int) {
	lo = int(r.Seq & slotMask)
	if r.Span == 0 || r.Span > uint32(PageSize-lo) {
		return nil, nil, 0, 0
	}
	hi = lo + int(r.Span)
	if ln = l.lanes.at(PriorityOf(r.Seq)); ln == nil {
		return nil, nil, 0, 0
	}
	if p = ln.page(PageOf(r.Seq)); p == nil {
		return nil, nil, 0, 0
	}
	if r.Span == 1 {
		if r.N != 1 || !p.bits.get(lo) {
			return nil, nil, 0, 0
		}
	} else if r.N == 0 || p.bits.count(lo, hi) != int(r.N) {
		return nil, nil, 0, 0
	}
	return ln, p, lo, hi
}

func (l *Ledger) remove(r Run) (n uint32) {
	ln, p, lo, hi := l.locate(r)
	if p == nil {
		return 0
	}
	l.take(ln, p, lo, hi, r)
	if p.empty() && p.full() {
		l.dropPage(ln, p)
	} else {
		l.touch(p)
	}
	return r.N
}

// take clears the live bits of a run.
func (l *Ledger) take(ln *lane, p *page, lo, hi int, r Run) {
	if r.Bytes > p.bytes || (p.live == int(r.N) && r.Bytes != p.bytes) {
		// The logged sizes disagree with what the header knows: some command
		// was decided on another content than ours.
		panic(fmt.Sprintf("queue: run %+v takes more or less than page %d holds: %d messages of %d bytes", r, p.id, p.live, p.bytes))
	}
	if l.soft != nil {
		l.soft.removed(ln, p, lo, hi, r)
	}
	p.own()
	if r.Span == 1 {
		p.bits.unset(lo)
	} else {
		p.bits.clear(lo, hi)
	}
	p.live -= int(r.N)
	p.bytes -= r.Bytes
	l.total.Messages -= uint64(r.N)
	l.total.Bytes -= r.Bytes
}

// Return gives messages back at a log time; they keep their place unless raise
// says ToTail, and rest if the queue says so.
func (l *Ledger) Return(r Run, raise Raise, now int64) (n uint32) {
	ln, p, lo, hi := l.locate(r)
	if p == nil {
		return 0
	}
	for s := p.bits.nextIn(lo, hi); s < hi; s = p.bits.nextIn(s+1, hi) {
		if raise != 0 {
			l.raise(ln, p, s, raise)
		}
		l.rest(p, s, raise, now)
		if l.soft != nil {
			l.soft.returned(ln, p, s)
		}
	}
	l.counters.Returned += uint64(r.N)
	l.touch(p)
	return r.N
}

func (l *Ledger) raise(ln *lane, p *page, slot int, raise Raise) {
	e := p.amend(slot)
	if raise&RaiseAcquired != 0 {
		e.acquired = saturate(e.acquired)
	}
	if raise&RaiseFailed != 0 {
		e.failed = saturate(e.failed)
	}
	if raise&ToTail != 0 || plant.Is(plant.RequeueToTail) {
		// Equal to the sequence of a message yet to come, and before it: what
		// has the same key goes by sequence.
		e.order = ln.next
	}
}

// Clear removes everything, held or not: the queue is deleted.
func (l *Ledger) Clear() {
	l.clearOutbox()
	for _, ln := range l.lanes {
		for len(ln.pages) > 0 {
			p := ln.pages[0]
			if l.soft != nil {
				l.soft.letGo(p)
			}
			l.counters.Cleared += uint64(p.live)
			l.total.Messages -= uint64(p.live)
			l.total.Bytes -= p.bytes
			p.live, p.bytes = 0, 0
			l.dropPage(ln, p)
		}
	}
	if l.soft != nil {
		l.soft.emptied()
	}
}

// SetHorizon allows first deliveries up to seq. It never goes back.
func (l *Ledger) SetHorizon(priority uint8, seq uint64) bool {
	ln := l.lanes.make(priority)
	if seq <= ln.horizon || PriorityOf(seq) != priority {
		return false
	}
	ln.horizon = seq
	l.changed = true
	return true
}

// Lost marks everything a leader may have delivered as redelivered. A horizon
// set ahead of the tail says nothing about messages that did not exist yet.
func (l *Ledger) Lost() bool {
	moved := false
	l.counters.Losses++
	for _, ln := range l.lanes {
		if mark := min(ln.horizon, ln.next-1); mark > ln.lost {
			ln.lost = mark
			moved = true
		}
	}
	l.changed = true
	if l.soft != nil {
		l.soft.lostApplied()
	}
	return moved
}

// SetSettings replaces the queue's arguments. What never changes stays as it was.
func (l *Ledger) SetSettings(s Settings) {
	s.Memory, s.Schedule = l.settings.Memory, l.settings.Schedule
	l.settings = s
	if l.soft != nil {
		l.soft.settingsChanged()
	}
}

// mix folds an enqueued record into a running digest.
func mix(h, seq uint64, r *record) uint64 {
	h = fold(h^seq, r.body.Index^0x9e3779b97f4a7c15)
	h = fold(h^(uint64(r.body.Off)<<32|uint64(r.body.Len)), uint64(r.expires)^0xd6e8feb86659fd93)
	return fold(h^(uint64(r.size)<<16|uint64(r.priority)<<8|uint64(r.flags)), 0xa0761d6478bd642f)
}

// fold mixes two words. Neither may be a zero to the product: it would take with
// it everything folded before.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xe7037ed1a0b428db, b^0x8ebc6af09c88c6e3)
	return hi ^ lo
}
