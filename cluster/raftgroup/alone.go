package raftgroup

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/storage"
)

// A Standing is what a group that is not open holds on this node.
type Standing struct {
	// First and Last are the bounds of its log, LastTerm the term of its last
	// entry.
	First, Last, LastTerm uint64
	// Commit is the last index that is known here to be committed. What is behind
	// it may be committed as well.
	Commit uint64
	// Conf is the configuration as of Last, whether committed or not. It has no
	// voters if the replica has not received anything yet.
	Conf *raftpb.ConfState
}

// Member reports whether a node is a member of the group, and whether it votes.
func (s *Standing) Member(node uint64) (member, votes bool) {
	votes = slices.Contains(s.Conf.GetVoters(), node) || slices.Contains(s.Conf.GetVotersOutgoing(), node)
	return votes || slices.Contains(s.Conf.GetLearners(), node) || slices.Contains(s.Conf.GetLearnersNext(), node), votes
}

// Standing returns what this node has of a group that is not open; ok is false if
// that is nothing. It takes the options that Open would.
func (h *Host) Standing(o GroupOptions) (st Standing, ok bool, err error) {
	if _, known := h.opts.Log.Bounds(o.ID); !known {
		return st, false, nil
	}
	s, err := h.recover(o)
	if err != nil {
		return st, true, fmt.Errorf("look at group %d: %w", o.ID, err)
	}
	st = Standing{First: s.first, Last: s.last, Commit: s.hard.Commit, Conf: s.conf}
	if st.LastTerm, err = h.opts.Log.Term(o.ID, s.last); err != nil {
		return st, true, fmt.Errorf("look at group %d: %w", o.ID, err)
	}
	for from := s.applied + 1; from <= s.last; {
		ents, err := h.opts.Log.Entries(nil, o.ID, from, s.last+1, h.opts.MaxMessageSize)
		if err == nil && len(ents) == 0 {
			err = storage.ErrUnavailable
		}
		if err != nil {
			return st, true, fmt.Errorf("look at group %d: entries from %d: %w", o.ID, from, err)
		}
		for i := range ents {
			if st.Conf, err = follow(st.Conf, newEntry(&ents[i])); err != nil {
				return st, true, fmt.Errorf("%w: group %d: the change of the configuration at %d: %w", ErrInconsistent, o.ID, ents[i].Index, err)
			}
		}
		from += uint64(len(ents))
	}
	return st, true, nil
}

// follow returns the configuration behind an entry.
func follow(cs *raftpb.ConfState, e *raftpb.Entry) (*raftpb.ConfState, error) {
	if e.GetType() == raftpb.EntryNormal {
		return cs, nil
	}
	cc, err := parseConfChange(e)
	if err != nil {
		return cs, err
	}
	return tryConfChange(cs, cc.AsV2())
}

// ForceAlone makes this node the only member of a group that is not open, whatever
// the other members say, which must never be heard again: everything in its log
// counts as committed, and behind that stands, in a new term and committed too,
// that it is alone. It does nothing to a group in which it is alone already, or of
// which it has nothing. done is called when that is on the disk; on an error it is
// not called.
//
// It begins another history of the group. Who is a member of the one before must
// be kept away by the caller.
func (h *Host) ForceAlone(o GroupOptions, done func()) error {
	st, ok, err := h.Standing(o)
	if err != nil {
		return err
	}
	if !ok || len(st.Conf.GetVoters()) == 0 {
		done()
		return nil
	}
	changes := alone(st.Conf, h.opts.NodeID)
	if len(changes) == 0 {
		done()
		return nil
	}
	gs, _ := h.opts.Log.Bounds(o.ID)
	term := max(gs.State.Term, st.LastTerm) + 1
	a := &storage.Append{Group: o.ID, HasState: true, Done: done}
	for i, cc := range changes {
		data, err := proto.Marshal(cc)
		if err != nil {
			return fmt.Errorf("encode a change of group %d: %w", o.ID, err)
		}
		a.Entries = append(a.Entries, storage.Entry{
			Index: st.Last + 1 + uint64(i), Term: term, Kind: uint8(raftpb.EntryConfChangeV2), Data: data,
		})
	}
	a.State = storage.HardState{Term: term, Vote: h.opts.NodeID, Commit: st.Last + uint64(len(changes))}
	h.opts.Log.Submit(a)
	return nil
}

// alone returns the changes that lead from a configuration to that of one node:
// none if it is that.
func alone(cs *raftpb.ConfState, self uint64) (ccs []*raftpb.ConfChangeV2) {
	if len(cs.GetVotersOutgoing()) > 0 {
		ccs = append(ccs, &raftpb.ConfChangeV2{})
	}
	var others []uint64
	for _, ids := range [...][]uint64{cs.GetVoters(), cs.GetVotersOutgoing(), cs.GetLearners(), cs.GetLearnersNext()} {
		for _, id := range ids {
			if id != self && !slices.Contains(others, id) {
				others = append(others, id)
			}
		}
	}
	if len(others) == 0 && len(ccs) == 0 && slices.Contains(cs.GetVoters(), self) {
		return nil
	}
	single := func(k raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeSingle {
		return &raftpb.ConfChangeSingle{Type: &k, NodeId: &id}
	}
	explicit := raftpb.ConfChangeTransitionJointExplicit
	enter := &raftpb.ConfChangeV2{Transition: &explicit, Changes: []*raftpb.ConfChangeSingle{single(raftpb.ConfChangeAddNode, self)}}
	for _, id := range others {
		enter.Changes = append(enter.Changes, single(raftpb.ConfChangeRemoveNode, id))
	}
	return append(ccs, enter, &raftpb.ConfChangeV2{})
}

// parseConfChange reads the change of the configuration that an entry holds.
func parseConfChange(e *raftpb.Entry) (raftpb.ConfChangeI, error) {
	var change interface {
		proto.Message
		raftpb.ConfChangeI
	}
	switch e.GetType() {
	case raftpb.EntryConfChange:
		change = &raftpb.ConfChange{}
	case raftpb.EntryConfChangeV2:
		change = &raftpb.ConfChangeV2{}
	default:
		return nil, errors.New("unknown kind")
	}
	if err := proto.Unmarshal(e.Data, change); err != nil {
		return nil, fmt.Errorf("read a change of the configuration: %w", err)
	}
	return change, nil
}
