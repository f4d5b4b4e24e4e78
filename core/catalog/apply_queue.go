package catalog

import "github.com/warrenmq/warren/core/exchange"

func (x *DeclareQueue) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	if have := h.Queue(x.Name); have != nil {
		res := Result{Code: Existed, ID: have.ID, Queue: have}
		if have.Exclusive != x.Exclusive || !have.MayUse(x.Owner) {
			res.Code = Locked
		} else if res.Mismatch = EquivalentQueue(have, &x.QueueSpec, x.Strict); res.Mismatch != nil {
			res.Code = Different
		}
		return res
	}
	if most, ok := h.Limits.Queues.Set(); ok && uint64(h.QueueCount()) >= most {
		return Result{Code: OverLimit, Limit: most}
	}
	if x.Most != 0 && uint64(m.v.QueueCount()) >= x.Most {
		return Result{Code: OverLimit, Limit: x.Most, Overall: true}
	}
	if lack := m.place(&x.QueueSpec); lack != NoThing {
		return missing(lack)
	}
	q := &Queue{
		QueueSpec: x.QueueSpec, ID: m.newID(), VHost: h.ID,
		Made: m.v.revision, Revision: m.v.revision, MadeAt: m.v.stamp,
		Governed: m.v.governed(h, x.Match),
	}
	if !q.Exclusive {
		q.Owner = Session{}
	}
	m.addQueue(q)
	m.touch(byID(spaceQueue, q.ID), true)
	return Result{ID: q.ID, Queue: q}
}

// place checks that what a queue is to live in lives.
func (m *Machine) place(s *QueueSpec) (lack Thing) {
	switch {
	case s.Exclusive && m.v.Incarnation(s.Owner.Incarnation) == nil:
		return AnIncarnation
	case s.Shard != 0 && m.v.Shard(s.Shard) == nil:
		return AShard
	case s.Shard == 0 && m.v.Incarnation(s.Incarnation) == nil:
		return AnIncarnation
	}
	return NoThing
}

// addQueue puts a queue in all places; its vhost exists.
func (m *Machine) addQueue(q *Queue) {
	if q.Kind == Schedule {
		m.v.schedules++
	} else {
		h := *m.v.VHostByID(q.VHost)
		h.queues = h.queues.set(q.Name, q)
		m.setVHost(h)
	}
	m.v.queues = m.v.queues.Set(q.ID, q)
	if q.Shard != 0 {
		in, _ := m.v.placed.Get(q.Shard)
		m.v.placed = m.v.placed.Set(q.Shard, in.Set(q.ID, struct{}{}))
	}
	if q.Exclusive {
		m.v.owned = m.v.owned.Set(idKey(q.Owner.Incarnation, q.Owner.Number, q.ID), struct{}{})
	}
	if q.inMemory() {
		m.v.owned = m.v.owned.Set(idKey(q.Incarnation, 0, q.ID), struct{}{})
	}
}

// inMemory reports whether a queue ends with its incarnation in its own right,
// not because its session does.
func (q *Queue) inMemory() bool {
	return q.Shard == 0 && !(q.Exclusive && q.Owner.Incarnation == q.Incarnation)
}

// dropQueue takes a queue out of all places.
func (m *Machine) dropQueue(q *Queue) {
	if q.Kind == Schedule {
		m.v.schedules--
	} else {
		h := *m.v.VHostByID(q.VHost)
		h.queues = h.queues.delete(q.Name)
		m.setVHost(h)
	}
	m.v.queues = m.v.queues.Delete(q.ID)
	if q.Shard != 0 {
		in, _ := m.v.placed.Get(q.Shard)
		if in = in.Delete(q.ID); in.Len() > 0 {
			m.v.placed = m.v.placed.Set(q.Shard, in)
		} else {
			m.v.placed = m.v.placed.Delete(q.Shard)
		}
	}
	if q.Exclusive {
		m.v.owned = m.v.owned.Delete(idKey(q.Owner.Incarnation, q.Owner.Number, q.ID))
	}
	if q.inMemory() {
		m.v.owned = m.v.owned.Delete(idKey(q.Incarnation, 0, q.ID))
	}
}

func (x *UpdateQueue) apply(m *Machine) Result {
	have := m.v.QueueByID(x.ID)
	if have == nil {
		return missing(AQueue)
	}
	if have.Epoch != x.Epoch {
		return Result{Code: Refused, ID: x.ID, Queue: have}
	}
	q := *have
	q.State, q.Shard, q.Node, q.Incarnation = x.State, x.Shard, x.Node, x.Incarnation
	q.Revision = m.v.revision
	if x.Raise {
		q.Epoch++
	}
	if lack := m.place(&q.QueueSpec); lack != NoThing {
		return missing(lack)
	}
	m.dropQueue(have)
	m.addQueue(&q)
	m.touch(byID(spaceQueue, q.ID), false)
	return Result{ID: q.ID, Queue: &q}
}

func (x *DeleteQueue) apply(m *Machine) Result {
	h := m.v.VHost(x.VHost)
	if h == nil {
		return missing(AVHost)
	}
	q := h.Queue(x.Name)
	if q == nil || x.ID != 0 && q.ID != x.ID {
		return missing(AQueue)
	}
	res := Result{ID: q.ID, Queue: q}
	if !x.Force && !q.MayUse(x.By) {
		res.Code = Locked
		return res
	}
	m.removeQueue(q, &res.Removed)
	return res
}

// removeQueue removes a queue, the bindings to it, and the auto-delete
// exchanges that lose their last binding by that.
func (m *Machine) removeQueue(q *Queue, out *Removed) {
	if m.v.QueueByID(q.ID) == nil {
		return
	}
	doomed := m.unbindAll(exchange.ToQueue(q.ID), out)
	m.dropQueue(q)
	m.gone(byID(spaceQueue, q.ID))
	out.Queues = append(out.Queues, q)
	for _, e := range doomed {
		m.removeExchange(e, out)
	}
}
