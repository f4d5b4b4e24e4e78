package seglog

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/storage"
)

// A replay rebuilds the index from the held segments.
//
// Where a record's header is damaged, nobody can say whose it was. The hole
// then touches every group, unless the group's records after it go on with the
// ordinal after the last one before it.
type replay struct {
	log    *Log
	scan   *scanner
	groups map[uint64]*replayed
	holes  int    // places where records of unknown groups were lost
	lost   uint64 // entries known to be missing
	broken []brokenEntry
}

// A replayed group is a group and what is in doubt about it.
type replayed struct {
	g *group
	// based says that the first index is known; until then, and where it may
	// have changed in a hole, it is taken from the entries seen.
	based bool
	// holes is replay.holes at the group's last record.
	holes int
	// stateLost says that a HARDSTATE may be lost that no later one replaced.
	stateLost bool
	// open says that records were lost, and no entry seen since; below, that
	// entries below this index may be other than they should.
	open  bool
	below uint64
	gone  bool // more was lost than can be told
}

type brokenEntry struct {
	g     *group
	index uint64
	at    loc
}

// maxLost bounds how many entries known to be missing are kept as such. Beyond
// it their groups count as damaged, whatever comes.
const maxLost = 1 << 20

func (r *replay) run(d *directory) error {
	for i, s := range r.log.held {
		if s.file == nil {
			r.hole(&Damage{Segment: s.seq, Missing: true})
			continue
		}
		end, known := s.end, true
		if i+1 < len(r.log.held) {
			var next segmentHeader
			next, known = d.headers[s.seq+1]
			end = next.prevEnd
		}
		if err := r.segment(s, end, known); err != nil {
			return err
		}
		if !known && r.log.held[i+1].file != nil {
			r.hole(&Damage{Segment: s.seq, Offset: s.end, Length: s.filled - s.end})
		}
	}
	return nil
}

// segment replays one segment. Where its end is not known, because that stood
// in the next one's header, it ends with the first bad record, and what may
// have been behind it counts as lost.
func (r *replay) segment(s *segment, end int64, known bool) error {
	r.scan.reset(s, s.filled)
	if known && (end < segmentHeaderSize || end > max(s.filled, segmentHeaderSize)) {
		r.hole(&Damage{Segment: s.seq, Offset: s.filled, Length: end - s.filled})
		end = s.filled
	}
	if !known {
		end = s.filled
	}
	s.end = max(end, segmentHeaderSize)
	off := int64(segmentHeaderSize)
	for off < end {
		rec, vote, v, err := r.scan.next(off)
		if err != nil {
			return err
		}
		if v != bad && off+rec.size() > end {
			v = bad
		}
		if v == bad && !known {
			s.end = off
			return nil
		}
		if v == bad {
			next, err := r.scan.resync(off+recordAlign, end)
			if err != nil {
				return err
			}
			r.hole(&Damage{Segment: s.seq, Offset: off, Length: next - off})
			off = next
			continue
		}
		if err := r.record(&rec, off, vote, v); err != nil {
			return err
		}
		off += rec.size()
	}
	return nil
}

func (r *replay) hole(d *Damage) {
	r.holes++
	r.damage(d)
}

func (r *replay) damage(d *Damage) {
	if !d.Missing {
		d.File = segmentName(r.log.segment(d.Segment).slot)
	}
	r.log.damages = append(r.log.damages, d)
	r.log.opts.Logger.Error("acknowledged log data lost", "err", d)
}

// group returns the group of a record, and notes whether records before it
// were lost.
func (r *replay) group(rec *record) *replayed {
	rg := r.groups[rec.group]
	switch {
	case rec.ord&born != 0: // a new life
		if rg != nil {
			r.log.reset(rg.g, 0, 0)
		}
		rg = &replayed{g: newGroup(rec.group), based: true}
		r.groups[rec.group] = rg
	case rg == nil:
		rg = &replayed{g: newGroup(rec.group)}
		rg.stateLost, rg.open = r.holes > 0, r.holes > 0
		r.groups[rec.group] = rg
	case rec.ord != nextOrdinal(rg.g.ord):
		rg.stateLost, rg.open, rg.based = true, true, false
	}
	rg.g.ord, rg.g.born, rg.holes, rg.g.live = rec.ord, true, r.holes, true
	return rg
}

