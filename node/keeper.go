package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/reconcile"
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
	// settleFor is how long a node has followed the catalog before it votes on it.
	settleFor = 1500 * time.Millisecond
	// maxCatalogVoters bounds who votes on the catalog; the others follow.
	maxCatalogVoters = reconcile.MaxVoters
)

// A keeper drives this node, and the groups it leads, towards what the catalog
// says: who the peers are, which shards have a replica here, who is in which
// group. What it does it would do again, so whoever leads later goes on. It is
// one goroutine.
type keeper struct {
	looker
	n     *Node
	peers []transport.Peer
	seen  *catalog.View
	ready map[uint64]time.Duration // since when learners of the catalog lack nothing
	noted map[uint64]noted         // by shard
	// ordered is when a shard was ordered to be changed because it is damaged here.
	ordered map[uint64]time.Duration
	leads   handovers
	offer   offers
	heard   heard
}

func newKeeper(n *Node) *keeper {
	return &keeper{
		looker: newLooker(), n: n, ready: map[uint64]time.Duration{}, noted: map[uint64]noted{},
		ordered: map[uint64]time.Duration{}, offer: offers{}, heard: heard{},
	}
}

func (k *keeper) run(ctx context.Context) {
	k.every(ctx, keepEvery, k.look)
}

func (k *keeper) look() {
	n := k.n
	v := n.catalog.View()
	fresh := v != k.seen
	if fresh {
		k.seen = v
		if ps := peersOf(v); len(ps) > 0 && !slices.Equal(ps, k.peers) {
			k.peers = ps
			n.setPeers(ps)
		}
	}
	k.tellMember(v)
	if n.opened.Load() {
		if err := n.openShards(n.work, false); err != nil {
			n.fatal(err)
			return
		}
		k.depart(v)
		k.rejoin(v)
		k.remake(v)
	}
	k.leads.seeLives(v, n.clock.Mono(), func(node uint64) {
		if n.transport != nil {
			n.transport.Alive(node)
		}
	})
	if h := n.remote.Load(); h != nil {
		h.Hub.Tick()
		if fresh {
			if m := n.memory.Load(); m != nil {
				m.Revised()
			}
			for _, s := range n.shards.Load().open {
				s.Revised()
			}
		}
	}
	n.sender.Tick()
	if n.fenced.Load() {
		n.shed()
	}
	for _, g := range n.host.Groups() {
		k.steer(v, g)
	}
	k.door(v)
	k.drained(v)
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
	// Who was elected and has committed nothing yet may need this very follower to.
	for _, to := range k.offer.lost(g.ID(), st.Peers, k.n.sender.Serves(g.ID()), k.n.clock.Mono()) {
		g.ReportSnapshot(to, false) // it is offered again
	}
	if !st.Leading {
		delete(k.heard, g.ID())
		return
	}
	k.tellTime(v, g.ID(), st.Peers, st.Last)
	var want steer.Want
	if g.ID() == cluster.CatalogGroup {
		want = reconcile.WantCatalog(v, st.ConfState.GetVoters())
	} else if s := v.Shard(g.ID()); s != nil {
		want.Voters = s.Replicas
	}
	k.note(v, g, st)
	switch {
	case steer.Done(st.ConfState, want):
		k.prefer(v, g, st)
		return
	case k.n.stateDamage.Load() != nil:
		k.yield(v, g, st, 0) // a learner may wait for what can not be read here
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
			ok = ok && p.State == tracker.StateReplicate && p.Match+caughtUp >= st.Last && p.Match >= st.ConfIndex
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
