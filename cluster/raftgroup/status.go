package raftgroup

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// A Status is a group's state as of its last turn.
type Status struct {
	Group  uint64
	Role   raft.StateType
	Term   uint64
	Vote   uint64
	Leader uint64 // 0 when unknown
	// Leading says that the machine was told to lead.
	Leading bool
	// First and Last bound the stable log; Applied is the machine's.
	First, Last, Commit, Applied uint64
	ConfState                    *raftpb.ConfState // not to be changed
	// ConfIndex is an index at which ConfState held: that of the change that made
	// it, or where this life of the group began if it was made before.
	ConfIndex uint64
	// Peers is what a leader knows of the others, by id, as of the last tick.
	Peers []PeerStatus
}

// A PeerStatus is what a leader knows of a member.
type PeerStatus struct {
	ID, Match, Next uint64
	State           tracker.StateType
	RecentActive    bool
	Learner         bool
}

// Status returns the group's state.
func (g *Group) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.mu.status
	s.Peers = slices.Clone(s.Peers)
	return s
}

// publish updates the status; the peers' part only when asked to.
func (g *Group) publish(peers bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &g.mu.status
	s.Group, s.Role, s.Term, s.Vote, s.Leader, s.Leading = g.id, g.role, g.hard.Term, g.hard.Vote, g.lead, g.leading
	s.First, s.Last, s.Commit, s.Applied, s.ConfState = g.view.first, g.view.last, g.hard.Commit, g.applied, g.conf
	s.ConfIndex = g.confAt
	if g.role != raft.StateLeader {
		s.Peers = s.Peers[:0]
		return
	}
	if !peers {
		return
	}
	s.Peers = s.Peers[:0]
	g.rn.WithProgress(func(id uint64, typ raft.ProgressType, p tracker.Progress) {
		if id != g.host.opts.NodeID {
			s.Peers = append(s.Peers, PeerStatus{
				ID: id, Match: p.Match, Next: p.Next, State: p.State,
				RecentActive: p.RecentActive, Learner: typ == raft.ProgressTypeLearner,
			})
		}
	})
}

// progress returns what Raft knows of a peer.
func (g *Group) progress(of uint64) (found tracker.Progress, ok bool) {
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if id == of {
			found, ok = p, true
		}
	})
	return found, ok
}

// Campaign makes this node stand for election.
func (g *Group) Campaign() {
	g.request(func() {
		if g.muted() {
			return
		}
		if err := g.rn.Campaign(); err != nil {
			g.log.Debug("campaign ignored", "err", err)
		}
	})
}

// TransferLeader asks the leader, if it is this node, to hand over to a peer.
// Proposals are dropped until it did or an election timeout has passed.
func (g *Group) TransferLeader(to uint64) {
	g.request(func() {
		if g.role == raft.StateLeader {
			g.rn.TransferLeader(to)
		}
	})
}

// ForgetLeader makes a follower forget its leader, whose process is known to be
// gone, so that it grants votes before the leader's lease ran out.
func (g *Group) ForgetLeader() {
	g.request(func() {
		if err := g.rn.ForgetLeader(); err != nil {
			g.log.Debug("forget leader ignored", "err", err)
		}
	})
}

// ReportUnreachable says that the connection to a peer is lost: what was sent
// to it may not have arrived.
func (g *Group) ReportUnreachable(peer uint64) {
	g.request(func() { g.rn.ReportUnreachable(peer) })
}
