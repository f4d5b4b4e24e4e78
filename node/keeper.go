package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/steer"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
)

const (
	// keepEvery is how often the keeper looks without being told to.
	keepEvery = 200 * time.Millisecond
	// planTime bounds what the planner does in the catalog at a time.
	planTime = 10 * time.Second
	// caughtUp is how many entries a follower may lack that becomes a voter.
	caughtUp = 64
	// handTime is how long a shard waits for another node to take it over.
	handTime = time.Second
	// settleFor is how long a node has followed the catalog before it votes on it.
	settleFor = 1500 * time.Millisecond
	// maxCatalogVoters bounds who votes on the catalog; the others follow.
	maxCatalogVoters = 5
)

// A keeper drives this node, and the groups it leads, towards what the catalog
// says: who the peers are, which shards have a replica here, who is in which
// group. What it does it would do again, so whoever leads later goes on. It is
// one goroutine.
type keeper struct {
	n     *Node
	wake  chan struct{}
	peers []transport.Peer
	seen  *catalog.View
	ready map[uint64]time.Duration // since when learners of the catalog lack nothing
}

func newKeeper(n *Node) *keeper {
	return &keeper{n: n, wake: make(chan struct{}, 1), ready: map[uint64]time.Duration{}}
}

// poke has the keeper look now; it never blocks.
func (k *keeper) poke() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) {
	t := time.NewTicker(keepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-k.wake:
		}
		k.look()
	}
}

func (k *keeper) look() {
	n := k.n
	v := n.catalog.View()
	fresh := v != k.seen
	if fresh {
		k.seen = v
		if ps := peersOf(v); len(ps) > 0 && !slices.Equal(ps, k.peers) {
			k.peers = ps
			n.setPeers(ps) //nolint:contextcheck // connections outlive what opens them
		}
	}
	k.tellMember(v)
	if n.opened.Load() {
		if err := n.openShards(n.work, false); err != nil {
			n.fatal(err)
			return
		}
	}
	if h := n.remote.Load(); h != nil {
		h.Hub.Tick()
		if fresh {
			n.memory.Revised()
			for _, s := range n.shards.Load().open {
				s.Revised()
			}
		}
	}
	n.sender.Tick()
	for _, g := range n.host.Groups() {
		k.steer(v, g)
	}
	if fresh {
		n.planner.poke()
	}
}

// tellMember tells who beats to whom and who leads the catalog.
func (k *keeper) tellMember(v *catalog.View) {
	d, g := k.n.member.Load(), k.n.host.Group(cluster.CatalogGroup)
	if d == nil || g == nil {
		return
	}
	st := g.Status()
	c := st.ConfState
	d.SetView(v, member.Conf{Index: st.ConfIndex, Voters: c.GetVoters(), Outgoing: c.GetVotersOutgoing(), Learners: c.GetLearners()})
	l := member.Leader{Node: st.Leader, Term: st.Term}
	if st.Leader == uint64(k.n.dir.Node().Node) && !st.Leading {
		l.Node = 0
	}
	d.SetLeader(l)
}

// steer takes the next step towards the members that a group led here should
// have.
func (k *keeper) steer(v *catalog.View, g *raftgroup.Group) {
	st := g.Status()
	if !st.Leading {
		return
	}
	var want steer.Want
	if g.ID() == cluster.CatalogGroup {
		want = wantCatalog(v, st.ConfState.GetVoters())
	} else if s := v.Shard(g.ID()); s != nil {
		want.Voters = s.Replicas
	}
	if steer.Done(st.ConfState, want) {
		k.prefer(v, g, st)
		return
	}
	peer := func(id uint64) (raftgroup.PeerStatus, bool) {
		i := slices.IndexFunc(st.Peers, func(p raftgroup.PeerStatus) bool { return p.ID == id })
		if i < 0 {
			return raftgroup.PeerStatus{}, false
		}
		return st.Peers[i], true
	}
	step := steer.Next(steer.Group{
		Self: uint64(k.n.dir.Node().Node), Conf: st.ConfState,
		CaughtUp: func(id uint64) bool {
			p, ok := peer(id)
			ok = ok && p.State == tracker.StateReplicate && p.Match+caughtUp >= st.Last
			return ok && (g.ID() != cluster.CatalogGroup || k.settled(id))
		},
		Active: func(id uint64) bool { p, ok := peer(id); return ok && p.RecentActive },
	}, want)
	switch {
	case step.Change != nil:
		g.ProposeConfChange(step.Change, func(err error) {
			if err != nil && !errors.Is(err, raftgroup.ErrConfChange) {
				k.n.log.Warn("a change of a group's members was not proposed", "group", g.ID(), "err", err)
			}
		})
	case step.Transfer != 0:
		k.n.transferLeader(g, step.Transfer)
	}
}

