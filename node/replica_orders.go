package node

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/pattern"
)

const (
	// memberTime is how long an order about a replica waits for it to be done.
	memberTime = 5 * time.Second
	// balanceTime is how long an order to spread leads waits for that.
	balanceTime = 15 * time.Second
)

// runningNode returns a member that can take a replica.
func (o operations) runningNode(name string) (*catalog.Node, error) {
	m, err := o.memberNamed(name)
	if err != nil {
		return nil, err
	}
	if m.Incarnation == 0 || reconcile.Going(o.catalog.View(), m) {
		return nil, &admin.Error{Kind: admin.Unavailable, Thing: admin.NodeThing, Name: name, Text: "node " + name + " is not running"}
	}
	return m, nil
}

// AddReplica implements admin.Replicas.
func (o operations) AddReplica(ctx context.Context, x admin.ReplicaOn) (admin.Done, error) {
	s, err := o.shardOfQueue(x.QueueOf)
	if err != nil {
		return admin.Done{}, err
	}
	m, err := o.runningNode(x.Node)
	if err != nil {
		return admin.Done{}, err
	}
	if slices.Contains(s.Replicas, m.ID) {
		return admin.Done{}, nil // as it should be
	}
	return admin.Done{}, o.setReplicas(ctx, s, reconcile.Added(s, m.ID))
}

// DeleteReplica implements admin.Replicas.
func (o operations) DeleteReplica(ctx context.Context, x admin.ReplicaOn) (admin.Done, error) {
	s, err := o.shardOfQueue(x.QueueOf)
	if err != nil {
		return admin.Done{}, err
	}
	m, err := o.memberNamed(x.Node)
	if err != nil {
		return admin.Done{}, err
	}
	if !slices.Contains(s.Replicas, m.ID) {
		return admin.Done{}, &admin.Error{Kind: admin.NotFound, Thing: admin.NodeThing, Name: x.Node, Text: "not_a_member"}
	}
	if len(s.Replicas) == 1 {
		return admin.Done{}, &admin.Error{Kind: admin.Denied, Thing: admin.NodeThing, Name: x.Node, Text: lastReplica}
	}
	return admin.Done{}, o.setReplicas(ctx, s, reconcile.Taken(s, m.ID))
}

// lastReplica are RabbitMQ's words.
const lastReplica = "the last node cannot be removed"

// setReplicas says what replicas a shard should have, and waits a little until it
// has them: it goes on by itself.
func (o operations) setReplicas(ctx context.Context, s *catalog.Shard, spec catalog.ShardSpec) error {
	if _, err := o.order(ctx, &catalog.SetShard{ID: s.ID, ShardSpec: spec}, ""); err != nil {
		return err
	}
	o.log.Info("the replicas of a shard are changed by an order", "group", s.ID, "to", namesOf(o.catalog.View(), spec.Replicas))
	o.planner.poke()
	o.awaitReplicas(ctx, s.ID)
	return nil
}

func (o operations) awaitReplicas(ctx context.Context, shards ...uint64) {
	wait, cancel := context.WithTimeout(ctx, memberTime)
	defer cancel()
	_ = await(wait, "change replicas", func() bool {
		v := o.catalog.View()
		return !slices.ContainsFunc(shards, func(id uint64) bool {
			s := v.Shard(id)
			return s != nil && reconcile.Shard(v, s) != ""
		})
	})
}

// matching calls f for the queues with replicas whose names match.
func (o operations) matching(vhosts, queues string, f func(*catalog.VHost, *catalog.Queue, *catalog.Shard)) error {
	vp, err := pattern.Compile(vhosts)
	if err != nil {
		return admin.Invalidf("%v", err)
	}
	qp, err := pattern.Compile(queues)
	if err != nil {
		return admin.Invalidf("%v", err)
	}
	v := o.catalog.View()
	for h := range v.VHosts() {
		if ok, err := vp.Match(h.Name); err != nil {
			return admin.Invalidf("%v", err)
		} else if !ok {
			continue
		}
		for q := range h.Queues("") {
			ok, err := qp.Match(q.Name)
			if err != nil {
				return admin.Invalidf("%v", err)
			}
			if s := v.Shard(q.Shard); ok && s != nil {
				f(h, q, s)
			}
		}
	}
	return nil
}

