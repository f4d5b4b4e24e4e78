package seglog

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/storage"
)

// Limits of one read of a file: how many entries are looked up at once, how
// large a read of several entries may get, and how much of other groups'
// records may lie between them.
const (
	readEntries = 64
	readSpan    = 1 << 20
	readGap     = 512
)

// Bounds returns the group's bounds as its readers see them.
func (l *Log) Bounds(id uint64) (storage.GroupState, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.groups[id]
	if g == nil || !g.live {
		return storage.GroupState{}, false
	}
	return g.bounds(), true
}

// Term returns the term of an entry in [First-1, Last].
func (l *Log) Term(id, index uint64) (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.groups[id]
	switch {
	case g == nil || !g.live || index > g.last():
		return 0, storage.ErrUnavailable
	case index+1 < g.first:
		return 0, storage.ErrCompacted
	case index+1 == g.first:
		return g.firstTerm, nil
	}
	at := g.loc(index)
	if at.seq == 0 {
		return 0, lostEntry(id, index)
	}
	return at.term, nil
}

// Compact gives up the group's entries up to and including index; what lies
// beyond Last it leaves to the entries to come.
func (l *Log) Compact(id, index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[id]
	if g == nil || !g.live || index < g.first {
		return
	}
	index = min(index, g.last())
	if index < g.first {
		return
	}
	l.truncate(g, index, g.loc(index).term)
	if !g.truncated {
		g.truncated = true
		l.truncated = append(l.truncated, g)
	}
	signal(l.wake)
}

// Entries appends the entries [lo, hi) to dst, at least one, and more while
// their data is within maxBytes. What is not in memory is read and verified.
func (l *Log) Entries(dst []storage.Entry, id, lo, hi, maxBytes uint64) ([]storage.Entry, error) {
	var r read
	start := len(dst)
	left := maxBytes
	for lo < hi {
		err := l.lookup(&r, id, lo, hi)
		if err == nil {
			dst, err = r.fetch(l, dst, &left, len(dst) > start)
			r.unpin()
		}
		if err != nil {
			return dst[:start], err
		}
		if r.full {
			break
		}
		lo += uint64(r.n)
	}
	return dst, nil
}

// A read is a part of one call of Entries: entries that were looked up under
// the lock, whose segments are pinned until they were read without it.
type read struct {
	group uint64
	first uint64 // index of the first
	n     int
	locs  [readEntries]loc
	segs  [readEntries]*segment // nil: the entry is in memory
	ents  [readEntries]storage.Entry
	full  bool // maxBytes are reached
}

func (l *Log) lookup(r *read, id, lo, hi uint64) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g := l.groups[id]
	switch {
	case g == nil || !g.live || hi > g.last()+1:
		return storage.ErrUnavailable
	case lo < g.first:
		return storage.ErrCompacted
	}
	r.group, r.first, r.n = id, lo, int(min(hi-lo, readEntries))
	for i := range r.n {
		r.locs[i] = *g.loc(lo + uint64(i))
		e, ok := g.recent.get(lo + uint64(i))
		e.Term = r.locs[i].term
		r.ents[i], r.segs[i] = e, nil
		if !ok && r.locs[i].seq != 0 {
			r.segs[i] = l.segment(r.locs[i].seq)
			r.segs[i].refs.Add(1)
		}
	}
	return nil
}

func (r *read) unpin() {
	for _, s := range r.segs[:r.n] {
		if s != nil {
			s.refs.Add(-1)
		}
	}
}

// fetch appends the looked-up entries while they are within *left. The first
// of a call is taken however large.
func (r *read) fetch(l *Log, dst []storage.Entry, left *uint64, some bool) ([]storage.Entry, error) {
	n := 0
	for n < r.n && (uint64(r.locs[n].len) <= *left || n == 0 && !some) {
		*left -= min(*left, uint64(r.locs[n].len))
		n++
	}
	r.full = n < r.n
	for i := 0; i < n; {
		if r.segs[i] == nil {
			if r.locs[i].seq == 0 {
				return dst, lostEntry(r.group, r.first+uint64(i))
			}
			dst = append(dst, r.ents[i])
			i++
			continue
		}
		run := r.run(i, n)
		var err error
		if dst, err = r.readRun(l, dst, i, i+run); err != nil {
			return dst, err
		}
		i += run
	}
	return dst, nil
}

