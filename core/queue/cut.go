package queue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/internal/plant"
)

// A Cut is a picture of what changed in one ledger since the last one. It
// shares memory with the ledger, which copies what it changes. Its methods may
// be used by one other goroutine until Saved or Abort.
//
// Write it in one batch: read what NeedsStored and Gone ask for, delete the
// keys of Gone, then set those of Pages and the queue record. A page may be in
// both.
type Cut struct {
	Round uint64
	Pages []PageCut // by id
	Gone  []GonePage

	changed bool
	state   queueState
}

// queueState is what the queue record holds.
type queueState struct {
	total    Amount
	counters Counters
	history  uint64
	lanes    []laneState
	tail     []byte // outbox and origins, encoded
	// What the tail is decoded to.
	out     *outbox
	origins *origins
}

type laneState struct {
	priority            uint8
	next, horizon, lost uint64
}

// A PageCut is a page that changed.
type PageCut struct {
	ID uint64

	round         uint64
	page          *page // only for Saved and Abort, on the owner's side
	bits, saved   *bitmap
	keep          *bitmap // bits, and the letters
	live          int
	bytes         uint64
	lo, base, end int
	listed        int
	recs          []record
	except        []exception
	soonest       int64
	fresh         bool // records were added since the last cut
}

// A GonePage was in the last checkpoint and has no live message any more.
type GonePage struct {
	ID   uint64
	dead *bitmap
}

// A BodyRef is a body that a message of the queue refers to.
type BodyRef struct {
	Seq   uint64
	Body  Body
	Flags uint8
}

// Cut records what changed since the last cut into out, which is reused. Its
// cost is proportional to the pages that changed, the outbox and the origins.
func (l *Ledger) Cut(round uint64, out *Cut) {
	out.Round = round
	out.Pages, out.Gone = out.Pages[:0], out.Gone[:0]
	slices.SortFunc(l.dirty, func(a, b *page) int { return cmp.Compare(a.id, b.id) })
	for i, p := range l.dirty {
		l.dirty[i] = nil
		p.dirty = 0
		if !p.empty() {
			if l.settings.Schedule {
				p.soonestNow()
			}
			out.Pages = append(out.Pages, p.cut(round))
			continue
		}
		// An open page without messages leaves nothing on disk.
		if p.stored {
			l.gone = append(l.gone, GonePage{ID: p.id, dead: p.saved})
			p.stored, p.saved = false, nil
		}
		p.lo, p.listed, p.durable = p.base, p.end, p.end
	}
	l.dirty = l.dirty[:0]
	out.Gone = append(out.Gone, l.gone...)
	clear(l.gone)
	l.gone = l.gone[:0]
	out.changed = l.changed
	l.changed = false
	out.state.total, out.state.counters, out.state.history = l.total, l.counters, l.history
	out.state.lanes = out.state.lanes[:0]
	for _, ln := range l.lanes {
		if ln.unused() {
			continue
		}
		out.state.lanes = append(out.state.lanes, laneState{ln.priority, ln.next, ln.horizon, ln.lost})
	}
	took := l.origins
	if plant.Is(plant.DedupNotInSnapshot) {
		took = nil
	}
	out.state.tail = took.append(l.out.append(out.state.tail[:0]))
}

func (p *page) cut(round uint64) PageCut {
	c := PageCut{
		ID: p.id, round: round, page: p,
		bits: p.bits, saved: p.saved, keep: p.kept(), live: p.live, bytes: p.bytes,
		lo: p.lo, base: p.base, end: p.end, listed: p.listed,
		recs: p.recs[:len(p.recs):len(p.recs)], except: p.except,
		soonest: p.soonest, fresh: p.listed < p.end,
	}
	p.bitsShared, p.exceptShared = true, true
	p.saved = c.keep
	p.stored, p.cutting = true, true
	p.listed = p.end
	return c
}

// Saved says that the cut is durable: its pages may be evicted.
func (l *Ledger) Saved(c *Cut) {
	for i := range c.Pages {
		pc := &c.Pages[i]
		if p := pc.page; p.id == pc.ID {
			p.cutting = false
			p.durable = max(p.durable, pc.end)
		}
	}
	c.release()
}

