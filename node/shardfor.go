package node

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// place returns the shard for a new queue: queues are spread over the shards of
// their wish by their names, on any node alike.
func (n *Node) place(ctx context.Context, p broker.Placing) (uint64, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.VHost)) // a hash takes everything
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(p.Name))
	if p.Here {
		if id, ok := n.pick(p.Wish, h.Sum64(), n.life().Node); ok {
			return id, nil
		}
	}
	if id, ok := n.pick(p.Wish, h.Sum64(), 0); ok {
		return id, nil
	}
	id, err := n.shardFor(ctx, p.Wish)
	if err != nil {
		return 0, fmt.Errorf("a shard replicated as %q: %w", p.Wish, err)
	}
	return id, nil
}

// pick returns the shard for a queue among those of a wish which one node should
// lead, if that is not 0. A node by itself has one kind of shards: should it get
// company, they are replicated as their queues ask.
func (n *Node) pick(w placement.Wish, hash, leader uint64) (id uint64, ok bool) {
	if !n.clustered() {
		w, leader = placement.Wish{}, 0
	}
	var ss []placement.Shard
	refused := n.shards.Load().refused
	for s := range n.catalog.View().Shards() {
		if (refused[s.ID] == nil || others(s, n.life().Node)) && (leader == 0 || s.Leader == leader) {
			ss = append(ss, shardOf(s))
		}
	}
	return placement.Pick(ss, w, hash)
}

// shardFor returns a shard of a wish, making the first; the planner makes the
// others. If the nodes have as many as they may, it is one that gives as much, or
// that will as soon as it has a queue that asks for it.
func (n *Node) shardFor(ctx context.Context, w placement.Wish) (uint64, error) {
	n.making.Lock()
	defer n.making.Unlock()
	if id, ok := n.pick(w, 0, 0); ok { // made meanwhile
		return id, nil
	}
	v := n.catalog.View()
	if made := placement.Make(reconcile.Nodes(v), shardsOf(v), []placement.Wish{w}, 1).Make; n.clustered() {
		for _, s := range made {
			if s.Wish.String() != w.String() {
				continue
			}
			r, err := n.do(ctx, &catalog.AddShard{Replicas: s.Replicas, Leader: s.Replicas[0], Attrs: wishAttr(w)})
			return r.ID, err
		}
	}
	if id, ok := n.instead(v, w); ok {
		return id, nil
	}
	return 0, fmt.Errorf("there is none, and no node may have another")
}

// instead returns a shard of another wish, rather one that gives as much.
func (n *Node) instead(v *catalog.View, w placement.Wish) (id uint64, ok bool) {
	refused := n.shards.Load().refused
	for s := range v.Shards() {
		if refused[s.ID] != nil && !others(s, n.life().Node) {
			continue
		}
		if has := wishOf(s); has.Gives(w) {
			return s.ID, true
		} else if !ok || has.Kind == placement.Auto {
			id, ok = s.ID, true
		}
	}
	return id, ok
}

// shardsOf are the shards as placement sees them.
func shardsOf(v *catalog.View) (ss []placement.Shard) {
	for s := range v.Shards() {
		ss = append(ss, shardOf(s))
	}
	return ss
}

func shardOf(s *catalog.Shard) placement.Shard {
	x := placement.Shard{ID: s.ID, Wish: baseOf(s), Replicas: s.Replicas, Asked: wishOf(s)}
	_, x.Raised = s.Attrs.Lookup(attrAsked)
	return x
}
