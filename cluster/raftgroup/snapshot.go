package raftgroup

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/internal/step"
)

// A Snapshot names a state of the machine. The state itself does not travel in
// Raft's messages.
type Snapshot struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
	ID          []byte // whatever finds the data again
}

// A SnapshotProvider gives snapshots of a machine to followers whose entries
// were compacted away.
type SnapshotProvider interface {
	// Snapshot returns the newest durable state at index atLeast or beyond. If
	// there is none it sees to it that there will be one and returns false; it
	// is asked again. It is called inside a turn and must not wait.
	//
	// atLeast is where the configuration last changed: a node takes no
	// snapshot in which it is not a member.
	Snapshot(atLeast uint64) (Snapshot, bool)
}

// A SnapshotInstaller puts a snapshot in place of a machine's state.
//
// Its data was made durable beside the present state before the message was
// delivered. Install switches to it, and calls done, from any goroutine, once
// the switch is durable. By then the log has begun anew behind the snapshot: if
// the node stops in between, the owner does the switch before it opens the
// group again. No entry is applied meanwhile.
type SnapshotInstaller interface {
	Install(s Snapshot, done func())
}

// snapshot is raft.Storage's.
func (g *Group) snapshot() (*raftpb.Snapshot, error) {
	if g.provider == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	s, ok := g.provider.Snapshot(g.confAt)
	if !ok || s.Index+1 < g.view.first || s.Index < g.confAt || s.Index > g.applied {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{
		Data: s.ID,
		Metadata: raftpb.EnsureSnapshotMetadata(&raftpb.SnapshotMetadata{
			Index: &s.Index, Term: &s.Term, ConfState: s.ConfState,
		}),
	}, nil
}

// install begins the switch to a snapshot whose reset of the log is synced.
func (g *Group) install(op *appendOp) {
	meta := op.snap.GetMetadata()
	s := Snapshot{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: meta.GetConfState(), ID: op.snap.GetData()}
	step.At(step.SnapshotReset)
	g.installer.Install(s, func() {
		g.mu.Lock()
		op.installed = true
		g.mu.Unlock()
		g.Wake()
	})
}

// installed takes note that machine and log now begin behind the snapshot.
func (g *Group) installed(s *raftpb.Snapshot) {
	meta := s.GetMetadata()
	index := meta.GetIndex()
	g.applied, g.view.applied = index, index
	g.appliedTerm = meta.GetTerm()
	g.view.first, g.view.firstTerm, g.view.last = index+1, meta.GetTerm(), index
	g.conf, g.confAt = meta.GetConfState(), index
	g.noteConf()
}

// A snapshotHold keeps the log behind a snapshot that is on its way, for the
// follower goes on there. Its deadline makes sure that a peer that vanished
// does not keep the log for ever.
type snapshotHold struct {
	to, index uint64
	ticks     int
}

func (g *Group) hold(to, index uint64) {
	g.release(to)
	g.holds = append(g.holds, snapshotHold{to: to, index: index, ticks: g.host.opts.SnapshotHoldTicks})
}

func (g *Group) release(to uint64) {
	g.holds = slices.DeleteFunc(g.holds, func(h snapshotHold) bool { return h.to == to })
}

// expireHolds ends holds whose snapshot arrived, and those whose time is up.
func (g *Group) expireHolds(ticks int) {
	g.holds = slices.DeleteFunc(g.holds, func(h snapshotHold) bool {
		if p, ok := g.progress(h.to); !ok || p.State != tracker.StateSnapshot {
			return true
		}
		return false
	})
	for i := 0; i < len(g.holds); {
		h := &g.holds[i]
		if h.ticks -= ticks; h.ticks > 0 {
			i++
			continue
		}
		to := h.to
		g.release(to)
		g.rn.ReportSnapshot(to, raft.SnapshotFailure)
	}
}

// ReportSnapshot says how the transfer of a snapshot ended. It must be called
// for every snapshot sent, or the peer stays paused until the deadline.
func (g *Group) ReportSnapshot(to uint64, ok bool) {
	g.request(func() {
		g.release(to)
		status := raft.SnapshotFailure
		if ok {
			status = raft.SnapshotFinish
		}
		g.rn.ReportSnapshot(to, status)
	})
}

// Compact gives up the log's entries up to and including index, once the
// machine's state at index or beyond is durable; what is not applied stays. While a snapshot is on its way
// the entries behind it stay.
func (g *Group) Compact(index uint64) {
	g.request(func() { g.compact = max(g.compact, min(index, g.applied)) })
}

func (g *Group) compactLog() {
	index := min(g.compact, g.view.applied)
	for _, h := range g.holds {
		index = min(index, h.index)
	}
	if index < g.view.first || g.installing() {
		return
	}
	if err := g.view.compact(index); err != nil {
		panic(err)
	}
	step.At(step.LogDropped)
}

func (g *Group) installing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.install > 0
}
