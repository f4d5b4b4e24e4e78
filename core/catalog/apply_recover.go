package catalog

import "slices"

func (x *Recover) op() op     { return opRecover }
func (x *GiveUpShard) op() op { return opGiveUpShard }

func (x *Recover) fields(c *coder) {
	c.uint(&x.Node)
	c.uint(&x.Generation)
	list(c, &x.Shards, func(s *Recovered) { s.fields(c) })
}

func (s *Recovered) fields(c *coder) {
	c.uint(&s.ID)
	c.flag(&s.Kept)
	c.table(&s.Attrs)
}

func (x *GiveUpShard) fields(c *coder) {
	c.uint(&x.ID)
	x.ShardSpec.fields(c)
}

func (x *Recover) apply(m *Machine) Result {
	self := m.v.Node(x.Node)
	switch {
	case self == nil:
		return missing(ANode)
	case x.Generation <= m.v.cluster.Generation:
		return Result{Code: Existed, ID: x.Node}
	}
	m.v.cluster.Generation = x.Generation
	res := Result{ID: x.Node}
	for _, i := range slices.Collect(m.v.Incarnations()) {
		m.endIncarnation(i, &res.Removed)
	}
	m.endTransient(&res.Removed)
	for _, i := range slices.Collect(m.v.Intents()) {
		m.endIntent(i)
	}
	for _, have := range slices.Collect(m.v.Shards()) {
		k := slices.IndexFunc(x.Shards, func(r Recovered) bool { return r.ID == have.ID })
		alone := ShardSpec{Replicas: []uint64{x.Node}, Leader: x.Node, Attrs: have.Attrs}
		if k >= 0 {
			alone.Attrs = x.Shards[k].Attrs
		}
		if k >= 0 && x.Shards[k].Kept {
			m.keepAlone(have, alone)
		} else {
			m.beginAnew(have, alone)
		}
	}
	for _, n := range slices.Collect(m.v.Nodes()) {
		if n.ID != x.Node {
			m.forget(n)
		}
	}
	here := *m.v.Node(x.Node)
	here.State, here.Revision = Serving, m.v.revision
	m.setNode(here, false)
	return res
}

// keepAlone makes one node the only one that has a shard. Its log goes on from
// where it ends there, which may be before an index at which members were noted.
func (m *Machine) keepAlone(have *Shard, spec ShardSpec) {
	s := *have
	s.ShardSpec, s.Members = spec, Members{Voters: spec.Replicas, At: 1}
	s.Revision = m.v.revision
	m.v.shards = m.v.shards.Set(s.ID, &s)
	m.touch(byID(spaceShard, s.ID), false)
}

// beginAnew replaces a shard of which nothing is left by another, in which its
// queues begin empty, with their bindings. Its vhosts have that as their home.
func (m *Machine) beginAnew(lost *Shard, spec ShardSpec) *Shard {
	s := &Shard{ShardSpec: spec, ID: m.newID(), Revision: m.v.revision, Founders: spec.Replicas, Members: Members{Voters: spec.Replicas}}
	m.v.shards = m.v.shards.Set(s.ID, s)
	m.touch(byID(spaceShard, s.ID), true)
	for _, have := range slices.Collect(m.v.QueuesIn(lost.ID)) {
		q := *have
		q.Shard, q.State, q.Revision = s.ID, Open, m.v.revision
		q.Epoch++
		m.dropQueue(have)
		m.addQueue(&q)
		m.touch(byID(spaceQueue, q.ID), false)
	}
	m.rehome(lost.ID, s.ID)
	m.v.shards = m.v.shards.Delete(lost.ID)
	m.gone(byID(spaceShard, lost.ID))
	return s
}

// rehome gives the vhosts whose home is a shard that ends another, or none.
func (m *Machine) rehome(from, to uint64) {
	for _, have := range slices.Collect(m.v.VHosts()) {
		if have.Home != from {
			continue
		}
		h := *have
		h.Home, h.Revision = to, m.v.revision
		m.setVHost(h)
		m.touch(byID(spaceVHost, h.ID), false)
	}
}

func (x *GiveUpShard) apply(m *Machine) Result {
	have := m.v.Shard(x.ID)
	if have == nil {
		return missing(AShard)
	}
	if bad := m.badShard(&x.ShardSpec); bad.Code != Done {
		return bad
	}
	if i := m.v.IntentFor(Grow, x.ID); i != nil {
		m.endIntent(i)
	}
	return Result{ID: m.beginAnew(have, x.ShardSpec).ID}
}
