package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// A preparer is the state of Prepare.
type preparer struct {
	filling *segment // being zero-filled
	zeros   []byte
	// full is the last segment at the time when the disk was full; until the
	// next one Prepare does not try again. Guarded by Log.mu.
	full uint64
	// least is how few segments were free since the time from, surplus how many
	// of those free now are not waited for any more. Guarded by Log.mu.
	least   int
	from    time.Duration
	surplus int
}

// oldest returns the sequence of the oldest segment held; 1 before the first.
func (l *Log) oldest() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.held) == 0 {
		return 1
	}
	return l.held[0].seq
}

// freeable says that no group needs an entry of the oldest segment; l.mu is
// held. The last segment is never given up.
func (l *Log) freeable() bool { return len(l.held) > 1 && l.held[0].live == 0 }

// trimTarget returns the oldest segment still needed, if it is another than
// the oldest held, else 0; l.mu is held.
func (l *Log) trimTarget() uint64 {
	if !l.freeable() {
		return 0
	}
	for _, s := range l.held {
		if s.live > 0 {
			return s.seq
		}
	}
	return l.lastHeld().seq
}

// carry logs again what only segments before keep say of a group: its base,
// its state and its damage.
func (l *Log) carry(keep uint64) {
	if keep == 0 {
		return
	}
	groups := l.w.carried[:0]
	l.mu.RLock()
	for _, g := range l.groups {
		if g.live && (g.baseSeg < keep || g.hasHS && g.hsSeg < keep || g.damaged && g.dmgSeg < keep) {
			groups = append(groups, g)
		}
	}
	l.mu.RUnlock()
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	for _, g := range groups {
		l.mu.RLock()
		b := g.bounds()
		l.mu.RUnlock()
		if g.baseSeg < keep {
			l.putTruncate(g, b.First-1, b.FirstTerm)
		}
		if g.hasHS && g.hsSeg < keep {
			l.putState(g, b.State)
		}
		if b.Damaged && g.dmgSeg < keep {
			l.putDamage(g)
		}
	}
	clear(groups)
	l.w.carried = groups[:0]
}

// putDamaged logs, in the first drain after a recovery that found damage, which
// groups it touched: a later recovery would see their new records, which are
// built upon the loss, and take them for whole.
func (l *Log) putDamaged() {
	for _, g := range l.w.damaged {
		l.putDamage(g)
	}
	l.w.damaged = nil
}

func (l *Log) putDamage(g *group) {
	r := record{kind: kindDamaged, group: g.id}
	l.put(g, &r, nil)
	g.dmgSeg = r.seq
}

// release gives up the segments before keep; l.mu is held. What they held is
// synced elsewhere by now.
func (l *Log) release(keep uint64) {
	n := 0
	for keep > 0 && l.held[n].seq < keep {
		if s := l.held[n]; s.file != nil {
			l.free = append(l.free, s)
		}
		n++
	}
	if n > 0 {
		l.held = slices.Delete(l.held, 0, n)
	}
}

// wantPrepare wakes Prepare if there is work for it; l.mu is held.
func (l *Log) wantPrepare() {
	if l.excess() >= 0 || l.wantAhead() {
		signal(l.prepareWake)
	}
}

// rested ends a period of FreeRest: what was free for all of it is not needed.
// l.mu is held.
func (l *Log) rested(now time.Duration) {
	p := &l.p
	if now-p.from < l.opts.FreeRest {
		return
	}
	p.surplus = p.least
	p.from, p.least = now, len(l.free)
	l.wantPrepare()
}

// Shrink has all segments beyond Options.MaxFree deleted that nobody needs, without
// waiting for them to be used again: somebody else needs the space.
func (l *Log) Shrink() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.p.surplus = len(l.free)
	l.wantPrepare()
}

// wantAhead says that the last segment is half full and none is ready to
// follow it; l.mu is held.
func (l *Log) wantAhead() bool {
	last := l.lastHeld()
	return last != nil && last.end > l.opts.SegmentSize/2 && len(l.free) == 0 && last.seq != l.p.full
}

// Prepare takes one step of the work that is done ahead of need: it removes a
// file beyond Options.MaxFree, or zero-fills a part of the next segment. It
// reports whether there may be more to do.
func (l *Log) Prepare() bool {
	if l.broken.Load() {
		return false
	}
	if s := l.takeExcess(); s != nil {
		if err := l.removeSegment(s); err != nil {
			l.fatal(err)
			return false
		}
		return true
	}
	l.mu.Lock()
	ahead := l.wantAhead()
	slot := 0
	if ahead && l.p.filling == nil {
		slot = l.takeSlot()
	}
	l.mu.Unlock()
	if l.p.filling == nil && !ahead {
		return false
	}
	err := l.prepareStep(slot)
	if errors.Is(err, syscall.ENOSPC) {
		// Not fatal here: the writer may never need the segment.
		l.opts.Logger.Warn("no space to prepare a log segment", "err", err)
		l.mu.Lock()
		l.p.full = l.lastHeld().seq
		l.mu.Unlock()
		if err = l.abandon(); err == nil {
			return false
		}
	}
	if err != nil {
		l.fatal(err)
		return false
	}
	return true
}

// prepareStep creates the file, or fills and syncs one step of it: small steps,
// since the writer's sync may have to wait for them.
func (l *Log) prepareStep(slot int) error {
	if l.p.filling == nil {
		s, err := l.opts.createSegment(slot)
		if err != nil {
			return err
		}
		l.p.filling = s
	}
	if l.p.zeros == nil {
		l.p.zeros = make([]byte, fillStep/4)
	}
	s := l.p.filling
	if err := s.fill(min(l.opts.SegmentSize, s.filled+fillStep), l.p.zeros); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	if s.filled >= l.opts.SegmentSize {
		l.p.filling, l.p.zeros = nil, nil
		l.mu.Lock()
		l.free = append(l.free, s)
		l.mu.Unlock()
	}
	return nil
}

func (l *Log) abandon() error {
	s := l.p.filling
	l.p.filling = nil
	if s == nil {
		return nil
	}
	return l.removeSegment(s)
}

// takeExcess returns a free file to be removed, or nil.
func (l *Log) takeExcess() *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.excess()
	if i < 0 {
		return nil
	}
	s := l.free[i]
	l.unfree(i)
	l.p.surplus--
	return s
}

// excess returns which of the free files is to be removed, or -1: one too many, or
// one that was made for an oversized record. l.mu is held.
func (l *Log) excess() int {
	many := len(l.free) > l.opts.MaxFree && (l.p.surplus > 0 || l.opts.FreeRest < 0)
	return slices.IndexFunc(l.free, func(s *segment) bool {
		return s.refs.Load() == 0 && (many || s.filled > l.opts.SegmentSize)
	})
}

// unfree takes a file from those free; l.mu is held.
func (l *Log) unfree(i int) {
	l.free = slices.Delete(l.free, i, i+1)
	l.p.least = min(l.p.least, len(l.free))
}

func (l *Log) removeSegment(s *segment) error {
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("seglog: closing file %d: %w", s.slot, err)
	}
	name := l.opts.FS.PathJoin(l.opts.Dir, segmentName(s.slot))
	if err := l.opts.FS.Remove(name); err != nil {
		return fmt.Errorf("seglog: removing a segment: %w", err)
	}
	return nil
}
