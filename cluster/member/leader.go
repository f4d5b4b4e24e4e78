package member

import "slices"

// A report is a voter's promise, as the leader to whom it was given keeps it.
type report struct {
	from, witness, set, round uint64
	off                       bool // called off; kept so that a late copy is not taken for another
}

// overtakes reports whether r is newer than msg: of a later life, or of the same
// and later in it.
func (r *report) overtakes(msg *Message) bool {
	return r.witness > msg.Witness || r.witness == msg.Witness && r.round > msg.Round
}

// is reports whether r is what msg says.
func (r *report) is(msg *Message) bool { return r.witness == msg.Witness && r.round == msg.Round }

// leads reports whether this node counts.
func (m *Machine) leads() bool { return m.leader.Node == m.o.Self }

// forgetReports begins a count anew for another leader.
func (m *Machine) forgetReports() {
	for _, s := range m.subjects {
		s.reports, s.ending, s.witness = nil, false, nil
		s.resend = min(s.resend, m.now)
	}
}

// open reports whether a voter waits for an end or to be called off.
func (s *subject) open() bool {
	return slices.ContainsFunc(s.reports, func(r report) bool { return !r.off })
}

// takeReport notes that a voter promised. It takes reports given to itself
// only, in the term in which it leads.
func (m *Machine) takeReport(from uint64, msg *Message) {
	s := m.subject(msg.Incarnation)
	if !m.leads() || msg.Term != m.leader.Term {
		return
	}
	if s == nil {
		if msg.Incarnation == m.life.number && msg.Why == Silent {
			// About this node itself, which is here to say so.
			m.callOff(msg.Incarnation, &report{from: from, witness: msg.Witness, round: msg.Round})
		}
		return
	}
	if msg.Why == Gone {
		s.gone = true
		m.count(s)
		return
	}
	i := slices.IndexFunc(s.reports, func(r report) bool { return r.from == from })
	switch {
	case i >= 0 && s.reports[i].overtakes(msg):
		return
	case i >= 0 && s.reports[i].is(msg) && s.reports[i].off:
		m.callOff(s.number, &s.reports[i]) // it was not told, or not yet
		return
	}
	opening := !s.open()
	if i < 0 {
		if len(s.reports) >= maxSet {
			return
		}
		i = len(s.reports)
		s.reports = append(s.reports, report{})
	}
	s.reports[i] = report{from: from, witness: msg.Witness, set: msg.Set, round: msg.Round}
	if msg.Yes && !s.ending {
		s.reports[i].off = true
		m.callOff(s.number, &s.reports[i])
		return
	}
	if opening {
		s.opened = m.now
	}
	m.count(s)
}

// counts reports whether a report stands for a voter's silence: by a voter of
// the configuration in force, in a life that is not over.
func (m *Machine) counts(r *report) bool {
	return !r.off && r.set == m.set && r.witness != 0 && m.roster.incarnation(r.from) == r.witness
}

// count decides about a subject, if this node leads: ask for its end, ask again,
// or call the reports off.
func (m *Machine) count(s *subject) {
	if !m.leads() {
		return
	}
	switch {
	case s.ending && !m.standing(s):
		// A witness' life has ended in this View, so what was asked for is void
		// wherever it comes to be applied. Until then nobody is called off: it
		// may be on its way.
		s.ending, s.witness, s.opened = false, nil, m.now
	case s.ending:
		if m.now >= s.repeat {
			m.ask(s)
		}
		return
	}
	switch {
	case s.gone:
		s.why, s.witness = Gone, nil
	case s.overSeen:
		s.why, s.witness = Over, nil
	case m.majorityReports(s):
		s.why = Silent
	default:
		if s.open() && m.now >= s.opened+m.o.CallOff {
			m.callOffAll(s)
		}
		return
	}
	s.ending = true
	m.ask(s)
}

// majorityReports notes the witnesses if a majority has reported.
func (m *Machine) majorityReports(s *subject) bool {
	var witness []uint64
	in := func(id uint64) bool {
		i := slices.IndexFunc(s.reports, func(r report) bool { return r.from == id })
		if i < 0 || !m.counts(&s.reports[i]) {
			return false
		}
		if w := s.reports[i].witness; !slices.Contains(witness, w) {
			witness = append(witness, w)
		}
		return true
	}
	if len(s.reports) == 0 || !m.roster.Conf.majority(in) {
		return false
	}
	s.witness = witness
	return true
}

// standing reports whether all witnesses of an asked end still live.
func (m *Machine) standing(s *subject) bool {
	for _, w := range s.witness {
		if w != m.life.number && m.subject(w) == nil || w == m.life.number && !m.alive() {
			return false
		}
	}
	return true
}

func (m *Machine) ask(s *subject) {
	s.repeat = m.now + m.o.CallOff
	m.fx.Ends = append(m.fx.Ends, End{Number: s.number, Witnesses: s.witness, Term: m.leader.Term, Why: s.why})
}

// endOwn asks for the end of this node's own life, once that serves nothing.
func (m *Machine) endOwn() {
	l := &m.life
	if m.leads() && l.over && m.alive() && m.now >= l.repeat {
		l.repeat = m.now + m.o.CallOff
		m.fx.Ends = append(m.fx.Ends, End{Number: l.number, Term: m.leader.Term, Why: Over})
	}
}

func (m *Machine) callOffAll(s *subject) {
	for i := range s.reports {
		if r := &s.reports[i]; !r.off {
			r.off = true
			m.callOff(s.number, r)
		}
	}
}

func (m *Machine) callOff(number uint64, r *report) {
	msg := Message{Kind: CallOff, Incarnation: number, Term: m.leader.Term, Witness: r.witness, Round: r.round}
	if r.from == m.o.Self {
		m.takeCallOff(&msg)
		return
	}
	m.send(r.from, msg)
}