// GrowQueues implements admin.Replicas.
func (o operations) GrowQueues(ctx context.Context, x admin.GrowQueues) (g admin.Grown, err error) {
	m, err := o.runningNode(x.Node)
	if err != nil {
		return g, err
	}
	change := map[uint64]catalog.ShardSpec{}
	err = o.matching(x.VHostPattern, x.QueuePattern, func(h *catalog.VHost, q *catalog.Queue, s *catalog.Shard) {
		if slices.Contains(s.Replicas, m.ID) || x.Even && len(s.Replicas)%2 != 0 {
			return
		}
		change[s.ID] = reconcile.Added(s, m.ID)
		g.Queues = append(g.Queues, admin.GrownQueue{VHost: h.Name, Name: q.Name, Size: len(s.Replicas) + 1})
	})
	if err != nil {
		return g, err
	}
	return g, o.setAll(ctx, change)
}

// ShrinkQueues implements admin.Replicas.
func (o operations) ShrinkQueues(ctx context.Context, x admin.ShrinkQueues) (g admin.Grown, err error) {
	m, err := o.memberNamed(x.Node)
	if err != nil {
		return g, err
	}
	change := map[uint64]catalog.ShardSpec{}
	err = o.matching("", "", func(h *catalog.VHost, q *catalog.Queue, s *catalog.Shard) {
		if !slices.Contains(s.Replicas, m.ID) {
			return
		}
		r := admin.GrownQueue{VHost: h.Name, Name: q.Name, Size: len(s.Replicas) - 1}
		if r.Size == 0 {
			r.Size, r.Error = 1, lastReplica
		} else {
			change[s.ID] = reconcile.Taken(s, m.ID)
		}
		g.Queues = append(g.Queues, r)
	})
	if err != nil {
		return g, err
	}
	return g, o.setAll(ctx, change)
}

func (o operations) setAll(ctx context.Context, change map[uint64]catalog.ShardSpec) error {
	ids := slices.Sorted(maps.Keys(change))
	for _, id := range ids {
		if _, err := o.order(ctx, &catalog.SetShard{ID: id, ShardSpec: change[id]}, ""); err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		o.log.Info("the replicas of shards are changed by an order", "count", len(ids))
	}
	o.planner.poke()
	o.awaitReplicas(ctx, ids...)
	return nil
}

// Rebalance implements admin.Replicas. The nodes do it by themselves; this waits
// for them.
func (o operations) Rebalance(ctx context.Context, x admin.Rebalance) (b admin.Balance, err error) {
	leads := map[string]*admin.NodeLeads{}
	led := map[uint64]string{}
	v := o.catalog.View()
	for m := range v.Nodes() {
		leads[m.Name] = &admin.NodeLeads{Node: m.Name}
	}
	o.planner.poke()
	wait, cancel := context.WithTimeout(ctx, balanceTime)
	defer cancel()
	_ = await(wait, "spread leads", func() bool {
		for s := range o.catalog.View().Shards() {
			if st, ok := o.groupOf(s.ID); ok && st != s.Leader {
				return false
			}
		}
		return true
	})
	err = o.matching(x.VHostPattern, x.QueuePattern, func(_ *catalog.VHost, q *catalog.Queue, s *catalog.Shard) {
		if _, ok := led[s.ID]; !ok {
			lead, here := o.groupOf(s.ID)
			if !here {
				lead = s.Leader // who should
			}
			led[s.ID] = strings.Join(namesOf(v, []uint64{lead}), "")
		}
		switch n := leads[led[s.ID]]; {
		case n == nil: // nobody leads it
		case q.Kind == catalog.Quorum:
			n.Quorum++
		default:
			n.Classic++
		}
	})
	for _, n := range leads {
		b.Nodes = append(b.Nodes, *n)
	}
	slices.SortFunc(b.Nodes, func(a, c admin.NodeLeads) int { return cmp.Compare(a.Node, c.Node) })
	return b, err
}

// groupOf returns who leads a shard that this node has a replica of.
func (n *Node) groupOf(shard uint64) (leader uint64, ok bool) {
	g := n.host.Group(shard)
	if g == nil {
		return 0, false
	}
	return g.Status().Leader, true
}

// Drain implements admin.Replicas.
func (o operations) Drain(ctx context.Context, _ admin.Drain) (admin.Done, error) {
	return admin.Done{}, o.Node.Drain(ctx, o.o.Name)
}

// Revive implements admin.Replicas.
func (o operations) Revive(ctx context.Context, _ admin.Revive) (admin.Done, error) {
	return admin.Done{}, o.Node.Revive(ctx, o.o.Name)
}
