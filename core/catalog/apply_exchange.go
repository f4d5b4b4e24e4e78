package catalog

import (
	"slices"

	"github.com/warrenmq/warren/core/exchange"
)

func (x *DeclareExchange) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	if have := h.Exchange(x.Name); have != nil {
		res := Result{Code: Existed, ID: have.ID, Exchange: have}
		if res.Mismatch = EquivalentExchange(have, &x.ExchangeSpec); res.Mismatch != nil {
			res.Code = Different
		}
		return res
	}
	if x.Delayed && !m.home(h, x.Home) {
		return missing(AShard)
	}
	e := &Exchange{
		ExchangeSpec: x.ExchangeSpec, ID: m.newID(), VHost: h.ID, Revision: m.v.revision, MadeAt: m.v.stamp,
		Governed: m.v.governed(h, x.Match),
	}
	if e.Delayed {
		m.schedule(e)
	}
	m.addExchange(e)
	return Result{ID: e.ID, Exchange: e}
}

// home sees to it that a vhost has a home shard: the one proposed, unless it has
// one. It reports false if there is no such shard.
func (m *Machine) home(have *VHost, proposed uint64) bool {
	if m.v.Shard(have.Home) != nil {
		return true
	}
	if m.v.Shard(proposed) == nil {
		return false
	}
	h := *have
	h.Home = proposed
	m.setVHost(h)
	m.touch(byID(spaceVHost, h.ID), false)
	return true
}

// schedule makes the queue in which the messages of a delayed exchange wait, in
// the home shard of its vhost.
func (m *Machine) schedule(e *Exchange) {
	q := &Queue{
		QueueSpec: QueueSpec{Name: e.Name, Kind: Schedule, Durable: true, Shard: m.v.VHostByID(e.VHost).Home},
		ID:        m.newID(), VHost: e.VHost, Made: m.v.revision, Revision: m.v.revision, MadeAt: m.v.stamp,
	}
	e.Schedule = q.ID
	m.addQueue(q)
	m.touch(byID(spaceQueue, q.ID), true)
}

// addExchange puts an exchange in all places; its vhost exists.
func (m *Machine) addExchange(e *Exchange) {
	e.findAlternate()
	h := *m.v.VHostByID(e.VHost)
	h.exchanges = h.exchanges.set(e.Name, e)
	m.setVHost(h)
	m.v.exchanges = m.v.exchanges.Set(e.ID, e)
	m.setTable(e, exchange.New(e.Type, e.Args))
	if !e.Durable {
		m.v.transient = m.v.transient.Set(e.ID, struct{}{})
	}
	m.touch(byID(spaceExchange, e.ID), true)
}

// findAlternate sets where unroutable messages go: the argument counts before
// the policy.
func (e *Exchange) findAlternate() {
	v, ok := e.Args.Lookup(alternateArg)
	for _, p := range []*Policy{e.Policy, e.OperatorPolicy} {
		if !ok && p != nil {
			v, ok = p.Definition.Lookup(alternateArg)
		}
	}
	e.Alternate, e.HasAlternate = v.Text()
}

func (x *DeleteExchange) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	e := h.Exchange(x.Name)
	if e == nil || x.ID != 0 && e.ID != x.ID {
		return missing(AnExchange)
	}
	res := Result{ID: e.ID, Exchange: e}
	switch {
	case e.System:
		res.Code = Refused
	case x.IfUnused && m.v.Bindings(e).Len() > 0:
		res.Code = InUse
	default:
		m.removeExchange(e, &res.Removed)
	}
	return res
}

// removeExchange removes an exchange, the bindings from it and to it, and the
// auto-delete exchanges that lose their last binding by that.
func (m *Machine) removeExchange(e *Exchange, out *Removed) {
	doomed := []*Exchange{e}
	for len(doomed) > 0 {
		e, doomed = doomed[0], doomed[1:]
		if m.v.ExchangeByID(e.ID) == nil {
			continue
		}
		for b := range m.v.Bindings(e).All() {
			m.unbind(e, b, out)
		}
		doomed = append(doomed, m.unbindAll(exchange.ToExchange(e.ID), out)...)
		h := *m.v.VHostByID(e.VHost)
		h.exchanges = h.exchanges.delete(e.Name)
		m.setVHost(h)
		m.v.exchanges = m.v.exchanges.Delete(e.ID)
		m.v.tables = m.v.tables.Delete(e.ID)
		m.v.transient = m.v.transient.Delete(e.ID)
		m.gone(byID(spaceExchange, e.ID))
		out.Exchanges = append(out.Exchanges, e)
		if q := m.v.QueueByID(e.Schedule); q != nil {
			m.dropQueue(q)
			m.gone(byID(spaceQueue, q.ID))
			out.Queues = append(out.Queues, q)
		}
	}
}

