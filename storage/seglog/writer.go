package seglog

import (
	"encoding/binary"
	"fmt"

	"github.com/warrenmq/warren/storage"
)

// A writer is the state of Drain. Nobody else touches it.
type writer struct {
	active *segment // written to; nil until the first drain of this life
	end    int64    // where the next record goes
	logged uint64   // bytes of records of this life
	buf    []byte   // gathered and not yet written; belongs in front of end
	zeros  []byte
	vote   [voteSize]byte // scratch
	err    error          // the first failure of this drain

	syncedSeq uint64 // everything before this position was synced
	syncedOff int64
	dirty     bool // something was written since
	unmarked  bool // something was synced since the last SYNCED mark

	batch   []*storage.Append
	locs    []loc // of the batch's entries, in order
	waiting []func()
	cuts    []cut
	damaged []*group // whose DAMAGED record is still to be written
	carried []*group // scratch of carry

	lastActive int64
}

// A cut is a Compact to be recorded.
type cut struct {
	g           *group
	index, term uint64
}

// Drain writes everything queued with one gathered write and at most one sync
// (one more where it crosses into the next segment), publishes it to the
// readers, and then calls the Done functions of what is synced. It returns how
// many appends it wrote.
func (l *Log) Drain() int {
	w := &l.w
	keep := l.take()
	if l.broken.Load() {
		l.forget()
		return 0
	}
	if len(w.batch) == 0 && len(w.cuts) == 0 && keep == 0 {
		l.idle()
		return 0
	}
	w.lastActive = l.now.Load()
	mustSync := keep > 0
	l.mark(0)
	l.putDamaged()
	for _, c := range w.cuts {
		l.putTruncate(c.g, c.index, c.term)
	}
	l.carry(keep)
	for _, a := range w.batch {
		l.encode(a)
		mustSync = mustSync || !a.Lazy
	}
	if keep > 0 {
		l.mark(keep)
	}
	if !l.finish(mustSync) {
		l.forget()
		return 0
	}
	n := len(w.batch)
	l.publish(keep)
	l.done(mustSync)
	return n
}

// take moves the queue, and what Compact left to be recorded, to the writer.
// It returns the segment that may become the oldest held, or 0. One critical
// section for both: what a Compact frees must not go before it is recorded.
func (l *Log) take() (keep uint64) {
	w := &l.w
	l.queueMu.Lock()
	w.batch, l.queue = l.queue, w.batch[:0]
	l.queueMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.truncated {
		g.truncated = false
		g.floor = max(g.floor, g.first-1)
		if g.live {
			w.cuts = append(w.cuts, cut{g: g, index: g.first - 1, term: g.firstTerm})
		}
	}
	l.truncated = l.truncated[:0]
	return l.trimTarget()
}

// forget drops everything after a failure: it is unknown what of it is on disk.
func (l *Log) forget() {
	w := &l.w
	clear(w.batch)
	clear(w.waiting)
	w.batch, w.cuts, w.waiting, w.locs, w.buf = w.batch[:0], w.cuts[:0], w.waiting[:0], w.locs[:0], w.buf[:0]
}

// encode gathers an append's records. The index learns of them in publish.
func (l *Log) encode(a *storage.Append) {
	g := l.writerGroup(a.Group)
	if r := a.Reset; r != nil {
		l.putReset(g, r)
	}
	if len(a.Entries) > 0 && a.Entries[0].Index > g.tail+1 {
		panic(fmt.Sprintf("seglog: group %d: append at %d behind last index %d", g.id, a.Entries[0].Index, g.tail))
	}
	for i := range a.Entries {
		e := &a.Entries[i]
		if e.Index == 0 || e.Index > maxIndex || e.Index != a.Entries[0].Index+uint64(i) {
			panic(fmt.Sprintf("seglog: group %d: entry %d at position %d behind %d", g.id, e.Index, i, a.Entries[0].Index))
		}
		if e.Index <= g.floor { // given up already
			l.w.locs = append(l.w.locs, loc{})
			continue
		}
		r := record{kind: kindEntry, typ: e.Kind, group: g.id, index: e.Index, term: e.Term}
		l.w.locs = append(l.w.locs, l.put(g, &r, e.Data))
		g.tail = e.Index
	}
	if a.HasState {
		l.putState(g, a.State)
	}
	if a.Done != nil {
		l.w.waiting = append(l.w.waiting, a.Done)
	}
}

// writerGroup returns the group, which readers do not see before publish.
func (l *Log) writerGroup(id uint64) *group {
	l.mu.RLock()
	g := l.groups[id]
	l.mu.RUnlock()
	if g == nil {
		g = newGroup(id)
		l.mu.Lock()
		l.groups[id] = g
		l.mu.Unlock()
	}
	return g
}

