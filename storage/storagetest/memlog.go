package storagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/warrenmq/warren/storage"
)

// MemLog is a storage.LogStore in memory. It keeps three things apart: what was
// submitted, what was written (readers see it) and what was synced (a crash
// keeps it). Drain does all three steps; Write and Sync do them one by one, so
// that a test can crash in between. It starts no goroutine, reads no clock and
// draws no random number by itself: the same calls give the same log.
type MemLog struct {
	mu struct {
		sync.Mutex
		queue    []*storage.Append
		compacts []compaction
		// written since the last sync, in order
		tail   []record
		done   []func() // of the appends in tail that wait for the sync
		dirty  bool     // something in tail asks for a sync
		disk   disk     // what was synced
		page   disk     // what was written
		stats  storage.LogStats
		closed bool
	}
	wake chan struct{} // one slot: Submit tells Run
	note func()        // called by Submit, outside the lock; may be nil
}

type compaction struct{ group, index uint64 }

// record is one step of the log: an append or a compaction.
type record struct {
	append  *storage.Append
	compact compaction
}

// NewMemLog returns an empty log.
func NewMemLog() *MemLog {
	m := &MemLog{wake: make(chan struct{}, 1)}
	m.mu.disk = disk{}
	m.mu.page = disk{}
	return m
}

// OnSubmit makes the log call f after each Submit and Compact, so that a
// simulator knows that there is something to drain.
func (m *MemLog) OnSubmit(f func()) { m.note = f }

// Groups implements storage.LogStore.
func (m *MemLog) Groups() []storage.GroupState {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []storage.GroupState
	for _, id := range m.mu.page.ids() {
		out = append(out, m.mu.page[id].state(id))
	}
	return out
}

// Submit implements storage.LogStore.
func (m *MemLog) Submit(a *storage.Append) {
	m.mu.Lock()
	m.mu.queue = append(m.mu.queue, a)
	m.mu.Unlock()
	m.notify()
}

// Compact implements storage.LogStore.
func (m *MemLog) Compact(group, index uint64) {
	m.mu.Lock()
	m.mu.compacts = append(m.mu.compacts, compaction{group, index})
	m.mu.Unlock()
	m.notify()
}

func (m *MemLog) notify() {
	if m.note != nil {
		m.note()
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Pending reports whether something waits to be written or synced.
func (m *MemLog) Pending() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.queue) > 0 || len(m.mu.compacts) > 0 || m.mu.dirty
}

// Unsynced reports whether something written waits for a sync.
func (m *MemLog) Unsynced() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.dirty
}

// Drain implements storage.LogStore.
func (m *MemLog) Drain() int {
	n := m.Write()
	m.Sync()
	return n
}

// Write writes everything queued: readers see it from now on, a crash may lose
// it. It returns how many appends it wrote.
func (m *MemLog) Write() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.mu.queue)
	for _, a := range m.mu.queue {
		m.mu.page.apply(record{append: a})
		m.mu.tail = append(m.mu.tail, record{append: a})
		if a.Done != nil {
			m.mu.done = append(m.mu.done, a.Done)
		}
		if !a.Lazy {
			m.mu.dirty = true
		}
		for _, e := range a.Entries {
			m.mu.stats.Bytes += uint64(len(e.Data))
			m.mu.stats.Logged += uint64(len(e.Data))
		}
	}
	for _, c := range m.mu.compacts {
		m.mu.page.apply(record{compact: c})
		m.mu.tail = append(m.mu.tail, record{compact: c})
	}
	clear(m.mu.queue)
	m.mu.queue, m.mu.compacts = m.mu.queue[:0], m.mu.compacts[:0]
	if n > 0 {
		m.mu.stats.Drains++
	}
	return n
}

// Sync makes what was written survive a crash and calls the Done functions.
// It does nothing when only lazy appends were written.
func (m *MemLog) Sync() {
	m.mu.Lock()
	if !m.mu.dirty {
		m.mu.Unlock()
		return
	}
	for _, r := range m.mu.tail {
		m.mu.disk.apply(r)
	}
	clear(m.mu.tail)
	m.mu.tail, m.mu.dirty = m.mu.tail[:0], false
	m.mu.stats.Syncs++
	done := m.mu.done
	m.mu.done = nil
	m.mu.Unlock()
	for _, f := range done {
		f()
	}
}

// Run implements storage.LogStore.
func (m *MemLog) Run(stop <-chan struct{}) {
	for {
		select {
		case <-m.wake:
			m.Drain()
		case <-stop:
			for m.Pending() {
				m.Drain()
			}
			return
		}
	}
}

// Crash returns the log as a restart finds it: everything synced, and of what
// was written but not synced as many leading records as r says, a record being
// kept whole or not at all. A nil r keeps none. The old log is dead: it calls
// no Done any more.
func (m *MemLog) Crash(r *rand.Rand) *MemLog {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := NewMemLog()
	n.mu.disk = m.mu.disk.clone()
	if r != nil && len(m.mu.tail) > 0 {
		for _, rec := range m.mu.tail[:r.IntN(len(m.mu.tail)+1)] {
			n.mu.disk.apply(rec)
		}
	}
	n.mu.page = n.mu.disk.clone()
	m.mu.queue, m.mu.compacts, m.mu.tail, m.mu.done = nil, nil, nil, nil
	m.mu.dirty, m.mu.closed = false, true
	return n
}

