package storagetest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/warrenmq/warren/storage"
)

// A logDriver sends a log random operations, from a seed, and knows at every
// moment what the log owes: what it called Done for, and nothing that was never
// submitted.
type logDriver struct {
	rng     *rand.Rand
	log     storage.LogStore
	acked   logModel          // appends that are Done; entries are never compacted
	pending []*storage.Append // submitted, not Done
	heads   logModel          // acked + pending
	first   map[uint64]uint64 // what Compact was told, plus one
	term    uint64
	now     time.Duration
}

func newLogDriver(rng *rand.Rand, log storage.LogStore) *logDriver {
	return &logDriver{rng: rng, log: log, acked: logModel{}, heads: logModel{}, first: map[uint64]uint64{}, term: 1}
}

// step performs one operation.
func (d *logDriver) step() {
	switch n := d.rng.IntN(20); {
	case n < 8:
		d.submit()
	case n < 15:
		d.log.Drain()
	case n < 17:
		d.compact()
	case n < 19:
		if p, ok := d.log.(preparer); ok {
			for range d.rng.IntN(4) {
				p.Prepare()
			}
		}
	default:
		if t, ok := d.log.(ticker); ok {
			d.now += 700 * time.Millisecond
			t.Tick(d.now)
			d.log.Drain()
		}
	}
}

func (d *logDriver) submit() {
	a := &storage.Append{Group: 1 + d.rng.Uint64N(modelGroups)}
	last, low := uint64(0), uint64(0)
	if g := d.heads[a.Group]; g != nil {
		last, low = g.last(), g.base
	}
	if first := d.first[a.Group]; first > 0 && !d.resetPending(a.Group) {
		low = max(low, first-1)
	}
	switch d.rng.IntN(30) {
	case 0:
		a.Reset = &storage.Reset{Drop: true}
		last, low = 0, 0
	case 1:
		at := last + d.rng.Uint64N(10)
		a.Reset = &storage.Reset{Index: at, Term: d.term}
		if d.rng.IntN(3) == 0 {
			at = 0
			a.Reset = &storage.Reset{}
		}
		last, low = at, at
	}
	if d.rng.IntN(4) > 0 {
		first := last + 1
		if d.rng.IntN(4) == 0 && last > low {
			d.term++
			first = low + 1 + d.rng.Uint64N(last-low)
		}
		sizes := []int{0, 10, 100, 100, 500, 2000, 5000}
		a.Entries = entries(a.Group, first, first+d.rng.Uint64N(4), d.term, sizes[d.rng.IntN(len(sizes))])
	}
	if a.Reset == nil && a.Entries == nil || d.rng.IntN(3) == 0 {
		a.HasState, a.State = true, storage.HardState{Term: d.term, Vote: d.rng.Uint64N(4), Commit: d.rng.Uint64N(last + 1)}
		a.Lazy = a.Reset == nil && a.Entries == nil && d.rng.IntN(2) == 0
	}
	d.enqueue(a)
}

func (d *logDriver) enqueue(a *storage.Append) {
	d.heads.apply(a)
	d.pending = append(d.pending, a)
	a.Done = func() { d.done(a) }
	d.log.Submit(a)
}

func (d *logDriver) lastOf(id uint64) uint64 {
	if g := d.heads[id]; g != nil {
		return g.last()
	}
	return 0
}

// settle makes the log write and sync everything.
func (d *logDriver) settle() {
	a := &storage.Append{Group: 1, HasState: true}
	if g := d.heads[1]; g != nil {
		a.State = g.state
	}
	d.enqueue(a)
	d.log.Drain()
}

func (d *logDriver) resetPending(id uint64) bool {
	for _, p := range d.pending {
		if p.Group == id && p.Reset != nil {
			return true
		}
	}
	return false
}

// done says that the log owes the append from now on.
func (d *logDriver) done(a *storage.Append) {
	for i, p := range d.pending {
		if p == a {
			d.pending = append(d.pending[:i:i], d.pending[i+1:]...)
			d.acked.apply(a)
			if a.Reset != nil {
				delete(d.first, a.Group)
			}
			return
		}
		if p.Group == a.Group {
			panic(fmt.Sprintf("group %d: Done out of order", a.Group))
		}
	}
	panic("Done called twice")
}