func (l *Log) putReset(g *group, r *storage.Reset) {
	rec := record{kind: kindReset, group: g.id, index: r.Index, term: r.Term}
	if r.Drop {
		rec.typ, rec.index, rec.term = resetDrop, 0, 0
	}
	if newLife(r) && !r.Drop {
		g.born, g.hasHS = false, false
	}
	l.put(g, &rec, nil)
	g.tail, g.floor, g.baseSeg = rec.index, rec.index, rec.seq
	if r.Drop {
		// What follows is another life.
		g.born, g.hasHS, g.baseSeg = false, false, 0
	}
}

// newLife says that nothing of the group outlives the reset.
func newLife(r *storage.Reset) bool { return r.Drop || r.Index == 0 && r.Term == 0 }

func (l *Log) putTruncate(g *group, index, term uint64) {
	r := record{kind: kindTruncate, group: g.id, index: index, term: term}
	l.put(g, &r, nil)
	g.baseSeg = r.seq
}

func (l *Log) putState(g *group, hs storage.HardState) {
	r := record{kind: kindHardState, group: g.id, index: hs.Commit, term: hs.Term}
	binary.LittleEndian.PutUint64(l.w.vote[:], hs.Vote)
	l.put(g, &r, l.w.vote[:])
	g.hasHS, g.hsSeg = true, r.seq
}

// mark writes a SYNCED mark; oldest, if not 0, is the segment that becomes the
// oldest one held.
func (l *Log) mark(oldest uint64) {
	if oldest == 0 {
		oldest = l.oldest()
	}
	r := record{kind: kindSynced, group: l.w.syncedSeq, index: uint64(l.w.syncedOff), term: oldest}
	l.put(nil, &r, nil)
	l.w.unmarked = false
}

// publish makes the drain visible to the readers and gives up the segments
// before keep, if that is not 0.
func (l *Log) publish(keep uint64) {
	w := &l.w
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drains++
	l.logged = w.logged
	w.active.end = w.end
	locs := w.locs
	for _, a := range w.batch {
		locs = l.apply(a, locs)
	}
	for _, a := range w.batch {
		if g := l.groups[a.Group]; g != nil && !g.live {
			delete(l.groups, a.Group)
		}
	}
	l.release(keep)
	l.wantPrepare()
	if len(w.batch) > 0 && l.freeable() {
		signal(l.wake)
	}
	clear(w.batch)
	w.batch, w.cuts, w.locs = w.batch[:0], w.cuts[:0], w.locs[:0]
}

// apply performs an append on the index.
func (l *Log) apply(a *storage.Append, locs []loc) []loc {
	g := l.groups[a.Group]
	g.live = true
	if a.Reset != nil {
		l.applyReset(g, a.Reset)
	}
	for i := range a.Entries {
		if e := &a.Entries[i]; e.Index >= g.first && locs[i].seq != 0 {
			l.add(g, e.Index, locs[i])
			l.recent.add(g, e)
		}
	}
	if a.HasState {
		g.state = a.State
	}
	g.live = g.live || len(a.Entries) > 0 || a.HasState
	g.tail = g.last()
	return locs[len(a.Entries):]
}

func (l *Log) applyReset(g *group, r *storage.Reset) {
	if !newLife(r) {
		l.reset(g, r.Index, r.Term)
		return
	}
	l.reset(g, 0, 0)
	g.live, g.state, g.damaged = !r.Drop, storage.HardState{}, false
}

// done calls the Done functions once what they wait for is synced.
func (l *Log) done(synced bool) {
	w := &l.w
	if !synced || l.broken.Load() {
		return
	}
	for i, f := range w.waiting {
		w.waiting[i] = nil
		f()
	}
	w.waiting = w.waiting[:0]
}

// idle syncs what was left unsynced, and marks it, once nothing happened for
// Options.IdleMark.
func (l *Log) idle() {
	w := &l.w
	if !w.dirty && !w.unmarked || l.now.Load()-w.lastActive < int64(l.opts.IdleMark) {
		return
	}
	l.settle()
}

// settle syncs everything written and marks it as synced.
func (l *Log) settle() {
	w := &l.w
	if l.broken.Load() || w.active == nil || !w.dirty && !w.unmarked {
		return
	}
	if w.dirty && !l.finish(true) {
		l.forget()
		return
	}
	l.mark(0)
	if !l.finish(true) {
		l.forget()
		return
	}
	w.unmarked = false
	l.mu.Lock()
	w.active.end = w.end
	l.mu.Unlock()
	l.done(true)
}
