// Package commitlogtest holds the suite that every log feeding a
// commitlog.Machine has to pass.
package commitlogtest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/commitlog"
)

// A Rig is a log under test with all it needs to make progress.
type Rig struct {
	commitlog.Log
	// Settle runs turns, and whatever they wait for, until nothing is left to
	// do.
	Settle func()
}

// Run runs the suite. start opens a log for a machine, which is to lead in the
// end; it is called many times.
func Run(t *testing.T, start func(t testing.TB, m commitlog.Machine) Rig) {
	t.Run("leads after an empty entry of its term", func(t *testing.T) { testLead(t, start) })
	t.Run("applies what was proposed", func(t *testing.T) { testApply(t, start) })
	t.Run("counts what is in flight", func(t *testing.T) { testInFlight(t, start) })
	t.Run("a turn follows what was applied", func(t *testing.T) { testTurnFollows(t, start) })
	t.Run("refuses proposals outside a turn", func(t *testing.T) { testOutside(t, start) })
	t.Run("nothing after close", func(t *testing.T) { testClose(t, start) })
	t.Run("model", func(t *testing.T) { testModel(t, start) })
}

// A probe is a machine that checks the order of what happens to it.
type probe struct {
	t        testing.TB
	last     commitlog.Entry
	term     uint64 // led; 0 if none
	inTurn   bool
	turns    int
	since    int // turns since the last Apply
	applied  []commitlog.Entry
	proposed map[uint64][]byte
	want     [][]byte
	onTurn   func(p commitlog.Proposer)
	keep     commitlog.Proposer
}

func newProbe(t testing.TB) *probe { return &probe{t: t, proposed: make(map[uint64][]byte)} }

func (m *probe) enter() func() {
	if m.inTurn {
		m.t.Error("a method of the machine is called inside another")
	}
	m.inTurn = true
	return func() { m.inTurn = false }
}

func (m *probe) Apply(ents []commitlog.Entry) {
	defer m.enter()()
	if len(ents) == 0 {
		m.t.Error("Apply of nothing")
	}
	for _, e := range ents {
		if m.last.Index != 0 && e.Index != m.last.Index+1 || e.Term < m.last.Term {
			m.t.Errorf("entry %d of term %d after %d of term %d", e.Index, e.Term, m.last.Index, m.last.Term)
		}
		m.last = e
		if len(e.Data) > 0 {
			m.applied = append(m.applied, e)
		}
		if data, ok := m.proposed[e.Index]; ok {
			if len(e.Data) == 0 || &data[0] != &e.Data[0] || len(data) != len(e.Data) {
				m.t.Errorf("entry %d is not the bytes proposed", e.Index)
			}
			if e.Term != m.term {
				m.t.Errorf("entry %d has term %d, proposed in %d", e.Index, e.Term, m.term)
			}
			delete(m.proposed, e.Index)
		}
	}
	m.since = 0
}

func (m *probe) Lead(term uint64) {
	defer m.enter()()
	if term == 0 || m.term != 0 {
		m.t.Errorf("Lead(%d) while leading %d", term, m.term)
	}
	if m.last.Term != term || len(m.last.Data) != 0 {
		m.t.Errorf("Lead(%d) after entry %d of term %d with %d bytes", term, m.last.Index, m.last.Term, len(m.last.Data))
	}
	m.term = term
}

func (m *probe) Follow(uint64, uint64) {
	defer m.enter()()
	m.term = 0
}

func (m *probe) Turn(_ time.Duration, p commitlog.Proposer) {
	defer m.enter()()
	m.turns++
	m.since++
	m.keep = p
	if term, ok := p.Leading(); ok != (m.term != 0) || ok && term != m.term {
		m.t.Errorf("Leading is (%d, %v), the machine was told %d", term, ok, m.term)
	}
	if m.term == 0 {
		return
	}
	if n, bytes := p.InFlight(); n != len(m.proposed) || (n == 0) != (bytes == 0) {
		m.t.Errorf("%d entries, %d bytes in flight, %d were proposed and not applied", n, bytes, len(m.proposed))
	}
	if m.onTurn != nil {
		m.onTurn(p)
	}
	for _, data := range m.want {
		m.propose(p, data)
	}
	m.want = nil
}