// compact gives up entries of one group, or all of all, where nothing is
// pending.
func (d *logDriver) compact() {
	if d.rng.IntN(3) > 0 {
		d.compactGroup(1+d.rng.Uint64N(modelGroups), false)
		return
	}
	for id := uint64(1); id <= modelGroups; id++ {
		d.compactGroup(id, true)
	}
}

func (d *logDriver) compactGroup(id uint64, all bool) {
	for _, p := range d.pending {
		if p.Group == id {
			return
		}
	}
	b, ok := d.log.Bounds(id)
	if !ok || b.Last < b.First {
		return
	}
	index := b.Last
	if !all {
		index = b.First + d.rng.Uint64N(b.Last-b.First+1)
	}
	d.first[id] = index + 1
	d.log.Compact(id, index)
}

// check says whether a recovered log holds what it owes, and nothing else.
func (d *logDriver) check(log storage.LogStore) error {
	found := map[uint64]storage.GroupState{}
	for _, g := range log.Groups() {
		if b, ok := log.Bounds(g.Group); !ok || b != g {
			return fmt.Errorf("Groups says %+v, Bounds %+v", g, b)
		}
		if g.Damaged {
			return fmt.Errorf("group %d is said to be damaged", g.Group)
		}
		found[g.Group] = g
	}
	for id := uint64(1); id <= modelGroups; id++ {
		if err := d.checkGroup(log, id, found); err != nil {
			return err
		}
		delete(found, id)
	}
	if len(found) > 0 {
		return fmt.Errorf("groups that never were: %v", found)
	}
	return nil
}

// checkGroup compares a group with what it was when it was last Done, and with
// what it would be after each further record of what is pending.
func (d *logDriver) checkGroup(log storage.LogStore, id uint64, found map[uint64]storage.GroupState) error {
	m := logModel{}
	if g := d.acked[id]; g != nil {
		m[id] = &modelGroup{base: g.base, baseTerm: g.baseTerm, ents: g.ents[:len(g.ents):len(g.ents)], state: g.state}
	}
	var whys []error
	try := func() bool {
		err := d.compare(log, m[id], id, found)
		whys = append(whys, err)
		return err == nil
	}
	if try() {
		return nil
	}
	for _, p := range d.pending {
		if p.Group != id {
			continue
		}
		for _, part := range parts(p) {
			m.apply(part)
			if try() {
				return nil
			}
		}
	}
	return fmt.Errorf("group %d is in none of %d states it may be in: %v", id, len(whys), whys)
}

// parts cuts an append into its records.
func parts(a *storage.Append) (ps []*storage.Append) {
	if a.Reset != nil {
		ps = append(ps, &storage.Append{Group: a.Group, Reset: a.Reset})
	}
	for i := range a.Entries {
		ps = append(ps, &storage.Append{Group: a.Group, Entries: a.Entries[i : i+1]})
	}
	if a.HasState {
		ps = append(ps, &storage.Append{Group: a.Group, State: a.State, HasState: true})
	}
	return ps
}

func (d *logDriver) compare(log storage.LogStore, want *modelGroup, id uint64, found map[uint64]storage.GroupState) error {
	got, ok := found[id]
	if want == nil || !ok {
		if want == nil && !ok {
			return nil
		}
		return fmt.Errorf("there %v, should be %v", ok, want != nil)
	}
	if got.State != want.state || got.Last != want.last() {
		return fmt.Errorf("%+v, want last %d, state %+v", got, want.last(), want.state)
	}
	if got.First <= want.base || got.First > max(want.base+1, d.first[id]) {
		return fmt.Errorf("%+v, begins at %d, given up below %d", got, want.base+1, d.first[id])
	}
	term := want.baseTerm
	if i := got.First - want.base; i > 1 {
		term = want.ents[i-2].Term
	}
	if got.FirstTerm != term {
		return fmt.Errorf("%+v, want term %d before first", got, term)
	}
	es, err := log.Entries(nil, id, got.First, got.Last+1, math.MaxUint64)
	if err != nil {
		return err
	}
	for i, w := range want.ents[got.First-want.base-1:] {
		e := es[i]
		if e.Index != w.Index || e.Term != w.Term || e.Kind != w.Kind || !bytes.Equal(e.Data, w.Data) {
			return fmt.Errorf("entry %d/%d (%d bytes), want %d/%d (%d bytes)", e.Index, e.Term, len(e.Data), w.Index, w.Term, len(w.Data))
		}
	}
	return nil
}
