package node

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// DamagedShards implements admin.Repairs.
func (o operations) DamagedShards(context.Context, admin.DamagedQuery) (d admin.DamagedShards, err error) {
	self := uint64(o.dir.Node().Node)
	d.Node = o.o.Name
	v, t := o.catalog.View(), o.shards.Load()
	for _, id := range slices.Sorted(maps.Keys(t.refused)) {
		s := v.Shard(id)
		if s == nil || others(s, self) {
			continue // it is made anew from the others
		}
		x := admin.DamagedShard{Shard: id, Why: t.refused[id].Error(), Others: holders(v, s, self)}
		for _, q := range queuesOf(v, id) {
			x.Queues = append(x.Queues, admin.QueueOf{VHost: q.VHost, Queue: q.Name})
		}
		d.Shards = append(d.Shards, x)
	}
	return d, nil
}

// holders are the other nodes that have a replica of a shard.
func holders(v *catalog.View, s *catalog.Shard, self uint64) []string {
	return othersOf(v, slices.Concat(s.Members.Voters, s.Members.Others, s.Replicas), self)
}

// GiveUpShards implements admin.Repairs.
func (o operations) GiveUpShards(ctx context.Context, x admin.GiveUpShards) (admin.Done, error) {
	if err := o.majority(); err != nil {
		return admin.Done{}, err
	}
	self := uint64(o.dir.Node().Node)
	v := o.catalog.View()
	for _, id := range x.Shards {
		s := v.Shard(id)
		switch {
		case s == nil || o.shards.Load().refused[id] == nil:
			return admin.Done{}, admin.Invalidf("shard %d is not one that this node refuses", id)
		case len(holders(v, s, self)) > 0:
			return admin.Done{}, admin.Invalidf("shard %d is not lost: %v", id, holders(v, s, self))
		}
	}
	for _, id := range x.Shards {
		if err := o.giveUp(ctx, v.Shard(id)); err != nil {
			return admin.Done{}, err
		}
	}
	return admin.Done{}, nil
}

// giveUp replaces a shard of which only a damaged replica is left, here, by an
// empty one.
func (n *Node) giveUp(ctx context.Context, s *catalog.Shard) error {
	v, self := n.catalog.View(), uint64(n.dir.Node().Node)
	spec := catalog.ShardSpec{Replicas: []uint64{self}, Leader: self, Attrs: reconcile.Alone(s)}
	if _, err := n.do(ctx, &catalog.GiveUpShard{ID: s.ID, ShardSpec: spec}); err != nil {
		return err
	}
	for q := range v.QueuesIn(s.ID) {
		n.log.Warn("a queue whose messages were lost begins anew, empty", "group", s.ID, "vhost", vhostName(v, q), "queue", q.Name)
	}
	n.dropShard(s.ID)
	if err := n.openShards(n.work, false); err != nil {
		return fmt.Errorf("open the shard in the place of %d: %w", s.ID, err)
	}
	return nil
}