// settled reports whether a learner of the catalog has lacked nothing for a while:
// it has answered beats then, and the others keep their leases when it votes.
func (k *keeper) settled(id uint64) bool {
	now := k.n.clock.Mono()
	since, ok := k.ready[id]
	if !ok {
		k.ready[id] = now
	}
	return ok && now-since >= settleFor
}

// transferLeader hands a group over. A shard first has everything committed that it
// decided, so that nobody gets a message again for it; if the other does not take
// over in time, it goes on here.
func (n *Node) transferLeader(g *raftgroup.Group, to uint64) {
	s := n.shards.Load().open[g.ID()]
	if s == nil {
		g.TransferLeader(to)
		return
	}
	if _, under := n.handing.LoadOrStore(g.ID(), true); under {
		return
	}
	s.Quiesce(func() { g.TransferLeader(to) })
	n.clock.AfterFunc(handTime, func() {
		n.handing.Delete(g.ID())
		s.Resume()
	})
}

// prefer hands a shard over to the node that should lead it, if that has all.
func (k *keeper) prefer(v *catalog.View, g *raftgroup.Group, st raftgroup.Status) {
	s := v.Shard(g.ID())
	if s == nil || s.Leader == 0 || s.Leader == uint64(k.n.dir.Node().Node) {
		return
	}
	for _, p := range st.Peers {
		if p.ID == s.Leader && p.RecentActive && p.State == tracker.StateReplicate && p.Match+caughtUp >= st.Last {
			k.n.transferLeader(g, p.ID)
			return
		}
	}
}

// wantCatalog is who should vote on the catalog: those that do, as long as they
// are members, and others up to the bound.
func wantCatalog(v *catalog.View, voters []uint64) (w steer.Want) {
	members := map[uint64]bool{}
	var others []uint64
	for m := range v.Nodes() {
		if m.State == catalog.Leaving {
			continue
		}
		members[m.ID] = true
		if !slices.Contains(voters, m.ID) {
			others = append(others, m.ID)
		}
	}
	slices.Sort(others)
	for _, id := range voters {
		if members[id] {
			w.Voters = append(w.Voters, id)
		}
	}
	more := min(max(0, maxCatalogVoters-len(w.Voters)), len(others))
	w.Voters = append(w.Voters, others[:more]...)
	w.Learners = others[more:]
	return w
}

// plan makes the shards that are missing, and says who should hold the others.
func (n *Node) plan(ctx context.Context, v *catalog.View) error {
	v, err := n.wishes.look(ctx, v)
	if err != nil {
		return err
	}
	p := placement.Make(n.members(v), shardsOf(v), []placement.Wish{{}}, n.o.Shards)
	for _, c := range p.Changes {
		have := v.Shard(c.Shard)
		if _, err := n.do(ctx, &catalog.SetShard{ID: c.Shard, ShardSpec: catalog.ShardSpec{Replicas: c.Replicas, Leader: c.Replicas[0], Attrs: have.Attrs}}); err != nil {
			return err
		}
	}
	for _, s := range p.Make {
		if _, err := n.do(ctx, &catalog.AddShard{Replicas: s.Replicas, Leader: s.Replicas[0], Attrs: wishAttr(s.Wish)}); err != nil {
			return err
		}
	}
	return nil
}

// holds reports whether a node that does not live has shards: then it is waited
// for, and nothing is moved.
func holds(v *catalog.View, id uint64) bool {
	for s := range v.Shards() {
		if slices.Contains(s.Replicas, id) {
			return true
		}
	}
	return false
}
