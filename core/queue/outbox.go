package queue

import (
	"cmp"
	"fmt"
	"slices"
)

// An outbox is the messages that died and are to be in other ledgers before
// they leave this one. Each is a letter: it keeps its record in its page and its
// body, and is neither ready nor held nor counted as being in the queue.
//
// Letters are numbered in the order of their deaths. The number, not the
// sequence, is what makes a letter recognisable where it goes: a message of long
// ago may die after one of today.
type outbox struct {
	last    uint64 // number given last
	letters []Letter
	bytes   uint64
}

// A Letter is a message in the outbox.
type Letter struct {
	Number uint64
	Seq    uint64
	At     int64 // log time of its death
	Why    Reason
}

// Post moves messages into the outbox, in the order of their sequences. It
// returns how many: r.N, or 0 if the run does not name exactly what is there.
func (l *Ledger) Post(r Run, why Reason, at int64) (n uint32) {
	c := l.counters.of(why)
	ln, p, lo, hi := l.locate(r)
	if p == nil {
		return 0
	}
	if l.out == nil {
		l.out = &outbox{}
	}
	if p.out == nil {
		p.out = new(bitmap)
	}
	for s := p.bits.nextIn(lo, hi); s < hi; s = p.bits.nextIn(s+1, hi) {
		l.out.last++
		l.out.letters = append(l.out.letters, Letter{Number: l.out.last, Seq: p.first() | uint64(s), At: at, Why: why})
		p.out.set(s)
	}
	p.outs += int(r.N)
	l.out.bytes += r.Bytes
	l.take(ln, p, lo, hi, r)
	l.touch(p)
	*c += uint64(r.N)
	return r.N
}

// Left removes letters that are where they were to go. The run names them by
// their numbers; it changes nothing unless it names exactly what is there.
func (l *Ledger) Left(r Run) (n uint32) {
	if l.out == nil || r.N == 0 {
		return 0
	}
	lo := l.out.find(r.Seq)
	hi := l.out.find(r.Seq + uint64(r.Span))
	if hi-lo != int(r.N) {
		return 0
	}
	if r.Bytes > l.out.bytes || hi-lo == len(l.out.letters) && r.Bytes != l.out.bytes {
		panic(fmt.Sprintf("queue: letters %+v are more or less than an outbox of %d bytes holds", r, l.out.bytes))
	}
	for _, x := range l.out.letters[lo:hi] {
		ln := l.lanes.at(PriorityOf(x.Seq))
		l.leave(ln, ln.page(PageOf(x.Seq)), int(x.Seq&slotMask))
	}
	l.out.remove(lo, hi)
	l.out.bytes -= r.Bytes
	l.changed = true
	return r.N
}

// leave takes one letter out of its page.
func (l *Ledger) leave(ln *lane, p *page, slot int) {
	p.out.unset(slot)
	if p.outs--; p.outs == 0 {
		p.out = nil
	}
	if p.empty() && p.full() {
		l.dropPage(ln, p)
	} else {
		l.touch(p)
	}
}

// find returns the place of the first letter with at least this number.
func (o *outbox) find(number uint64) int {
	// Mostly it is among the first.
	if len(o.letters) == 0 || number <= o.letters[0].Number {
		return 0
	}
	i, _ := slices.BinarySearchFunc(o.letters, number, func(x Letter, n uint64) int { return cmp.Compare(x.Number, n) })
	return i
}

func (o *outbox) remove(lo, hi int) {
	if lo == 0 {
		o.letters = o.letters[hi:]
	} else {
		o.letters = slices.Delete(o.letters, lo, hi)
	}
	if len(o.letters) == 0 {
		o.letters = nil
	}
}

// Outbox returns how much is in the outbox.
func (l *Ledger) Outbox() Amount {
	if l.out == nil {
		return Amount{}
	}
	return Amount{uint64(len(l.out.letters)), l.out.bytes}
}

// NextLetter returns the first letter with at least this number.
func (l *Ledger) NextLetter(number uint64) (Letter, bool) {
	if l.out == nil {
		return Letter{}, false
	}
	i := l.out.find(number)
	if i == len(l.out.letters) {
		return Letter{}, false
	}
	return l.out.letters[i], true
}

