// Package steer leads the configuration of a Raft group, step by step, to the
// replicas it should have. It is pure: whoever leads a group asks it, now and
// then, for the next step, and proposes that. Whoever leads later goes on from
// whatever configuration there is, so no step needs to be remembered.
//
// A replica is added as a learner and becomes a voter when it has caught up.
// Nobody stops being a voter before all who should be are: then one joint change
// demotes the others, and only as learners they leave. A leader that should not
// be a replica hands over first. Nobody is let go as long as so many of those who
// stay are away that the others would have no majority.
package steer

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/internal/step"
)

// A Group is a Raft group as its leader sees it.
type Group struct {
	// Self is the node that leads.
	Self uint64
	Conf *raftpb.ConfState
	// CaughtUp reports whether a member has about all that the leader has.
	CaughtUp func(id uint64) bool
	// Active reports whether a member was heard of lately.
	Active func(id uint64) bool
}

// Want is what a group should be.
type Want struct {
	Voters []uint64
	// Learners follow and do not vote.
	Learners []uint64
}

// A Step is what to do next; the zero Step is nothing for now.
type Step struct {
	// Change is to be proposed.
	Change *raftpb.ConfChangeV2
	// Transfer is who is to lead instead.
	Transfer uint64
}

// None reports whether there is nothing to do.
func (s Step) None() bool { return s.Change == nil && s.Transfer == 0 }

// Done reports whether a configuration is what is wanted.
func Done(c *raftpb.ConfState, w Want) bool {
	return len(c.GetVotersOutgoing()) == 0 && len(c.GetLearnersNext()) == 0 &&
		same(c.GetVoters(), w.Voters) && same(c.GetLearners(), w.Learners)
}

func same(a, b []uint64) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Next returns the next step. Without wanted voters there is none: a group is
// not steered into having nobody.
func Next(g Group, w Want) Step {
	c := g.Conf
	if len(w.Voters) == 0 {
		return Step{}
	}
	if len(c.GetVotersOutgoing()) > 0 {
		if c.GetAutoLeave() {
			return Step{} // Raft leaves by itself
		}
		return Step{Change: &raftpb.ConfChangeV2{}}
	}
	if id, ok := first(w.Voters, func(id uint64) bool { return !member(c, id) }); ok {
		step.At(step.MemberAdded)
		return one(raftpb.ConfChangeAddLearnerNode, id)
	}
	if id, ok := first(w.Learners, func(id uint64) bool { return !member(c, id) }); ok {
		step.At(step.MemberAdded)
		return one(raftpb.ConfChangeAddLearnerNode, id)
	}
	if id, ok := first(w.Voters, func(id uint64) bool { return !voter(c, id) && g.CaughtUp(id) }); ok {
		step.At(step.MemberPromoted)
		return one(raftpb.ConfChangeAddNode, id)
	}
	if slices.ContainsFunc(w.Voters, func(id uint64) bool { return !voter(c, id) }) {
		return Step{} // it has to catch up
	}
	var change raftpb.ConfChangeV2
	for _, id := range c.GetVoters() {
		if slices.Contains(w.Voters, id) {
			continue
		}
		if id == g.Self {
			return handOver(g, w)
		}
		change.Changes = append(change.Changes, single(raftpb.ConfChangeAddLearnerNode, id))
	}
	if len(change.Changes) > 0 {
		if !g.majority(w) {
			return Step{} // those who go are needed as long as others are away
		}
		step.At(step.MemberDemoted)
		return Step{Change: &change}
	}
	if id, ok := first(c.GetLearners(), func(id uint64) bool { return !slices.Contains(w.Learners, id) }); ok {
		step.At(step.MemberRemoved)
		return one(raftpb.ConfChangeRemoveNode, id)
	}
	return Step{}
}

// majority reports whether most of those who should vote were heard of lately.
func (g *Group) majority(w Want) bool {
	active := 0
	for _, id := range w.Voters {
		if id == g.Self || g.Active(id) {
			active++
		}
	}
	return active > len(w.Voters)/2
}

// handOver picks who leads when the leader has to go.
func handOver(g Group, w Want) Step {
	id, _ := first(w.Voters, func(id uint64) bool { return g.CaughtUp(id) && g.Active(id) })
	return Step{Transfer: id}
}

func voter(c *raftpb.ConfState, id uint64) bool { return slices.Contains(c.GetVoters(), id) }

func member(c *raftpb.ConfState, id uint64) bool {
	return voter(c, id) || slices.Contains(c.GetLearners(), id)
}

func first(ids []uint64, ok func(uint64) bool) (uint64, bool) {
	if i := slices.IndexFunc(ids, ok); i >= 0 {
		return ids[i], true
	}
	return 0, false
}

func one(kind raftpb.ConfChangeType, id uint64) Step {
	return Step{Change: &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{single(kind, id)}}}
}

func single(kind raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeSingle {
	return &raftpb.ConfChangeSingle{Type: &kind, NodeId: &id}
}
