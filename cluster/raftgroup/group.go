package raftgroup

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage"
)

// inlineTurns bounds what a goroutine that lends itself does before it leaves
// the rest to the group's own.
const inlineTurns = 2

// A Group is one Raft group on this node. Its exported methods may be called
// from any goroutine unless they say otherwise.
type Group struct {
	id        uint64
	host      *Host
	machine   commitlog.Machine
	provider  SnapshotProvider
	installer SnapshotInstaller
	log       *slog.Logger

	forgotten bool   // see forget
	mute      uint64 // below this index it neither votes nor stands for election

	token  commitlog.Token
	wake   chan struct{} // one slot: tells Run that the token is due
	closed chan struct{} // closed by the last turn
	solo   atomic.Bool   // this node is the only voter
	alone  atomic.Bool   // this node leads and is the only member

	mu struct {
		sync.Mutex
		in      inbox
		ops     []*appendOp // appends under way, in submission order
		install int         // how many of them carry a snapshot
		status  Status
		stopped bool
	}

	// All below is owned by the turn.

	rn      *raft.RawNode
	view    view
	spare   inbox // the other of the two inboxes
	local   []*raftpb.Message
	out     []Message // scratch of send
	applied uint64    // the machine's
	tail    uint64    // last index of Raft's log, unstable entries included
	conf    *raftpb.ConfState

	role raft.StateType
	lead uint64
	hard storage.HardState // as Raft last gave it
	// voted is the hard state last submitted; commitOnly says that hard has a
	// newer commit index which waits for the next append, or the next tick.
	voted      storage.HardState
	commitOnly bool

	leading     bool // Machine.Lead was called for leadTerm
	leadTerm    uint64
	appliedTerm uint64                        // of the last entry applied in this life
	told        struct{ term, leader uint64 } // what Machine.Follow was told

	prop     proposer
	applying applyQueue
	holds    []snapshotHold
	reads    reads
	compact  uint64 // wanted compaction index
	// confIndex is the index of the newest change of the configuration that
	// may be in the log and not applied.
	confIndex uint64
	confAt    uint64 // index of the newest change applied in this life, or where it began
}

// An inbox is what waits for a turn.
type inbox struct {
	ticks    int
	peers    []*raftpb.Message
	requests []func()
	stop     bool
}

func (in *inbox) reset() {
	clear(in.peers)
	clear(in.requests)
	in.ticks, in.peers, in.requests, in.stop = 0, in.peers[:0], in.requests[:0], false
}

// maxTicks bounds the ticks a group makes up for after it was busy.
const maxTicks = 2

// ID returns the group's id.
func (g *Group) ID() uint64 { return g.id }

