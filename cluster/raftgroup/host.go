package raftgroup

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/storage"
)

// Errors of Host.Open.
var (
	// ErrOpen is returned when the group is open, or was closed with appends
	// still under way.
	ErrOpen = errors.New("raftgroup: group is in use")
	// ErrInconsistent is returned when the log and the machine's state do not
	// belong together: one of them lost what it had made durable.
	ErrInconsistent = errors.New("raftgroup: log and state do not fit")
)

// A Host runs the groups of one node. Its methods may be called from any
// goroutine.
type Host struct {
	opts    Options
	catchUp atomic.Int64 // bytes left to read for lagging followers in this tick

	mu struct {
		sync.Mutex
		groups map[uint64]*Group
	}
	open atomic.Pointer[[]*Group] // those of mu.groups that are not closed, by id
}

// NewHost returns a host without groups.
func NewHost(opts Options) (*Host, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("raftgroup: options: %w", err)
	}
	h := &Host{opts: opts}
	h.catchUp.Store(opts.CatchUpBytesPerTick)
	h.mu.groups = make(map[uint64]*Group)
	h.open.Store(new([]*Group))
	return h, nil
}

// GroupOptions say how a group is opened.
type GroupOptions struct {
	ID      uint64
	Machine commitlog.Machine
	// Applied is the index the machine's durable state stands at and ConfState
	// the configuration made durable together with it. Both are zero until the
	// machine made its first checkpoint.
	Applied   uint64
	ConfState *raftpb.ConfState
	// Voters is the configuration the group began with. Every founder passes
	// the same until it has a ConfState; a node that joins later passes none.
	Voters []uint64
	// Mute is for a replica that comes back to a group it was removed from, and
	// has forgotten what it acknowledged then: below this index of its log it
	// neither votes nor stands for election. Any index at which it was known to be
	// no member will do.
	Mute uint64
	// Snapshots gives snapshots for followers that need one; may be nil.
	Snapshots SnapshotProvider
	// Installer takes snapshots; without it they are ignored.
	Installer SnapshotInstaller
}

// Open opens a group; a group the log does not know is started. It does its
// first turn when it is woken, by a tick at the latest. A group with one voter
// campaigns in its first turn.
func (h *Host) Open(o GroupOptions) (*Group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.groups[o.ID] != nil {
		return nil, fmt.Errorf("open group %d: %w", o.ID, ErrOpen)
	}
	g, err := h.newGroup(o)
	if err != nil {
		return nil, fmt.Errorf("open group %d: %w", o.ID, err)
	}
	h.mu.groups[o.ID] = g
	h.publish()
	g.Wake()
	return g, nil
}

