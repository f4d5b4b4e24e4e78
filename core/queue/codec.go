package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrDamaged is wrapped by all errors of decoders.
var ErrDamaged = errors.New("queue: damaged value")

// The values of a checkpoint begin with their version and round. A version that
// is not known is an error: a node never guesses.
//
//	queue    version round total counters history lanes*{priority next horizon lost}
//	         last letter, bytes, letters*{number priority seq why at}
//	         origins*{space id floor used words*{bits}}
//	header   version round lo end soonest live bytes bits exceptions*{slot acquired failed order until}
//	records  version round count*{slot index off len size expires priority flags}
//
// All numbers are uvarints, sequences without their lane, slots and indexes
// as the distance to the one before. bits is a list of alternating distances:
// dead, live, dead, … from lo to end.
const (
	queueVersion   = 1
	headerVersion  = 1
	recordsVersion = 1
)

// ValueRound returns the round in which a queue record, header or records value
// was written, without decoding the rest.
func ValueRound(value []byte) (uint64, error) {
	d := decoder{b: value}
	d.uvarint()
	round := d.uvarint()
	return round, d.err
}

// A decoder reads uvarints and keeps the first error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
		d.b = nil
	}
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("short or overlong number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// upTo reads a number that is at most limit.
func (d *decoder) upTo(limit uint64) uint64 {
	v := d.uvarint()
	if v > limit {
		d.fail("%d is beyond %d", v, limit)
		return 0
	}
	return v
}

func (d *decoder) version(known uint64) {
	if v := d.uvarint(); d.err == nil && v != known {
		d.fail("version %d is not known", v)
	}
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}

func appendUvarints(dst []byte, vs ...uint64) []byte {
	for _, v := range vs {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

const seqMask = 1<<laneShift - 1

// AppendQueue encodes the queue record.
func (c *Cut) AppendQueue(dst []byte) []byte {
	s := &c.state
	dst = appendUvarints(dst, queueVersion, c.Round, s.total.Messages, s.total.Bytes)
	for _, n := range s.counters.fields() {
		dst = binary.AppendUvarint(dst, *n)
	}
	dst = appendUvarints(dst, s.history, uint64(len(s.lanes)))
	for _, ln := range s.lanes {
		dst = appendUvarints(dst, uint64(ln.priority), ln.next&seqMask, ln.horizon&seqMask, ln.lost&seqMask)
	}
	return append(dst, s.tail...)
}

// fields lists the counters in the order of the codec.
func (c *Counters) fields() [11]*uint64 {
	return [...]*uint64{
		&c.Enqueued, &c.Settled, &c.Returned, &c.Expired, &c.Dropped,
		&c.Purged, &c.Rejected, &c.Spent, &c.Due, &c.Cleared, &c.Losses,
	}
}

func decodeQueue(value []byte) (s queueState, err error) {
	d := decoder{b: value}
	d.version(queueVersion)
	d.uvarint()
	s.total = Amount{d.uvarint(), d.uvarint()}
	for _, n := range s.counters.fields() {
		*n = d.uvarint()
	}
	s.history = d.uvarint()
	n := int(d.upTo(256))
	for i := 0; i < n && d.err == nil; i++ {
		ln := laneState{priority: uint8(d.upTo(255))}
		first := uint64(ln.priority) << laneShift
		ln.next, ln.horizon, ln.lost = first|d.upTo(seqMask), first|d.upTo(seqMask), first|d.upTo(seqMask)
		if i > 0 && ln.priority >= s.lanes[i-1].priority {
			d.fail("lanes are out of order")
		}
		if ln.next == first || ln.lost > ln.horizon || ln.lost >= ln.next {
			d.fail("marks of lane %d are out of order", ln.priority)
		}
		s.lanes = append(s.lanes, ln)
	}
	s.out, s.origins = d.outbox(), d.origins()
	return s, d.end()
}

// AppendHeader encodes the page's header.
func (c *PageCut) AppendHeader(dst []byte) []byte {
	dst = appendUvarints(dst, headerVersion, c.round, uint64(c.lo), uint64(c.end), uint64(c.soonest), uint64(c.live), c.bytes)
	dst = appendBits(dst, c.bits, c.lo, c.end)
	live := 0
	for _, e := range c.except {
		if c.bits.get(int(e.slot)) {
			live++
		}
	}
	dst = appendUvarints(dst, uint64(live))
	last := uint64(0)
	for _, e := range c.except {
		if c.bits.get(int(e.slot)) {
			dst = appendUvarints(dst, uint64(e.slot)-last, uint64(e.acquired), uint64(e.failed), e.order&seqMask, uint64(e.until))
			last = uint64(e.slot)
		}
	}
	return dst
}

func appendBits(dst []byte, b *bitmap, lo, end int) []byte {
	for at := lo; at < end; {
		live := min(b.next(at), end)
		dead := live
		for dead < end && b.get(dead) {
			dead++
		}
		dst = appendUvarints(dst, uint64(live-at), uint64(dead-live))
		at = dead
	}
	return dst
}

func (d *decoder) bits(b *bitmap, lo, end int) {
	for at := lo; at < end && d.err == nil; {
		dead := int(d.upTo(uint64(end - at)))
		live := int(d.upTo(uint64(end - at - dead)))
		if dead+live == 0 {
			d.fail("empty run of bits")
		}
		for s := at + dead; s < at+dead+live; s++ {
			b.set(s)
		}
		at += dead + live
	}
}

func decodeHeader(id uint64, value []byte) (*page, error) {
	p := &page{id: id, bits: new(bitmap)}
	d := decoder{b: value}
	d.version(headerVersion)
	d.uvarint()
	p.lo = int(d.upTo(PageSize))
	p.end = int(d.upTo(PageSize))
	p.soonest = int64(d.upTo(1<<63 - 1))
	p.live = int(d.upTo(PageSize))
	p.bytes = d.uvarint()
	if p.lo > p.end {
		d.fail("page ends before it begins")
	}
	d.bits(p.bits, p.lo, p.end)
	if d.err == nil && p.bits.count(0, PageSize) != p.live {
		d.fail("live count is not that of the bits")
	}
	p.exceptions(&d)
	if err := d.end(); err != nil {
		return nil, err
	}
	p.base, p.listed, p.durable = p.end, p.end, p.end
	p.stored, p.saved, p.bitsShared = true, p.bits, true
	return p, nil
}

func (p *page) exceptions(d *decoder) {
	n := int(d.upTo(uint64(p.live)))
	lane := p.first() &^ seqMask
	slot := uint64(0)
	for i := 0; i < n && d.err == nil; i++ {
		slot += d.upTo(PageSize - 1)
		e := exception{slot: uint16(slot), acquired: uint16(d.upTo(1<<16 - 1)), failed: uint16(d.upTo(1<<16 - 1))}
		if order := d.upTo(seqMask); order != 0 {
			e.order = lane | order
		}
		e.until = int64(d.upTo(1<<63 - 1))
		if slot >= PageSize || !p.bits.get(int(slot)) || i > 0 && e.slot <= p.except[i-1].slot {
			d.fail("exception for slot %d", slot)
			return
		}
		p.except = append(p.except, e)
	}
}

// AppendRecords encodes the records of live messages and of letters. stored is the page's last records
// value and is needed if NeedsStored.
func (c *PageCut) AppendRecords(dst, stored []byte) ([]byte, error) {
	left := c.keep.count(0, PageSize)
	dst = appendUvarints(dst, recordsVersion, c.round, uint64(left))
	e := recordEncoder{dst: dst}
	if c.keep.next(0) < c.base {
		if err := decodeRecords(stored, func(slot int, r record) error {
			if slot < c.base && c.keep.get(slot) {
				e.append(slot, &r)
				left--
			}
			return nil
		}); err != nil {
			return dst, fmt.Errorf("records of page %d: %w", c.ID, err)
		}
	}
	for s := c.keep.next(c.base); s < PageSize; s = c.keep.next(s + 1) {
		e.append(s, &c.recs[s-c.base])
		left--
	}
	if left != 0 {
		return dst, fmt.Errorf("records of page %d: %w: %d are missing", c.ID, ErrDamaged, left)
	}
	return e.dst, nil
}

type recordEncoder struct {
	dst  []byte
	slot int
	last Body
}

func (e *recordEncoder) append(slot int, r *record) {
	e.dst = appendUvarints(e.dst,
		uint64(slot-e.slot), r.body.Index-e.last.Index, uint64(r.body.Off), uint64(r.body.Len),
		uint64(r.size), uint64(r.expires), uint64(r.priority), uint64(r.flags))
	e.slot, e.last = slot, r.body
}

// decodeRecords calls each for every record, by ascending slot.
func decodeRecords(value []byte, each func(slot int, r record) error) error {
	d := decoder{b: value}
	d.version(recordsVersion)
	d.uvarint()
	n := int(d.upTo(PageSize))
	slot, index := uint64(0), uint64(0)
	for i := 0; i < n; i++ {
		step := d.upTo(PageSize - 1)
		slot += step
		if slot >= PageSize || i > 0 && step == 0 {
			d.fail("slot %d after the one before", slot)
		}
		index += d.uvarint()
		r := record{
			body:     Body{Index: index, Off: uint32(d.upTo(1<<32 - 1)), Len: uint32(d.upTo(1<<32 - 1))},
			size:     uint32(d.upTo(1<<32 - 1)),
			expires:  int64(d.uvarint()),
			priority: uint8(d.upTo(255)), flags: uint8(d.upTo(255)),
		}
		if d.err != nil {
			return d.err
		}
		if err := each(int(slot), r); err != nil {
			return err
		}
	}
	return d.end()
}