// Run does the group's turns until ctx ends or the group is closed.
func (g *Group) Run(ctx context.Context) {
	for {
		select {
		case <-g.wake:
			g.runTurns(16)
		case <-g.closed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Wake marks work and lets the group's goroutine do a turn.
func (g *Group) Wake() {
	if g.token.Mark() {
		g.signal()
	}
}

func (g *Group) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// TryTurn does a turn on the caller's goroutine. If another goroutine is at it,
// TryTurn returns false at once and that one does one more turn.
func (g *Group) TryTurn() bool { return g.runTurns(inlineTurns) }

// Due reports whether work is marked and nobody is at it. A simulator asks it.
func (g *Group) Due() bool { return g.token.Due() }

// Close ends the group on this node. It must not be called inside a turn. No
// method of the machine is called after Close returned. Appends still under way are written; the group may be opened
// again when they are.
func (g *Group) Close() {
	g.mu.Lock()
	g.mu.in.stop = true
	g.mu.Unlock()
	for {
		g.TryTurn()
		select {
		case <-g.closed:
			return
		case <-g.wake: // whoever was at it left the rest to the group's goroutine, which may be gone
		}
	}
}

// runTurns does turns while there is work, at most limit.
func (g *Group) runTurns(limit int) bool {
	if !g.token.Take() {
		return false
	}
	for n := 1; ; n++ {
		again, stop := g.turn()
		if stop {
			g.end()
			return true
		}
		if again {
			g.token.Mark()
		}
		if n == limit {
			if g.token.Yield() {
				g.signal()
			}
			return true
		}
		if !g.token.Release() {
			return true
		}
	}
}

// end is the last turn.
func (g *Group) end() {
	g.mu.Lock()
	g.mu.stopped = true
	g.mu.ops = slices.DeleteFunc(g.mu.ops, func(op *appendOp) bool { return op.done })
	idle := len(g.mu.ops) == 0 // else the last one's Done forgets the group
	g.mu.Unlock()
	g.token.Finish()
	close(g.closed)
	g.host.mu.Lock()
	g.host.publish()
	g.host.mu.Unlock()
	if idle {
		g.host.forget(g)
	}
}

func (g *Group) isStopped() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.stopped
}

func (g *Group) tick() {
	g.mu.Lock()
	g.mu.in.ticks = min(g.mu.in.ticks+1, maxTicks)
	g.mu.Unlock()
	g.nudge(g.host.opts.Inline)
}

func (g *Group) deliver(msgs []*raftpb.Message) {
	inline := g.host.opts.Inline
	g.mu.Lock()
	for _, m := range msgs {
		if len(g.mu.in.peers) >= g.host.opts.MaxInboxMessages {
			break
		}
		if g.fromPeer(m) {
			g.mu.in.peers = append(g.mu.in.peers, m)
			inline = inline && g.noNews(m)
		}
	}
	g.mu.Unlock()
	g.nudge(inline)
}

// fromPeer reports whether a message is one that a peer may send. Whether the
// sender is a member is Raft's to judge: a node that missed a change of the
// configuration does not know its own leader.
func (g *Group) fromPeer(m *raftpb.Message) bool {
	from := m.GetFrom()
	switch {
	case m.GetTo() != g.host.opts.NodeID,
		from == 0, from == g.host.opts.NodeID, raft.IsLocalMsgTarget(from),
		raft.IsLocalMsg(m.GetType()):
		return false
	}
	switch m.GetType() {
	case raftpb.MsgProp, raftpb.MsgForgetLeader:
		return false // never sent between nodes
	case raftpb.MsgSnap:
		return g.installer != nil
	}
	return true
}

// request runs f in the next turn.
func (g *Group) request(f func()) {
	g.mu.Lock()
	g.mu.in.requests = append(g.mu.in.requests, f)
	g.mu.Unlock()
	g.Wake()
}

// turn is the step function. again asks for one more turn; stop says that the
// group was closed.
func (g *Group) turn() (again, stop bool) {
	in := g.take()
	if in.stop {
		return false, true
	}
	if g.forgotten {
		if !g.leading {
			g.machine.Turn(g.host.opts.Now(), &g.prop) // whoever asks it for a cut gets one
		}
		return false, false
	}
	ticked := in.ticks > 0
	muted := g.muted()
	for range in.ticks {
		if !muted {
			g.rn.Tick()
		}
	}
	if ticked {
		g.expireHolds(in.ticks)
		g.tickReads(in.ticks)
		g.flushCommit()
	}
	g.endAppends()
	for _, m := range in.peers {
		if !muted || !elects(m) {
			g.step(m)
		}
		if g.forgotten {
			return false, false
		}
	}
	for _, f := range in.requests {
		f()
	}
	in.reset()
	g.spare = in

	budget := g.host.opts.ApplyBytesPerTurn
	g.drive(&budget)
	g.prop.open = true
	// The clock is read behind what may have taken long: what has come meanwhile is
	// stamped with a time at which it was there.
	g.machine.Turn(g.host.opts.Now(), &g.prop)
	g.prop.open = false
	applied := g.applied
	g.drive(&budget)
	g.compactLog()
	g.publish(ticked)
	return g.applying.len() > 0 || g.applied != applied, false
}

// muted reports whether the log does not reach the index up to which this replica
// takes no part in elections.
func (g *Group) muted() bool { return g.view.last < g.mute }

// elects reports whether a message asks for a vote, or to stand for election.
func elects(m *raftpb.Message) bool {
	switch m.GetType() {
	case raftpb.MsgVote, raftpb.MsgPreVote, raftpb.MsgTimeoutNow:
		return true
	}
	return false
}

// take swaps the inboxes.
func (g *Group) take() inbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	in := g.mu.in
	g.mu.in = g.spare
	return in
}

// step gives Raft a message. Its errors mean that a message came too late to
// matter.
func (g *Group) step(m *raftpb.Message) {
	if m.GetType() == raftpb.MsgHeartbeat && m.GetCommit() > g.tail && m.GetTerm() >= g.hard.Term {
		switch {
		case g.muted():
			has := g.tail // it is from before the replica was away
			m.Commit = &has
		case g.host.opts.Forgot != nil:
			g.forget(m)
			return
		}
	}
	if err := g.rn.Step(m); err != nil {
		g.log.Debug("message ignored", "kind", m.GetType().String(), "from", m.GetFrom(), "err", err)
	}
}

// forget ends what the group takes part in. A leader tells a follower to commit no
// more than that follower has acknowledged to it in this term: the log was longer,
// and is an older copy of itself.
func (g *Group) forget(m *raftpb.Message) {
	g.forgotten = true
	g.host.opts.Forgot(g.id, fmt.Errorf("%w: the log ends at %d, the replica had acknowledged %d to %x: an older copy of the data was put in its place",
		storage.ErrDamaged, g.tail, m.GetCommit(), m.GetFrom()))
}

// drive handles what Raft has ready and applies what was committed, until there
// is nothing left to do or the budget of bytes to apply is used up.
func (g *Group) drive(budget *int) {
	for {
		switch {
		case len(g.local) > 0:
			g.stepLocal()
		case g.rn.HasReady():
			g.handle(g.rn.Ready())
		case g.applying.len() > 0 && *budget > 0:
			*budget -= g.applySome(*budget)
		case g.campaignAlone():
		default:
			return
		}
	}
}

func (g *Group) stepLocal() {
	msgs := g.local
	g.local = nil
	for _, m := range msgs {
		g.step(m)
	}
	if g.local == nil {
		clear(msgs)
		g.local = msgs[:0]
	}
}

// campaignAlone makes the only voter leader without waiting for a timeout. It
// reports whether Raft took it up.
func (g *Group) campaignAlone() bool {
	if !g.solo.Load() || g.role != raft.StateFollower || g.lead != raft.None || g.applied < g.hard.Commit {
		return false
	}
	if err := g.rn.Campaign(); err != nil {
		return false
	}
	return g.rn.HasReady()
}

// handle performs one Ready: what peers are sent leaves first, then what is to
// be stored is submitted, then what is to be applied is queued.
func (g *Group) handle(rd raft.Ready) {
	if rd.SoftState != nil {
		g.role, g.lead = rd.RaftState, rd.Lead
	}
	if rd.HardState != nil {
		g.hard = storage.HardState{Term: rd.HardState.GetTerm(), Vote: rd.HardState.GetVote(), Commit: rd.HardState.GetCommit()}
	}
	if rd.Snapshot != nil {
		// What is still queued is part of the snapshot. Applying it now would
		// also bring back configurations the snapshot replaced.
		g.dropApplying()
	}
	proposed := g.attach(rd.Entries)
	var store, apply *raftpb.Message
	msgs := rd.Messages
	for i, m := range msgs {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			store, msgs[i] = m, nil
		case raft.LocalApplyThread:
			apply, msgs[i] = m, nil
		}
	}
	if store != nil && len(store.Entries) > 0 {
		g.view.cache.append(store.Entries)
	}
	if proposed {
		g.limitInflight(msgs)
	}
	g.send(msgs)
	if store != nil {
		g.store(store, rd.HardState != nil)
	}
	if apply != nil {
		g.applying.push(apply)
	}
	g.observe()
	g.answerReads(rd.ReadStates)
}

