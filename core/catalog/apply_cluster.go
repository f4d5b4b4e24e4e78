package catalog

import (
	"bytes"
	"slices"
)

func (x *SetCluster) apply(m *Machine) Result {
	c := m.v.cluster
	if x.Cluster.ID != "" && c.ID != "" && x.Cluster.ID != c.ID {
		return Result{Code: Refused}
	}
	if x.Cluster.ID != "" {
		c.ID = x.Cluster.ID
	}
	if x.Cluster.Name != "" {
		c.Name = x.Cluster.Name
	}
	c.Generation = max(c.Generation, x.Generation)
	c.Feature = max(c.Feature, x.Feature)
	if c == m.v.cluster {
		return Result{Code: Existed}
	}
	m.v.cluster = c
	return Result{}
}

func (x *AddNode) apply(m *Machine) Result {
	switch {
	case x.ID == 0:
		return Result{Code: Invalid}
	case m.v.Forgotten(x.ID) != nil:
		return Result{Code: Refused, ID: x.ID}
	}
	have := m.v.Node(x.ID)
	if have != nil && have.Name == x.Name && bytes.Equal(have.Attrs, x.Attrs) {
		return Result{Code: Existed, ID: x.ID}
	}
	for other := range m.v.Nodes() {
		if other.Name == x.Name && other.ID != x.ID {
			return Result{Code: InUse, ID: other.ID}
		}
	}
	n := Node{ID: x.ID}
	if have != nil {
		n = *have
	}
	n.Name, n.Attrs, n.Revision = x.Name, x.Attrs, m.v.revision
	m.setNode(n, have == nil)
	return Result{ID: n.ID}
}

func (m *Machine) setNode(n Node, made bool) {
	m.v.nodes = m.v.nodes.Set(n.ID, &n)
	m.touch(byID(spaceNode, n.ID), made)
}

func (x *RemoveNode) apply(m *Machine) Result {
	n := m.v.Node(x.ID)
	if n == nil {
		return missing(ANode)
	}
	for s := range m.v.Shards() {
		if s.Holds(x.ID) {
			return Result{Code: InUse, ID: s.ID}
		}
	}
	res := Result{ID: x.ID}
	if i := m.v.Incarnation(n.Incarnation); i != nil {
		m.endIncarnation(i, &res.Removed)
	}
	m.forget(n)
	m.endTransient(&res.Removed)
	return res
}

// forget removes a node that has no incarnation.
func (m *Machine) forget(n *Node) {
	m.v.nodes = m.v.nodes.Delete(n.ID)
	m.gone(byID(spaceNode, n.ID))
	f := &Forgotten{ID: n.ID, Revision: m.v.revision, Name: n.Name, At: m.v.stamp}
	m.v.forgotten = m.v.forgotten.Set(f.ID, f)
	m.touch(byID(spaceForgotten, f.ID), true)
}

func (x *SetNodeState) apply(m *Machine) Result {
	have := m.v.Node(x.ID)
	switch {
	case have == nil:
		return missing(ANode)
	case have.State == x.State:
		return Result{Code: Existed, ID: x.ID}
	case have.State == Leaving:
		return Result{Code: Refused, ID: x.ID}
	}
	n := *have
	n.State, n.Revision = x.State, m.v.revision
	m.setNode(n, false)
	res := Result{ID: x.ID}
	if i := m.v.Incarnation(n.Incarnation); i != nil && x.State == Leaving {
		m.endIncarnation(i, &res.Removed)
		m.endTransient(&res.Removed)
	}
	return res
}

func (x *Refuse) apply(*Machine) Result { return Result{Code: Refused, Text: x.Text} }

func (x *Register) apply(m *Machine) Result {
	n := m.v.Node(x.Node)
	if n == nil {
		return missing(ANode)
	}
	if n.State == Leaving {
		return Result{Code: Refused, ID: x.Node}
	}
	var res Result
	if i := m.v.Incarnation(n.Incarnation); i != nil {
		if i.Nonce == x.Nonce && x.Nonce != 0 {
			return Result{Code: Existed, ID: i.Number}
		}
		m.endIncarnation(i, &res.Removed)
		m.endTransient(&res.Removed)
	}
	m.v.lastIncarnation++
	i := &Incarnation{Number: m.v.lastIncarnation, Node: x.Node, Nonce: x.Nonce, Started: m.v.stamp}
	m.v.incarnations = m.v.incarnations.Set(i.Number, i)
	m.touch(byID(spaceIncarnation, i.Number), true)
	now := *m.v.Node(x.Node)
	now.Incarnation, now.Revision = i.Number, m.v.revision
	m.setNode(now, false)
	res.ID = i.Number
	return res
}

