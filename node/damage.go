package node

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// A replica that lost what it had acknowledged counts for nothing: it is not
// opened, so that it neither votes nor acknowledges with a hole. Its node has the
// catalog take it out of its shard; when the shard's leader has committed that
// without it, nobody counts on what it once acknowledged, and what it still has is
// dropped (depart.go). Then its node says so, gets a replica as any other may, an
// empty one that follows before it votes and is mute until its log reaches the
// point at which the old one was out.
//
// It takes a majority without the replica. Of one replica, or two, there is none.

// rejoinEvery is how long is waited for the catalog to take an order.
const rejoinEvery = 2 * time.Second

// rejoin takes the next step for each shard that is damaged here.
func (k *keeper) rejoin(v *catalog.View) {
	n, self, now := k.n, uint64(k.n.dir.Node().Node), k.n.clock.Mono()
	t := n.shards.Load()
	for s := range v.Shards() {
		_, under := n.dropping.Load(s.ID)
		if last, ok := k.ordered[s.ID]; under || ok && now-last < rejoinEvery {
			continue
		}
		switch lost := reconcile.Damaged(s, self); {
		case t.refused[s.ID] != nil && slices.Contains(s.Replicas, self):
			if !others(s, self) {
				continue
			}
			k.order(s, reconcile.Lose(s, self))
			n.log.Info("a damaged replica leaves its shard, to be made anew from the others", "group", s.ID)
		case lost && t.refused[s.ID] == nil && !s.Holds(self):
			k.order(s, reconcile.Found(s, self))
		}
	}
}

// order has the catalog change a shard; it does not wait.
func (k *keeper) order(s *catalog.Shard, spec catalog.ShardSpec) {
	k.ordered[s.ID] = k.n.clock.Mono()
	k.n.catalog.Start(&catalog.SetShard{ID: s.ID, ShardSpec: spec}, func(r catalog.Result, err error) {
		if err != nil || r.Code != catalog.Done {
			k.n.log.Debug("a shard could not be changed and is tried again", "group", s.ID, "text", r.Code.String(), "err", err)
		}
	})
}

// others reports whether a shard has a majority without one of its voters.
func others(s *catalog.Shard, self uint64) bool {
	voters := s.Members.Voters
	if s.Members.At == 0 {
		voters = s.Founders
	}
	return !slices.Contains(voters, self) || len(voters) > 2
}

// forgot takes note that a group lacks what it had acknowledged, although nothing
// on the disk is damaged: an older copy of it was put in place. It is called in
// the group's turn, which does nothing any more.
func (n *Node) forgot(group uint64, why error) {
	n.clock.AfterFunc(0, func() {
		if group == cluster.CatalogGroup {
			n.log.Error("the node starts again, its catalog lost acknowledged data", "err", why)
			if err := n.noteLost(lostWord); err != nil {
				n.fatal(err)
				return
			}
			n.startAgain()
			return
		}
		n.opening.Lock()
		defer n.opening.Unlock()
		r, s := n.shards.Load().open[group], n.catalog.View().Shard(group)
		if r == nil || s == nil {
			return
		}
		n.refuse(s, why)
		if err := n.closeShard(n.work.ctx, group, r); err != nil {
			return // the node stops
		}
		if h := n.remote.Load(); h != nil {
			h.Hub.Shard(group, nil).Unbind()
		}
	})
}

// startAgain has Run end and say that the node has to be started again.
func (n *Node) startAgain() {
	n.again.Store(true)
	if halt := n.halt.Load(); halt != nil {
		(*halt)()
	}
}

// refusedText says what becomes of a shard that is refused.
func refusedText(s *catalog.Shard, self uint64) string {
	switch voters := max(len(s.Members.Voters), len(s.Replicas)); {
	case others(s, self):
		return "it is made anew from the other replicas, which go on"
	case voters == 2:
		return "its queues are unavailable: it has two replicas and needs both; the other one has everything, see docs/partitions.md"
	}
	return "its queues are unavailable, the rest serves: it had one replica; restore a backup, or 'warren repair' shows what is lost"
}