// run returns how many entries from i on, before n, one read of the file gets.
func (r *read) run(i, n int) int {
	k := i + 1
	for ; k < n; k++ {
		a, b := &r.locs[k-1], &r.locs[k]
		gap := int64(b.off) - int64(a.off) - a.size()
		span := int64(b.off) + b.size() - int64(r.locs[i].off)
		if r.segs[k] != r.segs[i] || gap < 0 || gap > readGap || span > readSpan {
			break
		}
	}
	return k - i
}

// readRun reads the entries [i, k), which lie close together, at once. Their
// data shares the memory that they were read into.
func (r *read) readRun(l *Log, dst []storage.Entry, i, k int) ([]storage.Entry, error) {
	s, base := r.segs[i], int64(r.locs[i].off)
	buf := make([]byte, int64(r.locs[k-1].off)+r.locs[k-1].size()-base)
	if n, err := s.file.ReadAt(buf, base); n < len(buf) {
		return dst, fmt.Errorf("seglog: reading group %d from segment %d at %d: %w", r.group, s.seq, base, err)
	}
	for ; i < k; i++ {
		at := &r.locs[i]
		e, ok := decodeEntry(buf[int64(at.off)-base:], l.salt, at)
		if !ok || e.Index != r.first+uint64(i) {
			d := &Damage{
				Segment: at.seq, File: segmentName(s.slot), Offset: int64(at.off), Length: at.size(),
				Group: r.group, Index: r.first + uint64(i), Known: true,
			}
			return dst, fmt.Errorf("seglog: %w", d)
		}
		dst = append(dst, e)
	}
	return dst, nil
}

// decodeEntry decodes and verifies the record at the beginning of b.
func decodeEntry(b []byte, salt uint32, at *loc) (storage.Entry, bool) {
	rec, ok := parseRecord(b, salt)
	if !ok || rec.kind != kindEntry || rec.seq != at.seq || rec.len != at.len || rec.term != at.term {
		return storage.Entry{}, false
	}
	end := recordHeaderSize + int(rec.len)
	data := b[recordHeaderSize:end:end]
	return storage.Entry{Index: rec.index, Term: rec.term, Kind: rec.typ, Data: data},
		checksum(0, data) == rec.dataCRC || plant.Is(plant.ChecksumNotVerified)
}

// Stats may be called from any goroutine.
func (l *Log) Stats() storage.LogStats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	st := storage.LogStats{Segments: len(l.held), Free: len(l.free), Syncs: l.syncs.Load(), Drains: l.drains, Logged: l.logged}
	for _, s := range l.held {
		st.Bytes += uint64(s.end - segmentHeaderSize)
	}
	if len(l.held) > 0 {
		st.OldestSize = uint64(l.held[0].end - segmentHeaderSize)
		st.OldestDead = st.OldestSize - uint64(l.held[0].live)
		st.SinceOldest = l.sinceOldest()
	}
	return st
}

// sinceOldest returns the bytes logged since the oldest entry that is needed.
func (l *Log) sinceOldest() (n uint64) {
	seq, off := l.oldestNeeded()
	if seq == 0 {
		return 0
	}
	for _, s := range l.held[seq-l.held[0].seq:] {
		n += uint64(s.end - segmentHeaderSize)
	}
	return n - uint64(off-segmentHeaderSize)
}

func (l *Log) oldestNeeded() (seq uint64, off uint32) {
	for _, g := range l.groups {
		if g.ents.n == 0 {
			continue
		}
		if at := g.ents.at(0); at.seq != 0 && (seq == 0 || at.seq < seq || at.seq == seq && at.off < off) {
			seq, off = at.seq, at.off
		}
	}
	return seq, off
}

// OldestGroups returns, in order, the groups that need entries of the oldest
// segment held.
func (l *Log) OldestGroups() []uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var ids []uint64
	for id, g := range l.groups {
		if g.ents.n > 0 && g.ents.at(0).seq == l.held[0].seq {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
