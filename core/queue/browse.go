package queue

import (
	"cmp"
	"fmt"
	"slices"
)

// A Browsed is a message as a Browser finds it.
type Browsed struct {
	Seq    uint64
	Record Record
	// Redelivered says that somebody has seen the message, or may have: it was
	// given back, or is held now.
	Redelivered bool
}

// A Browser reads a whole ledger, in the order in which it would deliver,
// without holding or loading anything: what it reads stays as ready, as held and
// as cold as it was. Next is called again and again, in different turns; between
// them the queue goes on. Letters count as messages: they have not arrived where
// they are to go. Reading ends when there is nothing behind what was
// read. Gone then tells which of the messages read have left the queue since, so
// that what was read without them is exactly the queue at that moment.
//
// The zero value begins at the head.
type Browser struct {
	lanes   map[uint8]*browsedLane
	letter  uint64             // number to go on from
	seen    map[uint64]*bitmap // what was read, by page
	pages   []uint64           // their ids
	cold    []record           // of one page, see Feed
	coldID  uint64
	hasCold bitmap
}

// A browsedLane is how far a lane was read.
type browsedLane struct {
	next   uint64    // the sequence to go on from
	moved  []Browsed // read, with a place further back, by place
	places []uint64  // theirs
}

func (b *Browser) lane(ln *lane) *browsedLane {
	at := b.lanes[ln.priority]
	if at == nil {
		if b.lanes == nil {
			b.lanes = map[uint8]*browsedLane{}
		}
		at = &browsedLane{next: ln.first()}
		b.lanes[ln.priority] = at
	}
	return at
}

// Next appends the next messages to out, at most limit, and no more once their
// bodies have so many bytes. need is a page whose
// records are not in memory and have to be given to Feed before the next call;
// it counts only if cold is set. With neither messages nor a cold page the end
// is reached, for now.
func (b *Browser) Next(l *Ledger, limit, bytes int, out []Browsed) (_ []Browsed, need uint64, cold bool) {
	size := 0
	for _, ln := range l.lanes {
		at := b.lane(ln)
		for len(out) < limit && size < bytes {
			p, slot, seq, ok := ln.liveFrom(at.next)
			if len(at.moved) > 0 && (!ok || at.places[0] <= seq) {
				if x, ok := b.takeMoved(l, at); ok {
					size += int(x.Record.Body.Len)
					out = append(out, x)
				}
				continue
			}
			if !ok {
				break
			}
			x, ok := b.read(l, ln, p, slot)
			if !ok {
				return out, p.id, true
			}
			at.next = seq + 1
			if e := p.exception(slot); e.order > seq {
				at.keep(x, e.order)
				continue
			}
			b.mark(p, slot)
			size += int(x.Record.Body.Len)
			out = append(out, x)
		}
	}
	if len(out) < limit && size < bytes {
		return b.letters(l, limit, bytes-size, out)
	}
	return out, 0, false
}

// letters appends the letters that were not read while they were messages: they
// are on their way to other queues and have not arrived.
func (b *Browser) letters(l *Ledger, limit, bytes int, out []Browsed) (_ []Browsed, need uint64, cold bool) {
	for len(out) < limit && bytes > 0 {
		letter, ok := l.NextLetter(b.letter)
		if !ok {
			break
		}
		ln := l.lanes.at(PriorityOf(letter.Seq))
		p, slot := ln.page(PageOf(letter.Seq)), int(letter.Seq&slotMask)
		if seen := b.seen[p.id]; seen == nil || !seen.get(slot) {
			x, ok := b.read(l, ln, p, slot)
			if !ok {
				return out, p.id, true
			}
			x.Redelivered = true
			b.mark(p, slot)
			bytes -= int(x.Record.Body.Len)
			out = append(out, x)
		}
		b.letter = letter.Number + 1
	}
	return out, 0, false
}

// read returns a live message; false if its record is in neither memory nor
// what was fed.
func (b *Browser) read(l *Ledger, ln *lane, p *page, slot int) (x Browsed, ok bool) {
	x.Seq = p.first() | uint64(slot)
	switch {
	case p.has(slot):
		p.fill(slot, &x.Record)
	case b.cold != nil && b.coldID == p.id && b.hasCold.get(slot):
		r := &b.cold[slot]
		x.Record = Record{Body: r.body, Expires: r.expires, Size: r.size, Priority: r.priority, Flags: r.flags}
		e := p.exception(slot)
		x.Record.Acquired, x.Record.Failed = e.acquired, e.failed
	default:
		return x, false
	}
	x.Redelivered = x.Record.Acquired > 0 || x.Seq <= ln.lost
	if l.soft != nil {
		if s := p.slot(slot); s != nil && s.state() == held {
			x.Redelivered = true
		}
	}
	return x, true
}

// keep puts a message aside until the place it was moved to.
func (b *browsedLane) keep(x Browsed, place uint64) {
	i, _ := slices.BinarySearchFunc(b.places, place, func(a, p uint64) int {
		return cmp.Or(cmp.Compare(a, p), -1) // behind its equals
	})
	b.moved = slices.Insert(b.moved, i, x)
	b.places = slices.Insert(b.places, i, place)
}

// takeMoved takes the first message that was put aside; false if it is gone.
func (b *Browser) takeMoved(l *Ledger, at *browsedLane) (x Browsed, ok bool) {
	x = at.moved[0]
	at.moved, at.places = at.moved[1:], at.places[1:]
	_, p, slot := l.at(x.Seq)
	if p != nil {
		b.mark(p, slot)
	}
	return x, p != nil
}

func (b *Browser) mark(p *page, slot int) {
	s := b.seen[p.id]
	if s == nil {
		if b.seen == nil {
			b.seen = map[uint64]*bitmap{}
		}
		s = new(bitmap)
		b.seen[p.id] = s
		b.pages = append(b.pages, p.id)
	}
	s.set(slot)
}

// Feed gives the records of a cold page, as a checkpoint wrote them. The page's
// messages may have gone meanwhile; those that live must be among them.
func (b *Browser) Feed(l *Ledger, page uint64, value []byte) error {
	p := l.pageByID(page)
	if p == nil || p.empty() {
		return nil
	}
	b.cold, b.coldID, b.hasCold = make([]record, PageSize), page, bitmap{}
	if err := decodeRecords(value, func(slot int, r record) error {
		b.cold[slot] = r
		b.hasCold.set(slot)
		return nil
	}); err != nil {
		return fmt.Errorf("browse page %d: %w", page, err)
	}
	lost := p.kept().minus(&b.hasCold)
	if at := lost.next(0); at < p.base {
		return fmt.Errorf("browse page %d: %w: live slot %d has no record", page, ErrDamaged, at)
	}
	return nil
}

// Gone appends to out the messages that were read and are not in the queue any
// more, in order of their sequences.
func (b *Browser) Gone(l *Ledger, out []uint64) []uint64 {
	slices.Sort(b.pages)
	for _, id := range b.pages {
		left := *b.seen[id]
		if p := l.pageByID(id); p != nil {
			left = left.minus(p.kept())
		}
		for s := left.next(0); s < PageSize; s = left.next(s + 1) {
			out = append(out, id<<pageShift|uint64(s))
		}
	}
	return out
}
