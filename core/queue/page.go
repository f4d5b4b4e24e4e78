package queue

// A record is the immutable part of a Record. Counts are exceptions.
type record struct {
	body     Body
	expires  int64
	size     uint32
	priority uint8
	flags    uint8
}

// A page holds the sequences [first, first+PageSize) of one lane.
//
//	slot   0        lo          base              end        PageSize
//	       |--------|-----------|-----------------|----------|
//	       never    cold        recs              not yet
//
// Invariants:
//
//  1. live bits lie in [lo, end); live counts them, bytes their sizes. So do
//     those of letters, out, of which none is live.
//  2. recs is append-only; len(recs) = end - base. The page is hot if base = lo.
//  3. Slots below listed were listed by a cut; below durable, that cut was saved.
type page struct {
	id    uint64
	bits  *bitmap
	live  int
	bytes uint64

	lo, base, end int
	recs          []record
	except        []exception
	soonest       int64   // no record expires before; 0: none ever does
	out           *bitmap // letters of the outbox; nil if there is none
	outs          int

	// For checkpoints.
	bitsShared   bool    // bits belongs to a cut as well
	exceptShared bool    // so does except
	cutting      bool    // a cut that is neither saved nor aborted has recs
	stored       bool    // a cut wrote the page's keys
	saved        *bitmap // what was kept at the last cut; nil if not stored
	listed       int
	durable      int
	dirty        int // place in the lane's dirty list + 1; 0 if clean

	// held is owned by the Dispatcher.
	held *heldPage
}

func (p *page) first() uint64 { return p.id << pageShift }
func (p *page) hot() bool     { return p.base == p.lo }
func (p *page) full() bool    { return p.end == PageSize }

// at returns the record of a slot, which must not be cold.
func (p *page) at(slot int) *record { return &p.recs[slot-p.base] }

// has reports whether the record of a slot is in memory.
func (p *page) has(slot int) bool { return slot >= p.base && slot < p.end }

// own makes bits the page's own before it is changed.
func (p *page) own() {
	if p.bitsShared {
		b := *p.bits
		p.bits = &b
		p.bitsShared = false
	}
}

// push appends a record; the page is not full.
func (p *page) push(r record) {
	if len(p.recs) == cap(p.recs) {
		p.grow()
	}
	p.recs = append(p.recs, r)
	p.own()
	p.bits.set(p.end)
	p.sooner(r.expires)
	p.end++
	p.live++
	p.bytes += uint64(r.size)
}

// grow doubles the room for records, never beyond the page. Small queues stay
// small, and a cut keeps the old array.
func (p *page) grow() {
	n := min(max(16, 2*cap(p.recs)), PageSize-p.base)
	recs := make([]record, len(p.recs), n)
	copy(recs, p.recs)
	p.recs = recs
}

// reset makes a spare page new, starting at seq.
func (p *page) reset(seq uint64) {
	slot := int(seq & slotMask)
	bits, recs := p.bits, p.recs[:0]
	*bits = bitmap{}
	*p = page{id: PageOf(seq), bits: bits, recs: recs, lo: slot, base: slot, end: slot, listed: slot, durable: slot}
}