func (r *replay) record(rec *record, off int64, vote []byte, v verdict) error {
	if rec.kind == kindSynced {
		return nil
	}
	rg := r.group(rec)
	g := rg.g
	if v == badData {
		d := &Damage{Segment: rec.seq, Offset: off, Length: rec.size(), Known: true, Group: g.id}
		if rec.kind == kindEntry {
			d.Index = rec.index
		}
		r.damage(d)
	}
	switch rec.kind {
	case kindEntry:
		at := loc{term: rec.term, seq: rec.seq, off: uint32(off), len: rec.len}
		r.entry(rg, rec.index, at)
		if v == badData {
			r.broken = append(r.broken, brokenEntry{g: g, index: rec.index, at: at})
		}
	case kindHardState:
		g.hasHS, g.hsSeg, rg.stateLost = true, rec.seq, v == badData
		if v == good {
			g.state = hardStateOf(rec, vote)
		}
	case kindTruncate:
		r.truncate(rg, rec.index, rec.term)
		g.baseSeg = rec.seq
	case kindReset:
		r.reset(rg, rec)
	case kindDamaged:
		g.damaged, g.dmgSeg = true, rec.seq
	default:
		return fmt.Errorf("seglog: segment %d, offset %d: record of unknown kind %d", rec.seq, off, rec.kind)
	}
	return nil
}

func (r *replay) entry(rg *replayed, index uint64, at loc) {
	g, l := rg.g, r.log
	if rg.open {
		rg.open, rg.below = false, max(rg.below, index)
	}
	switch {
	case index < g.first && rg.based:
		return // given up already
	case !rg.based && (g.ents.n == 0 || index < g.first):
		l.cutFront(g, g.last())
		g.first = index
	case index > g.last() && !r.lose(rg, index-g.last()-1):
		l.cutFront(g, g.last())
		g.first, g.firstTerm = index, 0
	}
	for next := g.last() + 1; next < index; next++ {
		l.add(g, next, loc{})
	}
	l.add(g, index, at)
}

// lose accounts for n missing entries; false says that they are too many.
func (r *replay) lose(rg *replayed, n uint64) bool {
	if n > maxLost-r.lost {
		rg.gone = true
		return false
	}
	r.lost += n
	return true
}

// truncate sets the base of a group. Entries between the base and the first one
// seen may be missing and yet nobody's loss: their segments were given up
// because entries to come replaced them.
func (r *replay) truncate(rg *replayed, index, term uint64) {
	g := rg.g
	switch {
	case index+1 < g.first && !rg.based && g.ents.n > 0:
		r.rebase(rg, index, term)
	case index+1 >= g.first || !rg.based:
		r.log.truncate(g, index, term)
	}
	rg.based = true
}

func (r *replay) rebase(rg *replayed, index, term uint64) {
	g, l := rg.g, r.log
	missing := g.first - index - 1
	if !r.lose(rg, missing) {
		return
	}
	var seen []loc
	for i := range g.ents.n {
		seen = append(seen, *g.ents.at(i))
	}
	l.reset(g, index, term)
	for range missing {
		l.add(g, g.last()+1, loc{})
	}
	for _, at := range seen {
		l.add(g, g.last()+1, at)
	}
}

func (r *replay) reset(rg *replayed, rec *record) {
	g := rg.g
	r.log.reset(g, rec.index, rec.term)
	g.baseSeg = rec.seq
	rg.based, rg.open, rg.below, rg.gone = true, false, 0, false
	if rec.typ == resetDrop {
		delete(r.groups, rec.group)
	}
}

// finish decides which groups are whole, and makes them the log's.
func (r *replay) finish() {
	l := r.log
	broken := map[*group]bool{}
	for _, b := range r.broken {
		if b.index >= b.g.first && b.index <= b.g.last() && *b.g.loc(b.index) == b.at {
			broken[b.g] = true
		}
	}
	for id, rg := range r.groups {
		g := rg.g
		l.groups[id] = g
		g.tail, g.floor = g.last(), g.first-1
		if !g.damaged && (broken[g] || r.doubtful(rg)) {
			g.damaged = true
			l.w.damaged = append(l.w.damaged, g)
		}
		l.found = append(l.found, g.bounds())
	}
	slices.SortFunc(l.w.damaged, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(l.found, func(a, b storage.GroupState) int { return cmp.Compare(a.Group, b.Group) })
	for _, f := range l.found {
		if f.Damaged {
			l.opts.Logger.Error("group lost acknowledged log data", "group", f.Group,
				"first", f.First, "last", f.Last)
		}
	}
}

func (r *replay) doubtful(rg *replayed) bool {
	g := rg.g
	if rg.gone || rg.stateLost || rg.open || !rg.based || rg.below > g.first || rg.holes != r.holes {
		return true
	}
	for i := 0; r.lost > 0 && i < g.ents.n; i++ {
		if g.ents.at(i).seq == 0 {
			return true
		}
	}
	return false
}
