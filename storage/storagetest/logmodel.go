package storagetest

import (
	"bytes"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/storage"
)

// A logModel is the log as one would write it without a disk.
type logModel map[uint64]*modelGroup

type modelGroup struct {
	base, baseTerm uint64
	ents           []storage.Entry
	state          storage.HardState
}

func (g *modelGroup) last() uint64 { return g.base + uint64(len(g.ents)) }

func (m logModel) clone() logModel {
	c := logModel{}
	for id, g := range m {
		cg := *g
		cg.ents = append([]storage.Entry(nil), g.ents...)
		c[id] = &cg
	}
	return c
}

func (m logModel) group(id uint64) *modelGroup {
	if m[id] == nil {
		m[id] = &modelGroup{}
	}
	return m[id]
}

func (m logModel) apply(a *storage.Append) {
	if r := a.Reset; r != nil {
		if r.Drop {
			delete(m, a.Group)
		} else {
			g := m.group(a.Group)
			g.base, g.baseTerm, g.ents = r.Index, r.Term, nil
			if r.Index == 0 && r.Term == 0 { // a new group
				g.state = storage.HardState{}
			}
		}
		if r.Drop && len(a.Entries) == 0 && !a.HasState {
			return
		}
	}
	g := m.group(a.Group)
	for _, e := range a.Entries {
		if e.Index > g.base {
			g.ents = append(g.ents[:e.Index-g.base-1:e.Index-g.base-1], e)
		}
	}
	if a.HasState {
		g.state = a.State
	}
}

func (m logModel) compact(id, index uint64) {
	if g := m[id]; g != nil && index > g.base && len(g.ents) > 0 {
		n := min(index, g.last()) - g.base
		g.baseTerm = g.ents[n-1].Term
		g.ents = g.ents[n:]
		g.base += n
	}
}

// fataler is what testing.T and rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check compares a log with the model.
func (m logModel) check(t fataler, log storage.LogStore) {
	t.Helper()
	for id, g := range m {
		b, ok := log.Bounds(id)
		want := storage.GroupState{Group: id, State: g.state, First: g.base + 1, FirstTerm: g.baseTerm, Last: g.last()}
		if !ok || b != want {
			t.Fatalf("bounds %+v, %v, want %+v", b, ok, want)
		}
		if term, err := log.Term(id, g.base); err != nil || term != g.baseTerm {
			t.Fatalf("group %d: term of %d: %d, %v, want %d", id, g.base, term, err, g.baseTerm)
		}
		got, err := log.Entries(nil, id, g.base+1, g.last()+1, math.MaxUint64)
		if err != nil || len(got) != len(g.ents) {
			t.Fatalf("group %d: %d entries, %v, want %d", id, len(got), err, len(g.ents))
		}
		for i, e := range got {
			if w := g.ents[i]; e.Index != w.Index || e.Term != w.Term || e.Kind != w.Kind || !bytes.Equal(e.Data, w.Data) {
				t.Fatalf("group %d: entry %d/%d (%d bytes), want %d/%d (%d bytes)",
					id, e.Index, e.Term, len(e.Data), w.Index, w.Term, len(w.Data))
			}
		}
	}
}

const modelGroups = 4

func drawAppend(t *rapid.T, m logModel, term *uint64) *storage.Append {
	a := &storage.Append{Group: rapid.Uint64Range(1, modelGroups).Draw(t, "group")}
	last, base := uint64(0), uint64(0)
	if g := m[a.Group]; g != nil {
		last, base = g.last(), g.base
	}
	switch rapid.IntRange(0, 19).Draw(t, "reset") {
	case 0:
		a.Reset = &storage.Reset{Drop: true}
		last, base = 0, 0
	case 1:
		idx := rapid.Uint64Range(0, last+20).Draw(t, "at")
		a.Reset = &storage.Reset{Index: idx, Term: *term}
		if idx == 0 {
			a.Reset.Term = 0
		}
		last, base = idx, idx
	}
	if rapid.IntRange(0, 3).Draw(t, "entries") > 0 {
		first := last + 1
		if rapid.IntRange(0, 4).Draw(t, "replace") == 0 {
			*term++
			first = rapid.Uint64Range(base+1, last+1).Draw(t, "first")
		}
		n := rapid.Uint64Range(1, 8).Draw(t, "n")
		size := rapid.SampledFrom([]int{0, 10, 100, 1000, 3000}).Draw(t, "size")
		a.Entries = entries(a.Group, first, first+n-1, *term, size)
	}
	if a.Reset == nil && a.Entries == nil || rapid.IntRange(0, 2).Draw(t, "state") == 0 {
		a.HasState = true
		a.State = storage.HardState{Term: *term, Vote: rapid.Uint64Range(0, 3).Draw(t, "vote"), Commit: last}
		a.Lazy = a.Reset == nil && a.Entries == nil
	}
	return a
}

// testModel compares the log with the model under random operations, with
// reopenings between them.
func testModel(t *testing.T, b *logBench) {
	b.stop()
	rapid.Check(t, func(rt *rapid.T) {
		b := newLogBench(t, b.open)
		m, term, queued := logModel{}, uint64(1), 0
		settle := func(rt *rapid.T) {
			if n := b.log.Drain(); n != queued {
				rt.Fatalf("Drain wrote %d, want %d", n, queued)
			}
			queued = 0
		}
		rt.Repeat(map[string]func(*rapid.T){
			"submit": func(rt *rapid.T) {
				a := drawAppend(rt, m, &term)
				m.apply(a)
				b.log.Submit(a)
				queued++
			},
			"drain": settle,
			"compact": func(rt *rapid.T) {
				settle(rt)
				id := rapid.Uint64Range(1, modelGroups).Draw(rt, "group")
				if g := m[id]; g != nil {
					index := rapid.Uint64Range(0, g.last()+2).Draw(rt, "index")
					m.compact(id, index)
					b.log.Compact(id, index)
				}
			},
			"prepare": func(*rapid.T) { b.prepare() },
			"reopen": func(rt *rapid.T) {
				settle(rt)
				b.log.Drain() // what Compact left
				b.reopen()
				if n := len(b.log.Groups()); n != len(m) {
					rt.Fatalf("%d groups after recovery, want %d", n, len(m))
				}
			},
			"": func(rt *rapid.T) {
				if queued == 0 {
					m.check(rt, b.log)
				}
			},
		})
		b.stop()
	})
}
