package member

import (
	"cmp"
	"slices"
	"time"
)

// A subject is the live incarnation of another node, as a voter watches it and
// as a leader counts reports of it.
type subject struct {
	node, number uint64
	seen         time.Duration // when the View first held it
	since        time.Duration // silent since

	// What this node reports.
	reported bool   // a promise stands: no yes until called off
	gone     bool   // its process is proved gone
	term     uint64 // of the leader to whom it was promised
	under    uint64 // this node's life when it was
	round    uint64
	resend   time.Duration // when to say it again

	// What this node, leading, counts.
	reports  []report
	opened   time.Duration // the first of those that stand
	ending   bool          // its end was asked for
	why      Why
	repeat   time.Duration // when to ask again
	witness  []uint64      // that the asked end stands on
	overSeen bool          // its node gave it up
}

// meet brings the subjects in line with the roster.
func (m *Machine) meet() {
	old := m.subjects
	m.subjects = nil
	for _, r := range m.roster.Members {
		if r.Node == m.o.Self || r.Incarnation == 0 {
			continue
		}
		i := slices.IndexFunc(old, func(s *subject) bool { return s.number == r.Incarnation })
		if i >= 0 {
			m.subjects = append(m.subjects, old[i])
			continue
		}
		m.subjects = append(m.subjects, &subject{node: r.Node, number: r.Incarnation, seen: m.now, since: m.now})
	}
	slices.SortFunc(m.subjects, func(a, b *subject) int { return cmp.Compare(a.node, b.node) })
}

func (m *Machine) subject(number uint64) *subject {
	for _, s := range m.subjects {
		if s.number == number {
			return s
		}
	}
	return nil
}

// startSilence counts everybody's silence from now.
func (m *Machine) startSilence(now time.Duration) {
	for _, s := range m.subjects {
		s.since = now
		if len(s.reports) > 0 {
			s.opened = now
		}
	}
}

// alive reports whether this node has a life that the View holds: what its
// reports and its yes stand on.
func (m *Machine) alive() bool {
	return m.life.number != 0 && m.roster.incarnation(m.o.Self) == m.life.number
}

// takeBeat hears a node and answers it.
func (m *Machine) takeBeat(from uint64, msg *Message) {
	answer := Message{Kind: Answer, Incarnation: msg.Incarnation, Seq: msg.Seq, Conf: Conf{Index: m.conf.Index}}
	if msg.Conf.Index < m.conf.Index {
		answer.Conf = m.conf
	}
	if s := m.subject(msg.Incarnation); s != nil && s.node == from {
		s.since, s.gone = m.now, false
		answer.Yes = m.alive() && !s.reported && !msg.Over
		if msg.Over {
			s.overSeen = true
			m.count(s)
		}
	}
	m.send(from, answer)
}

// Gone takes the proof that a node's process is dead: its connection was broken
// at a time, and nobody listens where it did.
func (m *Machine) Gone(now time.Duration, node uint64, broke time.Duration) {
	m.enter(now)
	for _, s := range m.subjects {
		// The proof is of the process that was connected when the connection
		// broke, however late it comes. A life that this View had not seen then,
		// or only just, may be the next process'.
		if s.node == node && broke-s.seen >= m.o.CallOff {
			s.gone, s.resend = true, m.now
		}
	}
	m.judge()
	m.leave()
}

// silent reports whether a subject was not heard for too long.
func (m *Machine) silent(s *subject) bool { return m.now >= s.since+m.o.Silence }

// due is when something about a subject has to be done.
func (m *Machine) due(s *subject) time.Duration {
	next := s.since + m.o.Silence
	if s.reported || s.gone || m.silent(s) {
		next = max(s.resend, m.now)
		if !m.mayReport() {
			next = m.now + m.o.Beat
		}
	}
	if m.leads() {
		if s.ending {
			next = min(next, s.repeat)
		} else if s.open() {
			next = min(next, s.opened+m.o.CallOff)
		}
	}
	return next
}

// mayReport reports whether a report would have somebody to go to and something
// to stand on.
func (m *Machine) mayReport() bool { return m.leader.Node != 0 && m.alive() }

// judge reports whoever is silent, and counts if this node leads.
func (m *Machine) judge() {
	for _, s := range m.subjects {
		if (s.reported || s.gone || m.silent(s)) && m.now >= s.resend && m.mayReport() {
			m.report(s)
		}
		m.count(s)
	}
}

// report tells the leader, and promises to answer the subject no more. It is
// said again until the leader calls it off: messages are lost, leaders change.
func (m *Machine) report(s *subject) {
	s.resend = m.now + m.o.Beat
	msg := Message{
		Kind: Report, Incarnation: s.number, Why: Silent, Witness: m.life.number,
		Set: m.set, Term: m.leader.Term,
	}
	switch {
	case s.gone:
		msg.Why = Gone
	case !m.roster.Conf.voter(m.o.Self) && !s.reported:
		return // the silence of learners counts for nothing
	default:
		if !s.reported || s.term != m.leader.Term || s.under != m.life.number {
			m.round++
			s.reported, s.term, s.under, s.round = true, m.leader.Term, m.life.number, m.round
		}
		msg.Round, msg.Yes = s.round, !m.silent(s) // yes: heard again, wants to be called off
	}
	if m.leads() {
		m.takeReport(m.o.Self, &msg)
		return
	}
	m.send(m.leader.Node, msg)
}

// takeCallOff frees this node of a promise, if it is the last that it gave.
func (m *Machine) takeCallOff(msg *Message) {
	s := m.subject(msg.Incarnation)
	if s != nil && s.reported && s.term == msg.Term && s.under == msg.Witness && s.round == msg.Round {
		s.reported, s.resend = false, m.now
	}
}