func (m *probe) propose(p commitlog.Proposer, data []byte) {
	index, ok := p.Propose(data)
	if !ok {
		m.t.Error("a proposal was dropped without need")
		return
	}
	if index <= m.last.Index || m.proposed[index] != nil {
		m.t.Errorf("proposed at %d, applied is %d", index, m.last.Index)
	}
	m.proposed[index] = data
}

type starter = func(t testing.TB, m commitlog.Machine) Rig

// lead starts a log and waits until its machine leads.
func lead(t testing.TB, start starter, m *probe) Rig {
	r := start(t, m)
	r.TryTurn()
	r.Settle()
	if m.term == 0 {
		t.Fatal("the machine does not lead")
	}
	return r
}

func testLead(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	defer r.Close()
	if m.turns == 0 || m.since == 0 {
		t.Errorf("%d turns, %d since the last Apply", m.turns, m.since)
	}
}

func testApply(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	defer r.Close()
	var want []string
	for i := range 20 {
		for k := range i % 4 {
			s := fmt.Sprint(i, "/", k)
			want = append(want, s)
			m.want = append(m.want, []byte(s))
		}
		if !r.TryTurn() {
			t.Error("no turn though nobody is at it")
		}
		if i%3 == 0 {
			r.Settle()
		}
	}
	r.Settle()
	compare(t, m, want)
}

func compare(t interface{ Errorf(string, ...any) }, m *probe, want []string) {
	if len(m.applied) != len(want) || len(m.proposed) != 0 {
		t.Errorf("%d of %d entries applied, %d left", len(m.applied), len(want), len(m.proposed))
		return
	}
	for i, e := range m.applied {
		if string(e.Data) != want[i] {
			t.Errorf("entry %d is %q, want %q", i, e.Data, want[i])
		}
	}
}

func testInFlight(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	defer r.Close()
	m.onTurn = func(p commitlog.Proposer) {
		m.onTurn = nil
		for i := range 3 {
			m.propose(p, make([]byte, 10))
			if n, bytes := p.InFlight(); n != i+1 || bytes != 10*(i+1) {
				t.Errorf("%d entries, %d bytes in flight after %d proposals", n, bytes, i+1)
			}
		}
	}
	r.TryTurn()
	r.Settle()
	r.TryTurn() // the probe compares
	if len(m.proposed) != 0 {
		t.Errorf("%d entries not applied", len(m.proposed))
	}
}

func testTurnFollows(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	defer r.Close()
	// Each turn proposes what it learned from the last: no turn, no progress.
	left := 10
	m.onTurn = func(p commitlog.Proposer) {
		if n, _ := p.InFlight(); n == 0 && left > 0 {
			left--
			m.propose(p, []byte("next"))
		}
	}
	r.TryTurn()
	r.Settle()
	if left != 0 || len(m.applied) != 10 || m.since == 0 {
		t.Errorf("%d left, %d applied, %d turns since", left, len(m.applied), m.since)
	}
}

func testOutside(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	defer r.Close()
	r.TryTurn()
	defer func() {
		if recover() == nil {
			t.Error("a proposal outside a turn was taken")
		}
	}()
	m.keep.Propose([]byte("x"))
}

func testClose(t *testing.T, start starter) {
	m := newProbe(t)
	r := lead(t, start, m)
	r.Close()
	turns := m.turns
	m.want = append(m.want, []byte("late"))
	r.TryTurn()
	r.Settle()
	r.Close()
	if m.turns != turns || len(m.applied) != 0 {
		t.Errorf("%d turns after Close", m.turns-turns)
	}
}

// testModel: whatever is proposed in whatever portions is applied as a list.
func testModel(t *testing.T, start starter) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newProbe(t)
		r := lead(t, start, m)
		defer r.Close()
		var want []string
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "settle") {
				r.Settle()
			}
			for _, data := range rapid.SliceOfN(rapid.StringN(1, 40, 40), 0, 5).Draw(rt, "proposals") {
				want = append(want, data)
				m.want = append(m.want, []byte(data))
			}
			r.TryTurn()
		}
		r.Settle()
		compare(rt, m, want)
	})
}