// send hands messages to the transport, one call per peer.
func (g *Group) send(msgs []*raftpb.Message) {
	for i, first := range msgs {
		if first == nil {
			continue
		}
		to := first.GetTo()
		out := g.out[:0]
		for j := i; j < len(msgs); j++ {
			if m := msgs[j]; m != nil && m.GetTo() == to {
				if m.GetType() == raftpb.MsgSnap {
					g.hold(to, m.GetSnapshot().GetMetadata().GetIndex())
				}
				out = append(out, Message{Group: g.id, Raft: m})
				msgs[j] = nil
			}
		}
		g.host.opts.Transport.Send(to, out)
		clear(out)
		g.out = out[:0]
	}
}

// observe tells the machine when this node stopped leading, and who leads.
func (g *Group) observe() {
	term, leader := g.hard.Term, g.lead
	if g.role == raft.StateLeader {
		if !g.leading || term == g.leadTerm {
			return
		}
		leader = raft.None // led one term, now leads another without its no-op applied
	} else if !g.leading && g.told.term == term && g.told.leader == leader {
		return
	}
	g.leading = false
	g.noteConf()
	g.holds = g.holds[:0]
	g.prop.forget()
	g.told.term, g.told.leader = term, leader
	g.machine.Follow(term, leader)
}
