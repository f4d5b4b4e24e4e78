package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
)

// plan does what reconcile says has to be done in the catalog now.
func (n *Node) plan(ctx context.Context, v *catalog.View) error {
	v, err := n.wishes.look(ctx, v)
	if err != nil {
		return err
	}
	members, ok := n.catalogMembers()
	if !ok {
		return nil // the node stops
	}
	w := reconcile.World{View: v, Catalog: members, Shards: shardsOf(v), Wishes: []placement.Wish{{}}, Per: n.o.Shards}
	for _, cmd := range reconcile.Next(w) {
		r, err := n.catalog.Do(ctx, cmd)
		if err != nil {
			return err
		}
		n.tellPlanned(v, cmd, r)
	}
	return nil
}

// tellPlanned logs what was changed. A command that found something else than it
// was made for did nothing: the next plan sees that.
func (n *Node) tellPlanned(v *catalog.View, cmd catalog.Command, r catalog.Result) {
	if r.Code != catalog.Done {
		n.log.Debug("the catalog has changed meanwhile", "text", r.Code.String())
		return
	}
	switch x := cmd.(type) {
	case *catalog.SetShard:
		if s := v.Shard(x.ID); s != nil && !slices.Equal(s.Replicas, x.Replicas) {
			n.log.Info("a shard gets other replicas", "group", x.ID, "to", namesOf(v, x.Replicas))
		}
	case *catalog.AddShard:
		n.log.Info("a shard is made", "group", r.ID, "to", namesOf(v, x.Replicas))
	case *catalog.RemoveShard:
		n.log.Warn("a shard is given up, with what was in it", "group", x.ID)
	case *catalog.RemoveNode:
		step.At(step.NodeRemoved)
		n.log.Info("a node is no member any more", "peer", namesOf(v, []uint64{x.ID}))
	}
}

// catalogMembers are the members of the catalog's group, as applied here.
func (n *Node) catalogMembers() (m catalog.Members, ok bool) {
	g := n.host.Group(cluster.CatalogGroup)
	if g == nil {
		return m, false
	}
	c := g.Status().ConfState
	m.Voters = slices.Concat(c.GetVoters(), c.GetVotersOutgoing())
	m.Others = slices.Concat(c.GetLearners(), c.GetLearnersNext())
	return m, true
}

// noteEvery is how long the leader of a shard waits until it tells again what
// members the shard has.
const noteEvery = 2 * time.Second

// A noted is what was told last.
type noted struct {
	at   uint64
	when time.Duration
}

// note tells the catalog what members a shard that is led here has.
func (k *keeper) note(v *catalog.View, g *raftgroup.Group, st raftgroup.Status) {
	s, c := v.Shard(g.ID()), st.ConfState
	if s == nil || len(c.GetVotersOutgoing()) > 0 || len(c.GetLearnersNext()) > 0 || st.ConfIndex <= s.Members.At ||
		equalSets(s.Members.Voters, c.GetVoters()) && equalSets(s.Members.Others, c.GetLearners()) {
		return
	}
	now := k.n.clock.Mono()
	if last := k.noted[s.ID]; last.at == st.ConfIndex && now-last.when < noteEvery {
		return
	}
	step.At(step.MemberNoted)
	k.noted[s.ID] = noted{st.ConfIndex, now}
	cmd := &catalog.NoteMembers{Shard: s.ID, Members: catalog.Members{Voters: c.GetVoters(), Others: c.GetLearners(), At: st.ConfIndex}}
	k.n.catalog.Start(cmd, func(_ catalog.Result, err error) {
		if err != nil && !errors.Is(err, cluster.ErrEnded) {
			k.n.log.Debug("the members of a shard could not be noted", "group", s.ID, "err", err)
		}
	})
}

func equalSets(a, b []uint64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