func (x *EndIncarnation) apply(m *Machine) Result {
	i := m.v.Incarnation(x.Number)
	if i == nil {
		return missing(AnIncarnation)
	}
	if x.Term != 0 && x.Term != m.term {
		return Result{Code: Refused, ID: x.Number}
	}
	for _, w := range x.Witnesses {
		if m.v.Incarnation(w) == nil {
			return Result{Code: Refused, ID: x.Number}
		}
	}
	res := Result{ID: x.Number}
	m.endIncarnation(i, &res.Removed)
	m.endTransient(&res.Removed)
	return res
}

// endIncarnation removes an incarnation and the queues that lived in it or
// belonged to its sessions.
func (m *Machine) endIncarnation(i *Incarnation, out *Removed) {
	m.v.incarnations = m.v.incarnations.Delete(i.Number)
	m.gone(byID(spaceIncarnation, i.Number))
	out.Incarnations = append(out.Incarnations, i)
	n := *m.v.Node(i.Node)
	n.Incarnation, n.Revision = 0, m.v.revision
	m.setNode(n, false)
	for _, q := range slices.Collect(m.v.QueuesOf(i.Number)) {
		m.removeQueue(q, out)
	}
}

// endTransient removes the exchanges that are not durable once no incarnation
// lives: they are in memory, and no memory is left.
func (m *Machine) endTransient(out *Removed) {
	if m.v.incarnations.Len() > 0 {
		return
	}
	for id := range m.v.transient.All() { // of now: the map does not change under us
		if x := m.v.ExchangeByID(id); x != nil {
			m.removeExchange(x, out)
		}
	}
}

func (x *EndSession) apply(m *Machine) Result {
	queues := slices.Collect(m.v.OwnedBy(x.Session))
	if len(queues) == 0 || x.Number == 0 {
		return Result{Code: Existed}
	}
	var res Result
	for _, q := range queues {
		m.removeQueue(q, &res.Removed)
	}
	return res
}

func (x *AddShard) apply(m *Machine) Result {
	if bad := m.badShard((*ShardSpec)(x)); bad.Code != Done {
		return bad
	}
	s := &Shard{ShardSpec: ShardSpec(*x), ID: m.newID(), Revision: m.v.revision, Founders: x.Replicas, Members: Members{Voters: x.Replicas}}
	m.v.shards = m.v.shards.Set(s.ID, s)
	m.touch(byID(spaceShard, s.ID), true)
	return Result{ID: s.ID}
}

func (x *SetShard) apply(m *Machine) Result {
	have := m.v.Shard(x.ID)
	if have == nil {
		return missing(AShard)
	}
	if bad := m.badShard(&x.ShardSpec); bad.Code != Done {
		return bad
	}
	if have.Leader == x.Leader && slices.Equal(have.Replicas, x.Replicas) && bytes.Equal(have.Attrs, x.Attrs) {
		return Result{Code: Existed, ID: x.ID}
	}
	s := &Shard{ShardSpec: x.ShardSpec, ID: x.ID, Revision: m.v.revision, Founders: have.Founders, Members: have.Members}
	m.v.shards = m.v.shards.Set(s.ID, s)
	m.touch(byID(spaceShard, s.ID), false)
	return Result{ID: s.ID}
}

func (x *NoteMembers) apply(m *Machine) Result {
	have := m.v.Shard(x.Shard)
	switch {
	case have == nil:
		return missing(AShard)
	case len(x.Voters) == 0:
		return Result{Code: Invalid, ID: x.Shard}
	case x.At <= have.Members.At:
		return Result{Code: Existed, ID: x.Shard}
	}
	s := *have
	s.Members, s.Revision = x.Members, m.v.revision
	m.v.shards = m.v.shards.Set(s.ID, &s)
	m.touch(byID(spaceShard, s.ID), false)
	return Result{ID: s.ID}
}

// badShard says what is wrong with what a shard should be.
func (m *Machine) badShard(x *ShardSpec) Result {
	if !m.knowNodes(x.Replicas) {
		return missing(ANode)
	}
	for i, id := range x.Replicas {
		if slices.Contains(x.Replicas[:i], id) {
			return Result{Code: Invalid, ID: id}
		}
	}
	if x.Leader != 0 && !slices.Contains(x.Replicas, x.Leader) {
		return Result{Code: Invalid, ID: x.Leader}
	}
	return Result{}
}

func (m *Machine) knowNodes(ids []uint64) bool {
	for _, id := range ids {
		if m.v.Node(id) == nil {
			return false
		}
	}
	return len(ids) > 0
}

func (x *RemoveShard) apply(m *Machine) Result {
	if m.v.Shard(x.ID) == nil {
		return missing(AShard)
	}
	for range m.v.QueuesIn(x.ID) {
		return Result{Code: InUse, ID: x.ID}
	}
	m.rehome(x.ID, 0)
	m.v.shards = m.v.shards.Delete(x.ID)
	m.gone(byID(spaceShard, x.ID))
	return Result{ID: x.ID}
}