// Damage marks a group as recovery does when a hole touches it.
func (m *MemLog) Damage(group uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range []disk{m.mu.disk, m.mu.page} {
		if g := d[group]; g != nil {
			g.damaged = true
		}
	}
}

// Synced returns what a crash right now would keep for certain. The entries
// are valid until the log is used again.
func (m *MemLog) Synced(group uint64) (storage.GroupState, []storage.Entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.mu.disk[group]
	if g == nil {
		return storage.GroupState{}, nil, false
	}
	return g.state(group), g.ents, true
}

// Bounds implements storage.LogStore.
func (m *MemLog) Bounds(group uint64) (storage.GroupState, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.mu.page[group]
	if g == nil {
		return storage.GroupState{}, false
	}
	return g.state(group), true
}

// Term implements storage.LogStore.
func (m *MemLog) Term(group, index uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.mu.page[group]
	switch {
	case g == nil:
		return 0, storage.ErrUnavailable
	case index < g.index:
		return 0, storage.ErrCompacted
	case index == g.index:
		return g.term, nil
	case index > g.last():
		return 0, storage.ErrUnavailable
	}
	return g.ents[index-g.index-1].Term, nil
}

// Entries implements storage.LogStore.
func (m *MemLog) Entries(dst []storage.Entry, group, lo, hi, maxBytes uint64) ([]storage.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.mu.page[group]
	switch {
	case g == nil:
		return dst, storage.ErrUnavailable
	case lo <= g.index:
		return dst, storage.ErrCompacted
	case hi > g.last()+1:
		return dst, storage.ErrUnavailable
	}
	var size uint64
	for i, e := range g.ents[lo-g.index-1 : hi-g.index-1] {
		if size += uint64(len(e.Data)); i > 0 && size > maxBytes {
			break
		}
		dst = append(dst, e)
	}
	return dst, nil
}

// Stats implements storage.LogStore.
func (m *MemLog) Stats() storage.LogStats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.stats
}

// OldestGroups implements storage.LogStore: there are no segments in memory.
func (m *MemLog) OldestGroups() []uint64 { return nil }

// Close implements storage.LogStore.
func (m *MemLog) Close() error { return nil }

// disk is the content of the log: what each group holds.
type disk map[uint64]*memGroup

// memGroup is one group's log behind (index, term).
type memGroup struct {
	index, term uint64
	ents        []storage.Entry
	hard        storage.HardState
	damaged     bool
}

func (d disk) ids() []uint64 {
	ids := make([]uint64, 0, len(d))
	for id := range d {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (d disk) clone() disk {
	c := make(disk, len(d))
	for id, g := range d {
		n := *g
		n.ents = slices.Clone(g.ents)
		c[id] = &n
	}
	return c
}

// apply performs one record in the order the seam demands.
func (d disk) apply(r record) {
	if r.append == nil {
		if g := d[r.compact.group]; g != nil {
			g.compact(r.compact.index)
		}
		return
	}
	a := r.append
	if a.Reset != nil {
		if a.Reset.Drop {
			delete(d, a.Group)
			return
		}
		g := &memGroup{index: a.Reset.Index, term: a.Reset.Term}
		if old := d[a.Group]; old != nil && *a.Reset != (storage.Reset{}) {
			g.hard = old.hard
		}
		d[a.Group] = g
	}
	g := d[a.Group]
	if g == nil {
		panic(fmt.Sprintf("storagetest: append to group %d, which was never started", a.Group))
	}
	g.append(a.Group, a.Entries)
	if a.HasState {
		g.hard = a.State
	}
}

func (g *memGroup) last() uint64 { return g.index + uint64(len(g.ents)) }

func (g *memGroup) state(id uint64) storage.GroupState {
	return storage.GroupState{
		Group: id, State: g.hard, First: g.index + 1, FirstTerm: g.term, Last: g.last(), Damaged: g.damaged,
	}
}

func (g *memGroup) append(id uint64, ents []storage.Entry) {
	if len(ents) == 0 {
		return
	}
	at := ents[0].Index
	if at <= g.index || at > g.last()+1 {
		panic(fmt.Sprintf("storagetest: group %d: append at %d leaves a hole: log is (%d, %d]", id, at, g.index, g.last()))
	}
	for i, e := range ents {
		if e.Index != at+uint64(i) {
			panic(fmt.Sprintf("storagetest: group %d: entry %d where %d belongs", id, e.Index, at+uint64(i)))
		}
	}
	keep := at - g.index - 1
	g.ents = append(g.ents[:keep], ents...)
}

func (g *memGroup) compact(index uint64) {
	if index <= g.index {
		return
	}
	if index > g.last() {
		panic(fmt.Sprintf("storagetest: compact to %d, beyond the last entry %d", index, g.last()))
	}
	n := index - g.index
	g.term = g.ents[n-1].Term
	g.ents = slices.Clone(g.ents[n:])
	g.index = index
}

var _ storage.LogStore = (*MemLog)(nil)
