package catalog

// names are the names of the policies in force.
func (g *Governed) names() (m Match) {
	if g.Policy != nil {
		m.Policy = g.Policy.Name
	}
	if g.OperatorPolicy != nil {
		m.OperatorPolicy = g.OperatorPolicy.Name
	}
	return m
}

// kind returns where one kind of policy stands.
func (g *Governed) kind(operator bool) **Policy {
	if operator {
		return &g.OperatorPolicy
	}
	return &g.Policy
}

// governed looks a match up. A policy that is gone governs nothing.
func (v *View) governed(h *VHost, m Match) (g Governed) {
	if m.Policy != "" {
		g.Policy = v.Policy(h, false, m.Policy)
	}
	if m.OperatorPolicy != "" {
		g.OperatorPolicy = v.Policy(h, true, m.OperatorPolicy)
	}
	return g
}

// resolve replaces the names of policies by the policies. It reports false if
// one does not exist: no state has that.
func (v *View) resolve(vhost uint64, g *Governed) bool {
	m := g.names()
	*g = v.governed(v.VHostByID(vhost), m)
	return g.names() == m
}

func (x *SetPolicy) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	if x.Name == "" {
		return Result{Code: Invalid}
	}
	old := m.v.Policy(h, x.Operator, x.Name)
	key := policyKey(h.ID, x.Operator, x.Name)
	p := &Policy{
		VHost: h.ID, Name: x.Name, Revision: m.v.revision, Operator: x.Operator,
		Pattern: x.Pattern, ApplyTo: x.ApplyTo, Priority: x.Priority, Definition: x.Definition,
	}
	m.v.policies = m.v.policies.Set(key, p)
	m.touch(byName(spacePolicy, key), old == nil)
	return Result{Governed: m.govern(h, x.Operator, x.Shifts, old, p)}
}

func (x *ClearPolicy) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	old := m.v.Policy(h, x.Operator, x.Name)
	if old == nil {
		return missing(APolicy)
	}
	key := policyKey(h.ID, x.Operator, x.Name)
	m.v.policies = m.v.policies.Delete(key)
	m.gone(byName(spacePolicy, key))
	return Result{Governed: m.govern(h, x.Operator, x.Shifts, old, nil)}
}

// govern performs shifts, and then gives what the policy old still governs to
// now. Objects that are gone, or in another vhost, are passed over.
func (m *Machine) govern(have *VHost, operator bool, shifts []Shift, old, now *Policy) (out Affected) {
	h := *have
	for i := range shifts {
		var to *Policy
		if name := shifts[i].Policy; name != "" {
			to = m.v.Policy(have, operator, name)
		}
		for _, id := range shifts[i].Queues {
			if q := m.v.QueueByID(id); q != nil && q.VHost == h.ID && *q.kind(operator) != to {
				m.governQueue(&h, q, operator, to, &out)
			}
		}
		for _, id := range shifts[i].Exchanges {
			if e := m.v.ExchangeByID(id); e != nil && e.VHost == h.ID && *e.kind(operator) != to {
				m.governExchange(&h, e, operator, to, &out)
			}
		}
	}
	if old != nil {
		for q := range h.Queues("") { // of now: what changes is a new map
			if *q.kind(operator) == old {
				m.governQueue(&h, q, operator, now, &out)
			}
		}
		for e := range h.Exchanges("") {
			if *e.kind(operator) == old {
				m.governExchange(&h, e, operator, now, &out)
			}
		}
	}
	m.setVHost(h)
	return out
}

func (m *Machine) governQueue(h *VHost, have *Queue, operator bool, p *Policy, out *Affected) {
	q := *have
	*q.kind(operator), q.Revision = p, m.v.revision
	h.queues = h.queues.set(q.Name, &q)
	m.v.queues = m.v.queues.Set(q.ID, &q)
	m.touch(byID(spaceQueue, q.ID), false)
	out.Queues = append(out.Queues, &q)
}

func (m *Machine) governExchange(h *VHost, have *Exchange, operator bool, p *Policy, out *Affected) {
	e := *have
	*e.kind(operator) = p
	e.findAlternate()
	h.exchanges = h.exchanges.set(e.Name, &e)
	m.v.exchanges = m.v.exchanges.Set(e.ID, &e)
	m.touch(byID(spaceExchange, e.ID), false)
	out.Exchanges = append(out.Exchanges, &e)
}
