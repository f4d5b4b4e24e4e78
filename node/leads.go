package node

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
)

const (
	// handRest is how long a node rests after it handed a shard over that another
	// should lead: leads go back one at a time, not all at once.
	handRest = 500 * time.Millisecond
	// handAfter is how long a node has lived that is handed a shard.
	handAfter = 3 * time.Second
	// handTime is how long a shard waits for another node to take it over.
	handTime = time.Second
)

// handovers is what a keeper knows of handing over.
type handovers struct {
	rest  time.Duration            // until when nothing is handed over
	since map[uint64]time.Duration // by incarnation: when it was seen first
	// drained is when the end of a drain is told again.
	drained time.Duration
}

// seeLives notes since when incarnations live; began is told of nodes whose life is
// new.
func (l *handovers) seeLives(v *catalog.View, now time.Duration, began func(node uint64)) {
	live := map[uint64]time.Duration{}
	for i := range v.Incarnations() {
		since, ok := l.since[i.Number]
		if !ok {
			since = now
			began(i.Node)
		}
		live[i.Number] = since
	}
	l.since = live
}

// heard is, by shard and node, the incarnation that was told the time.
type heard map[uint64]map[uint64]uint64

// tellTime has a shard that is led here log the time once a replica that began anew
// has caught up: it must not go by its wall clock if it leads next.
func (k *keeper) tellTime(v *catalog.View, shard uint64, peers []raftgroup.PeerStatus, last uint64) {
	s := k.n.shards.Load().open[shard]
	if s == nil {
		return
	}
	due := false
	for _, p := range peers {
		m := v.Node(p.ID)
		if m == nil || m.Incarnation == 0 || m.Incarnation == k.heard[shard][p.ID] ||
			!p.RecentActive || p.State != tracker.StateReplicate || p.Match+caughtUp < last {
			continue
		}
		if k.heard[shard] == nil {
			k.heard[shard] = map[uint64]uint64{}
		}
		k.heard[shard][p.ID] = m.Incarnation
		due = true
	}
	if due {
		s.LogTime()
	}
}

// sheds reports whether this node is to lead nothing.
func (n *Node) sheds(v *catalog.View) bool {
	self := uint64(n.dir.Node().Node)
	m := v.Node(self)
	return m == nil || m.State != catalog.Serving || v.IntentFor(catalog.Reset, self) != nil
}

// drained ends the intent to drain this node, when it leads nothing any more that
// another could lead.
func (k *keeper) drained(v *catalog.View) {
	n := k.n
	i := v.IntentFor(catalog.Drain, uint64(n.dir.Node().Node))
	if i == nil || !n.shut.Load() {
		return
	}
	for _, g := range n.host.Groups() {
		if st := g.Status(); st.Leading && len(st.ConfState.GetVoters()) > 1 {
			return
		}
	}
	if now := n.clock.Mono(); now >= k.leads.drained {
		k.leads.drained = now + noteEvery
		step.At(step.NodeDrained)
		n.catalog.Start(&catalog.EndIntent{ID: i.ID}, func(catalog.Result, error) {})
	}
}

// prefer hands a group over to the node that should lead it, if that has all.
func (k *keeper) prefer(v *catalog.View, g *raftgroup.Group, st raftgroup.Status) {
	var wished uint64
	if s := v.Shard(g.ID()); s != nil {
		wished = s.Leader
	} else if g.ID() != cluster.CatalogGroup {
		return
	}
	self := uint64(k.n.dir.Node().Node)
	if k.n.sheds(v) {
		k.yield(v, g, st, wished)
		return
	}
	now := k.n.clock.Mono()
	if wished == 0 || wished == self || now < k.leads.rest || !leadable(v, st, wished) {
		return
	}
	if since, ok := k.leads.since[v.Node(wished).Incarnation]; !ok || now-since < handAfter {
		return
	}
	k.leads.rest = now + handRest
	k.n.transferLeader(g, wished)
}

// yield hands a group over, to the node that should lead it if it can.
func (k *keeper) yield(v *catalog.View, g *raftgroup.Group, st raftgroup.Status, wished uint64) {
	if leadable(v, st, wished) {
		k.n.transferLeader(g, wished)
	} else if i := slices.IndexFunc(st.Peers, func(p raftgroup.PeerStatus) bool { return leadable(v, st, p.ID) }); i >= 0 {
		k.n.transferLeader(g, st.Peers[i].ID)
	}
}

// leadable reports whether a node can take a group over: it serves, votes and has all.
func leadable(v *catalog.View, st raftgroup.Status, id uint64) bool {
	m := v.Node(id)
	return m != nil && m.State == catalog.Serving && m.Incarnation != 0 && v.IntentFor(catalog.Reset, id) == nil &&
		slices.ContainsFunc(st.Peers, func(p raftgroup.PeerStatus) bool {
			return p.ID == id && !p.Learner && p.RecentActive && p.State == tracker.StateReplicate && p.Match+caughtUp >= st.Last
		})
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
	step.At(step.LeadQuiet)
	s.Quiesce(func() {
		step.At(step.LeadHanded)
		g.TransferLeader(to)
	})
	n.clock.AfterFunc(handTime, func() {
		step.At(step.LeadResumed)
		n.handing.Delete(g.ID())
		s.Resume()
	})
}
