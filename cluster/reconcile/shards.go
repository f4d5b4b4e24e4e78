package reconcile

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/catalog"
)

// shards says who should hold and who should lead which shard, and makes those
// that are missing.
func (p *planning) shards() {
	p.nodes = map[uint64]*member{}
	ns := Nodes(p.View)
	for _, n := range ns {
		p.nodes[n.ID] = &member{Node: p.View.Node(n.ID), out: n.Out}
	}
	plan := placement.Make(ns, p.Shards, p.Wishes, p.Per)
	target := map[uint64][]uint64{}
	for _, c := range plan.Changes {
		target[c.Shard] = c.Replicas
	}
	moving := 0
	all := slices.Collect(p.View.Shards())
	for _, s := range all {
		if !settled(s) {
			moving++
		}
		for _, id := range s.Replicas {
			if m := p.nodes[id]; m != nil {
				m.holds++
			}
		}
	}
	// What a node that goes has comes first.
	slices.SortStableFunc(all, func(a, b *catalog.Shard) int { return cmp.Compare(p.urgency(a), p.urgency(b)) })
	specs := map[uint64]catalog.ShardSpec{}
	for _, s := range all {
		spec := s.ShardSpec
		want, changes := target[s.ID]
		if !changes {
			want = s.Replicas
		}
		want = p.replicas(s, want)
		urgent := p.urgency(s) == 0
		if same(want, s.Replicas) {
			spec.Replicas = want // their order says who should lead
		} else if urgent || settled(s) && moving < p.Moving {
			spec.Replicas = want
			if settled(s) {
				moving++
			}
		}
		specs[s.ID] = spec
	}
	p.leaders(specs)
	for _, m := range plan.Make {
		if !slices.ContainsFunc(m.Replicas, func(id uint64) bool { return !p.nodes[id].may() }) {
			p.do = append(p.do, &catalog.AddShard{Replicas: m.Replicas, Leader: m.Replicas[0], Attrs: WishAttr(m.Wish)})
		}
	}
}

// urgency is 0 for a shard of which a node that goes has a replica.
func (p *planning) urgency(s *catalog.Shard) int {
	for _, id := range s.Replicas {
		if m := p.nodes[id]; m == nil || m.out {
			return 0
		}
	}
	return 1
}

// settled reports whether a shard's group has the members it should have.
func settled(s *catalog.Shard) bool {
	return len(s.Members.Others) == 0 && same(s.Members.Voters, s.Replicas)
}

// replicas makes of the replicas that a shard should have by its wish those that
// it gets: nobody gets one whose node does not live or is to hold nothing, nor
// who was taken out by an order, as long as there is another; who was added by an
// order has one too. There are never fewer than there would be for that.
func (p *planning) replicas(s *catalog.Shard, want []uint64) (set []uint64) {
	also, not := list(s, attrAlso), append(list(s, attrNot), list(s, attrLost)...)
	count := len(want)
	add := func(id uint64) {
		if len(set) < count && !slices.Contains(set, id) {
			set = append(set, id)
		}
	}
	stays := func(id uint64) bool {
		m := p.nodes[id]
		return m != nil && !m.out && slices.Contains(s.Replicas, id) && !slices.Contains(not, id)
	}
	for _, id := range want {
		if stays(id) || p.nodes[id].may() && !slices.Contains(not, id) {
			add(id)
		}
	}
	for _, id := range s.Replicas {
		if stays(id) {
			add(id)
		}
	}
	for _, id := range p.idle() {
		if !slices.Contains(not, id) {
			add(id)
		}
	}
	for _, id := range also {
		if !slices.Contains(set, id) && (stays(id) || p.nodes[id].may()) {
			set = append(set, id)
		}
	}
	if len(set) == 0 {
		return s.Replicas // nobody can take it
	}
	return set
}

// idle are the nodes that can be given a replica, the emptiest first.
func (p *planning) idle() (ids []uint64) {
	for id, m := range p.nodes {
		if m.may() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uint64) int {
		return cmp.Or(cmp.Compare(p.nodes[a].holds, p.nodes[b].holds), cmp.Compare(a, b))
	})
	return ids
}

// leaders says who should lead: the first of the replicas, or, if that is not to
// lead, the one that leads fewest.
func (p *planning) leaders(specs map[uint64]catalog.ShardSpec) {
	var without []uint64
	for _, s := range p.Shards {
		spec, ok := specs[s.ID]
		if !ok {
			continue
		}
		if m := p.nodes[spec.Replicas[0]]; m.mayLead() {
			spec.Leader = spec.Replicas[0]
			m.leads++
			specs[s.ID] = spec
		} else {
			without = append(without, s.ID)
		}
	}
	slices.Sort(without)
	for _, id := range without {
		spec := specs[id]
		best := uint64(0)
		for _, r := range spec.Replicas {
			if m := p.nodes[r]; m.mayLead() && m.Incarnation != 0 && (best == 0 || m.leads < p.nodes[best].leads) {
				best = r
			}
		}
		if best == 0 {
			best = spec.Replicas[0]
		}
		spec.Leader = best
		if m := p.nodes[best]; m != nil {
			m.leads++
		}
		specs[id] = spec
	}
	for s := range p.View.Shards() {
		spec, ok := specs[s.ID]
		if ok && (spec.Leader != s.Leader || !slices.Equal(spec.Replicas, s.Replicas) || !bytes.Equal(spec.Attrs, s.Attrs)) {
			p.do = append(p.do, &catalog.SetShard{ID: s.ID, ShardSpec: spec})
		}
	}
}

func same(a, b []uint64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