// ends looks up both ends of a link.
func (l *Link) ends(v *View) (source *Exchange, b exchange.Binding, lack Thing) {
	h := v.VHost(l.VHost)
	if h == nil {
		return nil, b, AVHost
	}
	if source = h.Exchange(l.Source); source == nil {
		return nil, b, AnExchange
	}
	b = exchange.Binding{Key: l.Key, Args: l.Args}
	if l.Kind == exchange.Exchange {
		to := h.Exchange(l.Destination)
		if to == nil {
			return nil, b, AnExchange
		}
		b.Dest = exchange.ToExchange(to.ID)
		return source, b, NoThing
	}
	to := h.Queue(l.Destination)
	if to == nil {
		return nil, b, AQueue
	}
	b.Dest = exchange.ToQueue(to.ID)
	return source, b, NoThing
}

func (x *Bind) apply(m *Machine) Result {
	source, b, lack := x.ends(&m.v)
	if lack != NoThing {
		return missing(lack)
	}
	if source.Name == "" || x.Kind == exchange.Exchange && x.Destination == "" {
		return Result{Code: Refused, Exchange: source}
	}
	if exchange.CheckBinding(source.Type, b.Key, b.Args) != nil {
		return Result{Code: Invalid, Exchange: source}
	}
	if !m.bind(source, b) {
		return Result{Code: Existed, ID: source.ID, Exchange: source}
	}
	return Result{ID: source.ID, Exchange: source}
}

func (m *Machine) bind(source *Exchange, b exchange.Binding) (made bool) {
	t, made := m.v.Bindings(source).Bind(b)
	if !made {
		return false
	}
	m.setTable(source, t)
	m.v.sources = m.v.sources.Set(idKey(uint64(b.Dest), source.ID), struct{}{})
	b.Args = b.Args.Sorted()
	m.touch(ofBinding(source.ID, b), true)
	return true
}

func (x *Unbind) apply(m *Machine) Result {
	source, b, lack := x.ends(&m.v)
	if lack != NoThing {
		return missing(lack)
	}
	if source.Name == "" {
		return Result{Code: Refused, Exchange: source}
	}
	b.Args = b.Args.Sorted()
	if !m.v.Bindings(source).Has(b) {
		return missing(ABinding)
	}
	res := Result{ID: source.ID, Exchange: source}
	m.unbind(source, b, &res.Removed)
	if m.spent(source) {
		m.removeExchange(source, &res.Removed)
	}
	return res
}

// spent reports whether an exchange ends because its last binding went.
func (m *Machine) spent(e *Exchange) bool { return e.AutoDelete && m.v.Bindings(e).Len() == 0 }

// unbind removes a binding that exists and nothing else.
func (m *Machine) unbind(source *Exchange, b exchange.Binding, out *Removed) {
	t, _ := m.v.Bindings(source).Unbind(b)
	m.setTable(source, t)
	m.gone(ofBinding(source.ID, b))
	out.Bindings = append(out.Bindings, Bound{Source: source, Binding: b})
	for range t.To(b.Dest) {
		return
	}
	m.v.sources = m.v.sources.Delete(idKey(uint64(b.Dest), source.ID))
}

// unbindAll removes the bindings that lead to d and returns the exchanges that
// end by that.
func (m *Machine) unbindAll(d exchange.Dest, out *Removed) (doomed []*Exchange) {
	for _, b := range slices.Collect(m.v.BindingsTo(d)) {
		m.unbind(b.Source, b.Binding, out)
		if m.spent(b.Source) {
			doomed = append(doomed, b.Source)
		}
	}
	return doomed
}
