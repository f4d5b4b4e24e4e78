package node

import (
	"context"
	"slices"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
)

// A replica leaves a shard when the leader has committed and applied that it is no
// member, and the catalog says so. Then nobody asks it for anything any more: its
// group ends, and its log and state are freed. Should the node get a replica
// again, it begins with nothing, and is mute until it has what it once had.

// gone reports whether this node has nothing to do with a shard any more.
func gone(s *catalog.Shard, self uint64) bool {
	return s == nil || s.Members.At > 0 && !s.Holds(self)
}

// back reports whether this node is to have a replica of a shard and is none of
// its voters: what it may still have of it counts for nothing.
func back(s *catalog.Shard, self uint64) bool {
	return s.Members.At > 0 && !slices.Contains(s.Members.Voters, self)
}

// depart drops what this node has of shards that it has left.
func (k *keeper) depart(v *catalog.View) {
	n := k.n
	self := uint64(n.dir.Node().Node)
	t := n.shards.Load()
	for id := range t.open {
		if s := v.Shard(id); gone(s, self) {
			n.dropShard(id)
		}
	}
	for id := range t.refused {
		if s := v.Shard(id); gone(s, self) {
			n.dropShard(id)
		}
	}
}

// dropLeft drops what an earlier life of the process has left of shards that it
// had left before it ended.
func (n *Node) dropLeft() {
	v, self := n.catalog.View(), uint64(n.dir.Node().Node)
	for _, g := range n.seglog.Groups() {
		if g.Group == cluster.CatalogGroup || n.host.Group(g.Group) != nil {
			continue
		}
		if s := v.Shard(g.Group); gone(s, self) {
			n.dropShard(g.Group)
		}
	}
}

// dropShard ends the replica of a shard on this node and frees what it had, in a
// goroutine of its own. Sessions of this node go on with the shard's leader.
func (n *Node) dropShard(id uint64) {
	if _, under := n.dropping.LoadOrStore(id, true); under {
		return
	}
	step.At(step.ReplicaLeaving)
	n.opening.Lock()
	r := n.shards.Load().open[id]
	n.changeShards(func(t *shardTable) { delete(t.open, id); delete(t.refused, id) })
	n.opening.Unlock()
	n.work.run(func(ctx context.Context) {
		if r != nil {
			ended := make(chan struct{})
			n.rounds.Remove(r, func() { close(ended) })
			select {
			case <-ended:
			case <-ctx.Done():
				return
			}
			if g := n.host.Group(id); g != nil {
				g.Close()
			}
			if h := n.remote.Load(); h != nil {
				h.Hub.Shard(id, nil).Unbind()
			}
		}
		step.At(step.ReplicaClosed)
		// What the loader was asked for before the group ended it reads from what is
		// about to be freed.
		read := make(chan struct{})
		n.loader.Do(func() error { close(read); return nil })
		select {
		case <-read:
		case <-ctx.Done():
			return
		}
		dropped := make(chan struct{})
		n.seglog.Submit(&storage.Append{Group: id, Reset: &storage.Reset{Drop: true}, Done: func() { close(dropped) }})
		select {
		case <-dropped:
		case <-ctx.Done():
			return
		}
		step.At(step.ReplicaDropped)
		// The log went first: what knows of no log is deleted at the next start.
		if err := n.slots.Drop(id); err != nil {
			n.log.Warn("the state of a shard that this node has left could not be deleted", "group", id, "err", err)
		}
		step.At(step.ReplicaFreed)
		n.log.Info("the replica of a shard that this node has left is deleted", "group", id)
		n.dropping.Delete(id)
		n.keeper.poke()
	})
}
