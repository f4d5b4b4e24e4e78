package reconcile

import (
	"slices"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/catalog"
)

// DefaultMoving is how many shards change their replicas at a time.
const DefaultMoving = 16

// A World is what is known to whoever leads the catalog.
type World struct {
	View *catalog.View
	// Catalog are the members of the catalog's own group.
	Catalog catalog.Members
	// Shards are those of the View, with what they were made for.
	Shards []placement.Shard
	// Wishes are those for which there are to be shards in any case.
	Wishes []placement.Wish
	// Per is how many shards of each wish a node should lead.
	Per int
	// Moving bounds the shards that change their replicas at a time; default
	// DefaultMoving.
	Moving int
}

// Next returns what has to be done in the catalog now, in order. None of it
// depends on the result of another.
func Next(w World) []catalog.Command {
	if w.Moving == 0 {
		w.Moving = DefaultMoving
	}
	p := planning{World: w}
	p.intents()
	p.shards()
	return p.do
}

// A planning is one call of Next.
type planning struct {
	World
	do    []catalog.Command
	nodes map[uint64]*member
}

// A member is a node as planning sees it.
type member struct {
	*catalog.Node
	out   bool // is to hold nothing
	holds int  // replicas it should have
	leads int
}

// may reports whether a node can be given a replica.
func (m *member) may() bool {
	return m != nil && !m.out && m.Incarnation != 0 && m.State == catalog.Serving
}

// mayLead reports whether a node should lead what it holds.
func (m *member) mayLead() bool { return m != nil && !m.out && m.State == catalog.Serving }

// Going reports whether a node is to hold nothing any more.
func Going(v *catalog.View, m *catalog.Node) bool {
	return m.State == catalog.Leaving || v.IntentFor(catalog.Reset, m.ID) != nil || v.IntentFor(catalog.Forget, m.ID) != nil
}

// Nodes are the members as placement sees them. One that does not live and holds
// nothing yet gets nothing; one that holds something is waited for.
func Nodes(v *catalog.View) (ns []placement.Node) {
	for m := range v.Nodes() {
		ns = append(ns, placement.Node{ID: m.ID, Name: m.Name, Out: Going(v, m) || m.Incarnation == 0 && !holds(v, m.ID)})
	}
	return ns
}

func holds(v *catalog.View, id uint64) bool {
	for s := range v.Shards() {
		if s.Holds(id) {
			return true
		}
	}
	return false
}

// intents goes on with what was decided about nodes.
func (p *planning) intents() {
	for i := range p.View.Intents() {
		m := p.View.Node(i.Subject)
		switch i.Kind {
		case catalog.Forget:
			p.forget(i, m)
		case catalog.Reset:
			p.reset(i, m)
		case catalog.Join:
			if m == nil || Going(p.View, m) || p.joined(m.ID) {
				p.end(i)
			}
		case catalog.Drain:
			if m == nil || m.State != catalog.Draining || m.Incarnation == 0 {
				p.end(i)
			}
		}
	}
}

func (p *planning) end(i *catalog.Intent) { p.do = append(p.do, &catalog.EndIntent{ID: i.ID}) }

// forget removes a node as soon as nothing counts on it.
func (p *planning) forget(i *catalog.Intent, m *catalog.Node) {
	switch {
	case m == nil:
		p.end(i)
	case m.State != catalog.Leaving:
		p.do = append(p.do, &catalog.SetNodeState{ID: m.ID, State: catalog.Leaving})
	case p.free(m.ID):
		p.do = append(p.do, &catalog.RemoveNode{ID: m.ID})
	case Forced(i):
		p.giveUp(m.ID)
	}
}

// reset lets a node go that lives. It follows the catalog to the end, so that it
// learns that it is over.
func (p *planning) reset(i *catalog.Intent, m *catalog.Node) {
	switch {
	case m == nil:
		p.end(i)
	case m.State != catalog.Leaving && p.last(m.ID):
		p.end(i) // nobody is left to go on without it
	case m.State == catalog.Leaving:
		if p.free(m.ID) {
			p.do = append(p.do, &catalog.RemoveNode{ID: m.ID})
		}
	case !holds(p.View, m.ID) && !slices.Contains(p.Catalog.Voters, m.ID):
		p.do = append(p.do, &catalog.SetNodeState{ID: m.ID, State: catalog.Leaving})
	}
}

// last reports whether all other members go.
func (p *planning) last(id uint64) bool {
	for m := range p.View.Nodes() {
		if m.ID != id && !Going(p.View, m) {
			return false
		}
	}
	return true
}

// free reports whether no group has a node, or is to have it.
func (p *planning) free(id uint64) bool { return !holds(p.View, id) && !p.Catalog.Has(id) }

// joined reports whether a node has all replicas that it is to have, and votes on
// the catalog if it should.
func (p *planning) joined(id uint64) bool {
	if !p.Catalog.Has(id) || len(p.Catalog.Voters) < MaxVoters && !slices.Contains(p.Catalog.Voters, id) {
		return false
	}
	some := false
	for s := range p.View.Shards() {
		if slices.Contains(s.Replicas, id) {
			some = true
			if !slices.Contains(s.Members.Voters, id) {
				return false
			}
		}
	}
	return some
}

// giveUp removes what only a node had that is forgotten by force.
func (p *planning) giveUp(id uint64) {
	for s := range p.View.Shards() {
		if !only(s, id) {
			continue
		}
		some := false
		for q := range p.View.QueuesIn(s.ID) {
			some = true
			if h := p.View.VHostByID(q.VHost); h != nil {
				p.do = append(p.do, &catalog.DeleteQueue{VHost: h.Name, Name: q.Name, ID: q.ID, Force: true})
			}
		}
		if !some {
			p.do = append(p.do, &catalog.RemoveShard{ID: s.ID})
		}
	}
}

// only reports whether a node alone has what is in a shard.
func only(s *catalog.Shard, id uint64) bool {
	return len(s.Members.Voters) == 1 && s.Members.Voters[0] == id
}