// Abort says that the cut will never be: the next one includes it.
func (l *Ledger) Abort(c *Cut) {
	l.changed = true
	l.gone = append(c.Gone, l.gone...)
	c.Gone = nil
	for i := range c.Pages {
		pc := &c.Pages[i]
		p := pc.page
		if l.pageByID(pc.ID) != p {
			l.abortGone(pc)
			continue
		}
		p.cutting = false
		p.listed, p.saved, p.stored = pc.listed, pc.saved, pc.saved != nil
		l.touch(p)
	}
	c.release()
}

// abortGone corrects what is known of a page that went after the cut: only what
// an earlier cut listed has a body to delete.
func (l *Ledger) abortGone(pc *PageCut) {
	for i := range l.gone {
		if g := &l.gone[i]; g.ID == pc.ID && g.dead == pc.keep {
			if pc.saved == nil {
				l.gone = slices.Delete(l.gone, i, i+1)
			} else {
				g.dead = pc.saved
			}
			return
		}
	}
}

func (c *Cut) release() {
	clear(c.Pages)
	clear(c.Gone)
	c.Pages, c.Gone = c.Pages[:0], c.Gone[:0]
}

// Changed reports whether there is anything to write.
func (c *Cut) Changed() bool { return c.changed || len(c.Pages) > 0 || len(c.Gone) > 0 }

// HasRecords reports whether the records value must be written too: messages
// came since the last cut. Otherwise the stored one still serves.
func (c *PageCut) HasRecords() bool { return c.fresh }

// NeedsStored reports whether AppendRecords or AppendDead need the page's
// records value of the last checkpoint, because a part of the page is cold.
func (c *PageCut) NeedsStored() bool {
	if c.base == c.lo || c.saved == nil {
		return false
	}
	if c.fresh && c.keep.next(c.lo) < c.base {
		return true
	}
	dead := c.saved.minus(c.keep)
	return dead.next(0) < c.base
}

// AppendNew lists the bodies that are kept and that no earlier cut listed: they
// must be copied out of the log.
func (c *PageCut) AppendNew(dst []BodyRef) []BodyRef {
	for s := c.keep.next(c.listed); s < PageSize; s = c.keep.next(s + 1) {
		dst = append(dst, c.ref(s, &c.recs[s-c.base]))
	}
	return dst
}

func (c *PageCut) ref(slot int, r *record) BodyRef {
	return BodyRef{Seq: c.ID<<pageShift | uint64(slot), Body: r.body, Flags: r.flags}
}

// AppendDead lists the bodies that an earlier cut listed and whose messages
// have died since. stored is needed if NeedsStored.
func (c *PageCut) AppendDead(dst []BodyRef, stored []byte) ([]BodyRef, error) {
	if c.saved == nil {
		return dst, nil
	}
	dead := c.saved.minus(c.keep)
	if dead.next(0) < c.base {
		cold := dead
		cold.clear(c.base, PageSize)
		var err error
		if dst, err = appendStored(dst, c.ID, &cold, stored); err != nil {
			return dst, err
		}
	}
	for s := dead.next(c.base); s < PageSize; s = dead.next(s + 1) {
		dst = append(dst, c.ref(s, &c.recs[s-c.base]))
	}
	return dst, nil
}

// AppendDead lists the bodies of the page, read from its stored records value.
func (g *GonePage) AppendDead(dst []BodyRef, stored []byte) ([]BodyRef, error) {
	return appendStored(dst, g.ID, g.dead, stored)
}

// appendStored lists the slots of want, all of which the stored value must have.
func appendStored(dst []BodyRef, id uint64, want *bitmap, stored []byte) ([]BodyRef, error) {
	left := want.count(0, PageSize)
	err := decodeRecords(stored, func(slot int, r record) error {
		if want.get(slot) {
			left--
			dst = append(dst, BodyRef{Seq: id<<pageShift | uint64(slot), Body: r.body, Flags: r.flags})
		}
		return nil
	})
	if err == nil && left != 0 {
		err = fmt.Errorf("%w: %d records are missing", ErrDamaged, left)
	}
	if err != nil {
		return dst, fmt.Errorf("bodies of page %d: %w", id, err)
	}
	return dst, nil
}
