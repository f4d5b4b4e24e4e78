package sim

import (
	"math/rand/v2"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// The catalog of a simulated shard: queues that are always there, and, with
// Clients.All, some that are declared and deleted while others use them, and a
// limit that changes. Each node has its own view of it, which may be old.

// A simChange is a change of the catalog; the first makes revision 2.
type simChange struct {
	queue uint64
	kind  changeKind
}

type changeKind uint8

const (
	made changeKind = iota
	deleted
	changed
)

const (
	firstMayfly = 100 // the ids of queues that come and go begin here
	mayflies    = 3   // how many of them there are at most
	lastMayfly  = 200
)

// newest is the catalog's revision.
func (m *shardMachine) newest() uint64 { return 1 + uint64(len(m.truth.all.changes[m.env.Group])) }

// learn has a new life know the catalog, or some older view of it for a while.
func (m *shardMachine) learn() {
	m.view = m.newest()
	if !m.truth.clients.All || !m.env.Chance(0.3) {
		return
	}
	if m.env.Chance(0.5) {
		m.view = 0
	} else {
		m.view -= min(m.view, 3)
	}
	inc := m.inc
	m.env.After(500*time.Millisecond+200*m.env.Delay(), func() {
		if inc == m.inc {
			m.see(m.newest())
		}
	})
}

// see is called when a node's view moves.
func (m *shardMachine) see(revision uint64) {
	old := m.view
	if revision <= old {
		return
	}
	m.view = revision
	for q := uint64(1); q <= m.truth.queues() && old == 0; q++ {
		m.shard.Changed(q)
	}
	for _, c := range m.truth.all.changes[m.env.Group][max(old, 1)-1 : revision-1] {
		m.shard.Changed(c.queue)
	}
	m.shard.Revised()
	m.server.Viewed()
	m.hub.Viewed()
}

// behind reports whether this node knows nothing of the catalog yet.
func (m *shardMachine) behind() bool { return m.view == 0 }

// change changes the catalog, which nodes learn later.
func (m *shardMachine) change(c simChange) {
	all := &m.truth.all
	all.changes[m.env.Group] = append(all.changes[m.env.Group], c)
	m.env.Trace("catalog %d: queue %d %d", m.newest(), c.queue, c.kind)
	revision := m.newest()
	for node := uint64(1); node <= maxNodes; node++ {
		if x := m.truth.live[[2]uint64{m.env.Group, node}]; x != nil && x.lives() {
			inc := x.inc
			x.env.After((1+m.env.Delay()%7)*m.env.Delay(), func() {
				if inc == x.inc {
					x.see(revision)
				}
			})
		}
	}
}

// at returns when a queue was changed last, as of a revision, and whether it is
// there then.
func (m *shardMachine) at(q, revision uint64) (last uint64, there bool) {
	if q <= m.truth.queues() {
		last, there = 1, revision > 0
	}
	for i, c := range m.truth.all.changes[m.env.Group] {
		if r := uint64(i) + 2; c.queue == q && r <= revision {
			last, there = r, c.kind != deleted
		}
	}
	return last, there
}

// known lists the queues that come and go, as this node knows them.
func (m *shardMachine) known(revision uint64) (ids []uint64) {
	for _, c := range m.truth.all.changes[m.env.Group] {
		if _, there := m.at(c.queue, revision); c.kind == made && there {
			ids = append(ids, c.queue)
		}
	}
	return ids
}

// anyQueue chooses one that this node knows.
func (m *shardMachine) anyQueue(r *rand.Rand) uint64 {
	if ids := m.known(m.view); len(ids) > 0 && r.IntN(5) == 0 {
		return ids[r.IntN(len(ids))]
	}
	return 1 + r.Uint64N(allQueues)
}

// reshape declares a queue, deletes one, or changes a limit.
func (m *shardMachine) reshape(r *rand.Rand) {
	ids := m.known(m.newest())
	switch r.IntN(4) {
	case 0:
		m.change(simChange{small, changed})
	case 1, 2:
		if id := firstMayfly + m.truth.all.made[m.env.Group]; len(ids) < mayflies && id < lastMayfly {
			m.truth.all.made[m.env.Group]++
			m.env.Count("declared")
			m.change(simChange{id, made})
		}
	case 3:
		if ids = m.known(m.view); len(ids) > 0 {
			m.closeQueue(ids[r.IntN(len(ids))], shard.Conditions{IfEmpty: r.IntN(3) == 0, IfUnused: r.IntN(3) == 0})
		}
	}
}

// closeQueue deletes a queue, if its conditions hold: from now on nobody knows
// what is in it.
func (m *shardMachine) closeQueue(q uint64, c shard.Conditions) {
	m.env.Trace("close q%d", q)
	m.truth.all.closing[m.env.Group<<8|q] = true
	for _, msg := range m.truth.messages {
		if x := msg.in[q]; x != nil && msg.group == m.env.Group {
			x.gone = true
		}
	}
	m.shard.Close(q, c, func(_ uint64, err error) {
		m.env.Trace("closed q%d: %v", q, err)
		if err == nil {
			m.ended(q)
		}
	})
}

// ended has the catalog delete a queue that is closed.
func (m *shardMachine) ended(q uint64) {
	m.env.After(m.env.Delay(), func() {
		if _, there := m.at(q, m.newest()); there && m.truth.all.closing[m.env.Group<<8|q] {
			m.env.Count("deleted")
			m.change(simChange{q, deleted})
		}
	})
}

// simCatalog is the catalog as a node knows it.
type simCatalog struct {
	truth *queues
	m     *shardMachine
}

// Queue implements replica.Catalog.
func (c simCatalog) Queue(_ uint64, id shard.QueueID) (s shard.Settings, revision uint64, ok bool) {
	revision, ok = c.m.at(id, c.m.view)
	if !ok {
		return s, revision, false
	}
	s = settingsOf(id)
	if id == small && revision%2 == 0 {
		s.MaxLength = queue.AtMost(12)
	}
	return s, revision, true
}

// Revision implements replica.Catalog.
func (c simCatalog) Revision() uint64 { return c.m.view }

// Alive implements replica.Catalog.
func (c simCatalog) Alive(i queue.Incarnation) bool { return !c.truth.ended[i.Number] }
