package queue

import (
	"fmt"
	"iter"
)

// PageInfo describes one page.
type PageInfo struct {
	ID    uint64
	Live  Amount
	Out   int  // letters of the outbox
	Hot   bool // all records are in memory
	Clean bool // all records are in the last durable checkpoint: Evict takes it
}

// Pages yields the pages in order of their ids within a lane, the highest
// priority first.
func (l *Ledger) Pages() iter.Seq[PageInfo] {
	return func(yield func(PageInfo) bool) {
		for _, ln := range l.lanes {
			for _, p := range ln.pages {
				if !yield(PageInfo{ID: p.id, Live: Amount{uint64(p.live), p.bytes}, Out: p.outs, Hot: p.hot(), Clean: p.clean()}) {
					return
				}
			}
		}
	}
}

// clean reports whether every record in memory is durable elsewhere.
func (p *page) clean() bool { return p.stored && p.durable == p.end }

// HotPages counts the pages with records in memory.
func (l *Ledger) HotPages() int { return l.hot }

func (l *Ledger) pageByID(id uint64) *page {
	if ln := l.lanes.at(uint8(id >> (laneShift - pageShift))); ln != nil {
		return ln.page(id)
	}
	return nil
}

// Evict lets the records of a clean page go.
func (l *Ledger) Evict(page uint64) bool {
	p := l.pageByID(page)
	if p == nil || !p.clean() || p.base == p.end {
		return false
	}
	p.recs, p.base = nil, p.end
	l.hot--
	if l.soft != nil && l.soft.schedule != nil {
		l.soft.schedule.evicted(page)
	}
	return true
}

// Install brings back the records of a page from its checkpointed value.
// A page that is gone or hot by now stays as it is.
func (l *Ledger) Install(page uint64, records []byte) error {
	p := l.pageByID(page)
	if p == nil || p.hot() {
		return nil
	}
	recs := make([]record, p.end-p.lo)
	var have bitmap
	if err := decodeRecords(records, func(slot int, r record) error {
		if slot >= p.lo && slot < p.base {
			recs[slot-p.lo] = r
			have.set(slot)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("install page %d: %w", page, err)
	}
	if lost := p.kept().minus(&have); lost.next(0) < p.base {
		return fmt.Errorf("install page %d: %w: live slot %d has no record", page, ErrDamaged, lost.next(0))
	}
	if p.base == p.end {
		l.hot++
	}
	copy(recs[p.base-p.lo:], p.recs)
	p.recs, p.base = recs, p.lo
	return nil
}

// Trim gives back the memory an idle queue keeps for its next messages.
func (l *Ledger) Trim() {
	l.spare = nil
	for _, ln := range l.lanes {
		if p := ln.tail(); p != nil && p.empty() {
			l.dropPage(ln, p)
			l.spare = nil
		}
	}
}

func (l *Ledger) newPage(seq uint64) *page {
	p := l.spare
	if p == nil {
		p = &page{bits: new(bitmap)}
	}
	l.spare = nil
	p.reset(seq)
	return p
}

// dropPage takes an empty page out. Its memory serves the next page, unless a
// cut still reads it.
func (l *Ledger) dropPage(ln *lane, p *page) {
	ln.drop(p)
	l.clean(p)
	l.changed = true
	if p.base < p.end {
		l.hot--
	}
	if p.stored {
		l.gone = append(l.gone, GonePage{ID: p.id, dead: p.saved})
	}
	if l.soft != nil {
		l.soft.pageGone(ln, p)
	}
	if p.cutting || p.bitsShared || p.saved == p.bits {
		return // the owner of bits may be a cut or the list of gone pages
	}
	p.id = noPage
	l.spare = p
}

// noPage is the id of a page that is in no lane.
const noPage = ^uint64(0)

// touch notes that a page changed since the last cut.
func (l *Ledger) touch(p *page) {
	if p.dirty == 0 && !l.settings.Memory {
		l.dirty = append(l.dirty, p)
		p.dirty = len(l.dirty)
	}
}

// clean forgets that a page changed: a page that came and went between two cuts
// costs nothing.
func (l *Ledger) clean(p *page) {
	if p.dirty == 0 {
		return
	}
	last := l.dirty[len(l.dirty)-1]
	l.dirty[p.dirty-1] = last
	last.dirty = p.dirty
	l.dirty[len(l.dirty)-1] = nil
	l.dirty = l.dirty[:len(l.dirty)-1]
	p.dirty = 0
}
