package member

import (
	"fmt"
	"slices"
	"strings"
)

// A State is what a node does for clients.
type State uint8

// The states.
const (
	// Booting: it has no incarnation that may serve yet.
	Booting State = iota
	// Serving: it holds a lease.
	Serving
	// Draining: it holds a lease and is being emptied.
	Draining
	// Minority: it hears no majority of voters, for 2 s or because it lost its
	// lease, and serves nothing.
	Minority
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{Booting: "booting", Serving: "serving", Draining: "draining", Minority: "minority"}[s]
}

// A Status says what a node is and what it waits for.
type Status struct {
	State       State
	Incarnation uint64   // zero before the first
	Answer      int      // voters that answer, this node included if it is one
	Voters      int      // of how many
	Needs       int      // how many have to
	Waiting     []string // names of those that do not, sorted
	// Text is all of it in one line: "1 of 3, needs 2, waiting for a@x, a@y".
	Text string
}

// Status returns the state as of the last step. Waiting is not to be changed.
func (m *Machine) Status() Status { return m.status }

// refresh works the status out anew, and says if it is another one.
func (m *Machine) refresh() {
	now := Status{Incarnation: m.life.number}
	set := m.short()
	waiting := m.spare[:0]
	for _, id := range set {
		if m.answers(id) {
			now.Answer++
		} else {
			waiting = append(waiting, id)
		}
	}
	now.Voters = len(set)
	if len(set) > 0 {
		now.Needs = len(set)/2 + 1
	}
	now.State = m.state(now.Answer >= now.Needs)
	if m.same(&now, waiting) {
		m.spare = waiting
		return
	}
	m.waiting, m.spare = waiting, m.waiting
	for _, id := range waiting {
		now.Waiting = append(now.Waiting, m.name(id))
	}
	slices.Sort(now.Waiting)
	now.Text = m.text(&now)
	m.renamed, m.worded = false, m.wording()
	if now.Text != m.status.Text || now.State != m.status.State || now.Incarnation != m.status.Incarnation {
		m.status, m.fx.Changed = now, true
	}
}

// same spares most steps the texts: nothing that they say has changed.
func (m *Machine) same(now *Status, waiting []uint64) bool {
	was := &m.status
	return was.Text != "" && !m.renamed && now.State == was.State && now.Incarnation == was.Incarnation && m.worded == m.wording() &&
		now.Answer == was.Answer && now.Voters == was.Voters && slices.Equal(waiting, m.waiting)
}

// wording tells apart what a booting node says.
func (m *Machine) wording() string {
	if m.state(true) != Booting {
		return ""
	}
	return m.bootText()
}

// short returns the set of voters that lacks a majority, the new one if none does.
func (m *Machine) short() []uint64 {
	if len(m.conf.Outgoing) > 0 && most(m.conf.Voters, m.answers) && !most(m.conf.Outgoing, m.answers) {
		return m.conf.Outgoing
	}
	return m.conf.Voters
}

// answers reports whether a voter is there, whatever it answers.
func (m *Machine) answers(id uint64) bool {
	if id == m.o.Self {
		return true
	}
	p := m.peer(id)
	return p != nil && p.anyOK && m.now < p.any+m.o.Lease
}

func (m *Machine) state(majority bool) State {
	switch {
	case m.life.number != 0 && !m.life.over && m.lease.held():
		if m.life.draining {
			return Draining
		}
		return Serving
	case len(m.conf.Voters) > 0 && !majority && (m.life.over || m.now-m.born >= m.o.Lease):
		return Minority // before that it may just not have heard them yet
	}
	return Booting
}

func (m *Machine) name(id uint64) string {
	for i := range m.roster.Members {
		if r := &m.roster.Members[i]; r.Node == id && r.Name != "" {
			return r.Name
		}
	}
	return fmt.Sprintf("node %016x", id)
}

func (m *Machine) text(s *Status) string {
	if s.Voters == 0 {
		return "not a member of a cluster yet"
	}
	text := fmt.Sprintf("%d of %d", s.Answer, s.Voters)
	if s.Answer < s.Needs {
		return fmt.Sprintf("%s, needs %d, waiting for %s", text, s.Needs, strings.Join(s.Waiting, ", "))
	}
	if s.State == Booting {
		text += m.bootText()
	}
	if len(s.Waiting) > 0 {
		text += ", without " + strings.Join(s.Waiting, ", ")
	}
	return text
}

func (m *Machine) bootText() string {
	switch {
	case m.life.number == 0:
		return ", waiting to be registered"
	case m.life.over:
		return ", waiting for a new incarnation"
	}
	return ", waiting for a lease"
}
