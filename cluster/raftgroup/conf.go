package raftgroup

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/internal/step"
)

// ErrConfChange is returned for a change of the configuration that was not
// proposed. The caller tries again with what is then the configuration.
var ErrConfChange = errors.New("raftgroup: configuration change refused")

// ConfState returns the configuration as of the last entry the machine was
// given. It must be called inside a turn; what it returns is not to be changed.
// A machine makes it durable together with its applied index.
func (g *Group) ConfState() *raftpb.ConfState { return g.conf }

// Applied returns the index of the last entry the machine was given. It must be
// called inside a turn.
func (g *Group) Applied() uint64 { return g.applied }

// ProposeConfChange proposes a change of the configuration if this node leads,
// none is under way and the change is valid. done is called inside a turn and
// says whether it was proposed; ConfState and Status show when it was applied.
func (g *Group) ProposeConfChange(cc raftpb.ConfChangeI, done func(error)) {
	g.request(func() { done(g.proposeConfChange(cc)) })
}

func (g *Group) proposeConfChange(cc raftpb.ConfChangeI) error {
	if !g.leading {
		return fmt.Errorf("%w: this node does not lead", ErrConfChange)
	}
	if err := checkConfChange(g.conf, cc.AsV2()); err != nil {
		return fmt.Errorf("%w: %w", ErrConfChange, err)
	}
	// Raft replaces a change by an empty entry while another one may be in
	// the log. It marks where that may be by the index of the newest one.
	if g.confIndex > g.view.applied {
		return fmt.Errorf("%w: the change at %d is not yet applied (at %d)", ErrConfChange, g.confIndex, g.view.applied)
	}
	if err := g.rn.ProposeConfChange(cc); err != nil {
		return fmt.Errorf("%w: %w", ErrConfChange, err)
	}
	g.confIndex = g.tail + 1
	return nil
}

// checkConfChange tries a change on a copy, for Raft panics on every member
// when a change turns out invalid as it is applied.
func checkConfChange(cs *raftpb.ConfState, cc *raftpb.ConfChangeV2) error {
	_, err := tryConfChange(cs, cc)
	return err
}

// tryConfChange returns the configuration behind a change.
func tryConfChange(cs *raftpb.ConfState, cc *raftpb.ConfChangeV2) (*raftpb.ConfState, error) {
	changer := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	cfg, trk, err := confchange.Restore(changer, cs)
	if err != nil {
		return nil, fmt.Errorf("restore the configuration: %w", err)
	}
	changer.Tracker.Config, changer.Tracker.Progress = cfg, trk
	for _, c := range cc.GetChanges() {
		if c.GetNodeId() == raft.None || raft.IsLocalMsgTarget(c.GetNodeId()) {
			return nil, fmt.Errorf("node id %d", c.GetNodeId())
		}
	}
	if cc.LeaveJoint() {
		cfg, _, err = changer.LeaveJoint()
	} else if autoLeave, joint := cc.EnterJoint(); joint {
		cfg, _, err = changer.EnterJoint(autoLeave, cc.Changes...)
	} else {
		cfg, _, err = changer.Simple(cc.Changes...)
	}
	if err != nil {
		return nil, fmt.Errorf("try the change: %w", err)
	}
	changer.Tracker.Config = cfg
	return changer.Tracker.ConfState(), nil
}

// applyConfChange switches Raft to the configuration of a committed entry.
func (g *Group) applyConfChange(e *raftpb.Entry) {
	cc, err := parseConfChange(e)
	if err != nil {
		panic(fmt.Sprintf("raftgroup: group %d: entry %d of kind %d: %v", g.id, e.GetIndex(), e.GetType(), err))
	}
	joint := len(g.conf.GetVotersOutgoing()) > 0
	g.conf = g.rn.ApplyConfChange(cc)
	g.confAt = e.GetIndex()
	g.noteConf()
	switch now := len(g.conf.GetVotersOutgoing()) > 0; {
	case now:
		step.At(step.MemberJoint)
	case joint:
		step.At(step.MemberParted)
	default:
		step.At(step.MemberApplied)
	}
}

// noteConf notes whether this node is the only voter, and the only member.
func (g *Group) noteConf() {
	self := []uint64{g.host.opts.NodeID}
	solo := slices.Equal(g.conf.Voters, self) && len(g.conf.VotersOutgoing) == 0
	g.solo.Store(solo)
	g.alone.Store(solo && g.leading && len(g.conf.Learners)+len(g.conf.LearnersNext) == 0)
}