// Group returns an open group, or nil.
func (h *Host) Group(id uint64) *Group {
	groups := *h.open.Load()
	i, ok := slices.BinarySearchFunc(groups, id, func(g *Group, id uint64) int {
		switch {
		case g.id < id:
			return -1
		case g.id > id:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return groups[i]
}

// Closed reports whether a group may be opened: it is not open, and nothing of it
// is on its way to the disk.
func (h *Host) Closed(id uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.groups[id] == nil
}

// Groups returns the open groups ordered by id. The slice is not to be changed.
func (h *Host) Groups() []*Group { return *h.open.Load() }

// Tick advances the logical clock of every group. One ticker calls it every
// 50 to 100 ms; ticks a busy group missed are merged into at most two.
func (h *Host) Tick() {
	h.catchUp.Store(h.opts.CatchUpBytesPerTick)
	for _, g := range h.Groups() {
		g.tick()
	}
}

// Deliver hands a group what a peer sent it. Messages for a group that is not
// open, not from a peer, or beyond the inbox's bound are dropped.
func (h *Host) Deliver(group uint64, msgs []*raftpb.Message) {
	if g := h.Group(group); g != nil {
		g.deliver(msgs)
	}
}

// publish refreshes the list of open groups. h.mu is held.
func (h *Host) publish() {
	open := make([]*Group, 0, len(h.mu.groups))
	for _, g := range h.mu.groups {
		if !g.isStopped() {
			open = append(open, g)
		}
	}
	slices.SortFunc(open, func(a, b *Group) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	h.open.Store(&open)
}

// forget drops a closed group. Its id may be opened again.
func (h *Host) forget(g *Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.groups[g.id] == g {
		delete(h.mu.groups, g.id)
	}
}

// takeCatchUp reports whether old entries may be read from disk in this tick,
// and counts what was read.
func (h *Host) takeCatchUp(bytes uint64) bool {
	return h.catchUp.Add(-int64(bytes)) > 0
}

// founding is the position behind which a new group's log begins. It is not
// zero, so that a node without the founders' configuration cannot follow the
// log from its start: it gets a snapshot, and the configuration with it.
const founding = 1

// start is what a group begins with.
type start struct {
	first, firstTerm, last uint64
	applied                uint64
	hard                   storage.HardState
	conf                   *raftpb.ConfState
	reset                  *storage.Reset // set for a group the log does not know
}

// recover reads what the log knows of the group and holds it against what the
// machine knows.
func (h *Host) recover(o GroupOptions) (start, error) {
	gs, known := h.opts.Log.Bounds(o.ID)
	if !known {
		return found(o)
	}
	if gs.Damaged {
		return start{}, fmt.Errorf("%w: the log of this group has a hole, it must not vote; rejoin as a learner with a new id", storage.ErrDamaged)
	}
	s := start{first: gs.First, firstTerm: gs.FirstTerm, last: gs.Last, applied: o.Applied, hard: gs.State, conf: o.ConfState}
	if o.Applied == 0 {
		s.conf = &raftpb.ConfState{}
		if gs.First == founding+1 && gs.FirstTerm == founding {
			if len(o.Voters) == 0 {
				return s, fmt.Errorf("%w: the machine has no state yet and the founding voters are not given", ErrInconsistent)
			}
			s.applied, s.conf.Voters = founding, slices.Clone(o.Voters)
		}
	}
	if plant.Is(plant.VoteForgotten) {
		s.hard.Vote = 0
	}
	s.hard.Commit = max(s.hard.Commit, s.applied)
	switch {
	case s.conf == nil:
		return s, fmt.Errorf("%w: applied %d without a ConfState", ErrInconsistent, o.Applied)
	case s.applied+1 < s.first:
		return s, fmt.Errorf("%w: the machine stands at %d, the log begins at %d", ErrInconsistent, s.applied, s.first)
	case s.hard.Commit > s.last:
		return s, fmt.Errorf("%w: applied %d, commit %d, but the log ends at %d (synced entries were lost)", ErrInconsistent, s.applied, s.hard.Commit, s.last)
	}
	return s, nil
}

// found starts a group: with voters as one of its founders, without as a node
// that waits to be added.
func found(o GroupOptions) (start, error) {
	if o.Applied != 0 {
		return start{}, fmt.Errorf("%w: the machine stands at %d, the log knows nothing of the group", ErrInconsistent, o.Applied)
	}
	if len(o.Voters) == 0 {
		return start{first: 1, conf: &raftpb.ConfState{}, reset: &storage.Reset{}}, nil
	}
	return start{
		first: founding + 1, firstTerm: founding, last: founding, applied: founding,
		hard:  storage.HardState{Term: founding, Commit: founding},
		conf:  &raftpb.ConfState{Voters: slices.Clone(o.Voters)},
		reset: &storage.Reset{Index: founding, Term: founding},
	}, nil
}

func (h *Host) newGroup(o GroupOptions) (*Group, error) {
	if o.Machine == nil {
		return nil, errors.New("raftgroup: Machine is missing")
	}
	s, err := h.recover(o)
	if err != nil {
		return nil, err
	}
	g := &Group{
		id: o.ID, host: h, machine: o.Machine, provider: o.Snapshots, installer: o.Installer,
		wake: make(chan struct{}, 1), closed: make(chan struct{}),
		conf: s.conf, confAt: s.applied, applied: s.applied, tail: s.last, hard: s.hard, voted: s.hard,
		log: h.opts.Logger.With("group", o.ID), mute: o.Mute,
	}
	g.told.term = s.hard.Term
	g.view = view{
		group: o.ID, log: h.opts.Log, first: s.first, firstTerm: s.firstTerm, last: s.last,
		applied: s.applied, hard: s.hard, conf: s.conf, snap: g.snapshot, take: h.takeCatchUp,
	}
	g.view.cache.reset(s.last + 1)
	g.prop.init(g)
	g.noteConf()
	g.rn, err = raft.NewRawNode(h.raftConfig(g, s.applied))
	if err != nil {
		return nil, fmt.Errorf("raftgroup: new raft node: %w", err)
	}
	if s.reset != nil {
		h.opts.Log.Submit(&storage.Append{Group: o.ID, Reset: s.reset, State: s.hard, HasState: true})
	}
	g.publish(true)
	return g, nil
}

func (h *Host) raftConfig(g *Group, applied uint64) *raft.Config {
	return &raft.Config{
		ID:                        h.opts.NodeID,
		ElectionTick:              h.opts.ElectionTicks,
		HeartbeatTick:             h.opts.HeartbeatTicks,
		Storage:                   &g.view,
		Applied:                   applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             h.opts.MaxMessageSize,
		MaxCommittedSizePerReady:  h.opts.MaxApplyingBytes,
		MaxUncommittedEntriesSize: uint64(h.opts.MaxUncommittedBytes),
		MaxInflightMsgs:           h.opts.MaxInflightMessages,
		MaxInflightBytes:          h.opts.MaxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    raftLogger{g.log},
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	}
}