// LetterFloor is the number up to which every letter has left: what has a
// number above it may be sent again.
func (l *Ledger) LetterFloor() uint64 {
	switch {
	case l.out == nil:
		return 0
	case len(l.out.letters) == 0:
		return l.out.last
	}
	return l.out.letters[0].Number - 1
}

// LetterRecord returns the record of a letter by its sequence; hot is false
// when its page is cold or it is in the outbox no more.
func (l *Ledger) LetterRecord(seq uint64) (r Record, hot bool) {
	ln := l.lanes.at(PriorityOf(seq))
	if ln == nil {
		return r, false
	}
	p, slot := ln.page(PageOf(seq)), int(seq&slotMask)
	if p == nil || p.out == nil || !p.out.get(slot) || !p.has(slot) {
		return r, false
	}
	p.fill(slot, &r)
	return r, true
}

// kept returns what has a record in the page: its live messages and its letters.
func (p *page) kept() *bitmap {
	if p.out == nil {
		return p.bits
	}
	b := *p.bits
	for w := range b {
		b[w] |= p.out[w]
	}
	return &b
}

// empty reports whether the page holds neither a message nor a letter.
func (p *page) empty() bool { return p.live == 0 && p.outs == 0 }

// clearOutbox empties the outbox: the queue is deleted.
func (l *Ledger) clearOutbox() {
	if l.out == nil {
		return
	}
	for _, x := range l.out.letters {
		ln := l.lanes.at(PriorityOf(x.Seq))
		l.leave(ln, ln.page(PageOf(x.Seq)), int(x.Seq&slotMask))
	}
	l.out.letters, l.out.bytes = nil, 0
	l.changed = true
}

// openOutbox marks the letters in their pages, which were just restored.
func (l *Ledger) openOutbox() error {
	if l.out == nil {
		return nil
	}
	var marked []*page
	for _, x := range l.out.letters {
		p, slot := l.pageByID(PageOf(x.Seq)), int(x.Seq&slotMask)
		if p == nil || slot < p.lo || slot >= p.end || p.bits.get(slot) || p.out != nil && p.out.get(slot) {
			return fmt.Errorf("open queue: %w: letter %d is message %d, which is not kept", ErrDamaged, x.Number, x.Seq)
		}
		if p.out == nil {
			p.out = new(bitmap)
			marked = append(marked, p)
		}
		p.out.set(slot)
		p.outs++
	}
	for _, p := range marked {
		p.saved = p.kept()
	}
	return nil
}

func (o *outbox) digest(h uint64) uint64 {
	h = fold(h^o.last, o.bytes)
	for _, x := range o.letters {
		h = fold(h^x.Number, x.Seq)
		h = fold(h^uint64(x.At), uint64(x.Why))
	}
	return h
}

// append encodes the outbox: last, bytes, count, letters*{number seq why at}.
func (o *outbox) append(dst []byte) []byte {
	if o == nil {
		return appendUvarints(dst, 0, 0, 0)
	}
	dst = appendUvarints(dst, o.last, o.bytes, uint64(len(o.letters)))
	number := uint64(0)
	for _, x := range o.letters {
		dst = appendUvarints(dst, x.Number-number, uint64(PriorityOf(x.Seq)), x.Seq&seqMask, uint64(x.Why), uint64(x.At))
		number = x.Number
	}
	return dst
}

func (d *decoder) outbox() *outbox {
	o := &outbox{last: d.uvarint(), bytes: d.uvarint()}
	number := uint64(0)
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		step := d.uvarint()
		number += step
		x := Letter{Number: number, Seq: d.upTo(255)<<laneShift | d.upTo(seqMask), Why: Reason(d.upTo(uint64(reasons) - 1)), At: int64(d.uvarint())}
		if step == 0 || number > o.last || x.Why == 0 {
			d.fail("letter %d of %d", number, o.last)
		}
		o.letters = append(o.letters, x)
	}
	if o.last == 0 {
		return nil
	}
	return o
}
