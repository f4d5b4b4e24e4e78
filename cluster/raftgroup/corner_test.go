package raftgroup_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
)

func message(typ raftpb.MessageType, from, to, term uint64) *raftpb.Message {
	return &raftpb.Message{Type: &typ, From: &from, To: &to, Term: &term}
}

// A vote in a term that is known already changes nothing but the vote, and is
// synced all the same.
func TestVoteAloneIsSynced(t *testing.T) {
	e, groups := trio(t, nil)
	groups[1].ForgetLeader()
	groups[1].TryTurn()
	n := e.nodes[2]
	n.host.Deliver(1, []*raftpb.Message{message(raftpb.MsgAppResp, 3, 2, 9)})
	e.settle(1, 3)
	if s := groups[1].Status(); s.Term != 9 || s.Vote != 0 {
		t.Fatalf("term %d, vote %d", s.Term, s.Vote)
	}
	vote := message(raftpb.MsgVote, 3, 2, 9)
	vote.Index, vote.LogTerm = new(uint64(99)), new(uint64(8))
	n.host.Deliver(1, []*raftpb.Message{vote})
	n.turns()
	n.disk.Write()
	if got := e.sent(raftpb.MsgVoteResp, 3); len(got) != 0 {
		t.Fatalf("voted before the sync: %v", got)
	}
	n.disk.Sync()
	gs, _, _ := n.disk.Synced(1)
	if got := e.sent(raftpb.MsgVoteResp, 3); len(got) != 1 || got[0].GetReject() || gs.State.Vote != 3 {
		t.Fatalf("votes after the sync: %v, synced vote %d", got, gs.State.Vote)
	}
}

// Entries still on their way to the disk stay in memory while others before
// them are applied and let go.
func TestUnappliedStaysInMemory(t *testing.T) {
	reads := 0
	e, n, g := solo(t, func(o *raftgroup.Options) {
		o.CacheBytes = 1
		o.Log = watchLog{LogStore: o.Log, entries: func(_, _ uint64, _ int) { reads++ }}
	})
	for range 20 {
		g.propose("a")
		n.disk.Write()
		g.propose("b", "c")
		n.disk.Sync()
	}
	e.settle()
	if len(g.machine.data) != 60 || reads != 0 {
		t.Errorf("%d of 60 entries applied, %d reads from the log", len(g.machine.data), reads)
	}
}

// What was in flight when leadership was lost is not counted in a later term.
func TestInFlightIsOfTheTerm(t *testing.T) {
	e, groups := trio(t, nil)
	g := groups[0]
	g.propose("lost", "lost")
	e.wire = nil
	e.settle(2, 3)
	e.wire = nil
	groups[1].ForgetLeader()
	groups[2].ForgetLeader()
	groups[1].Campaign()
	e.settle(1)
	e.wire = nil
	e.tickAll()
	e.tickAll()
	groups[1].TransferLeader(1)
	e.settle()
	if !g.machine.leading || len(g.machine.led) != 2 {
		t.Fatalf("node 1 does not lead again: %+v", g.Status())
	}
	g.machine.onTurn = func(p commitlog.Proposer) {
		if n, bytes := p.InFlight(); n != 0 || bytes != 0 {
			t.Errorf("%d entries, %d bytes in flight in a new term", n, bytes)
		}
	}
	g.TryTurn()
}

// What waits to be applied when a snapshot arrives is part of it: applying it
// would bring back configurations that the snapshot replaced.
func TestSnapshotReplacesWhatWaits(t *testing.T) {
	e, groups := installingTrio(t, func(o *raftgroup.Options) {
		if o.NodeID == 3 {
			o.ApplyBytesPerTurn = 1
		}
	})
	for range 5 {
		groups[0].propose("a")
	}
	e.settle(3)
	if err := change(t, e, groups[0], "l9"); err != nil {
		t.Fatal(err)
	}
	e.nodeWith(9, nil)
	e.settle(3, 9)
	follower := e.nodes[3]
	e.deliver(func(m wireMessage) bool { return m.to == 3 })
	follower.groups[1].TryTurn()
	follower.disk.Drain()
	follower.groups[1].TryTurn()
	before := follower.groups[1].Status()
	if before.Commit <= before.Applied+2 {
		t.Fatalf("nothing waits: %+v", before)
	}
	snap := message(raftpb.MsgSnap, 1, 3, before.Term)
	snap.Snapshot = &raftpb.Snapshot{Data: []byte("s"), Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(100)), Term: new(before.Term), ConfState: raftpb.EnsureConfState(&raftpb.ConfState{Voters: []uint64{1, 3}}),
	}}
	follower.host.Deliver(1, []*raftpb.Message{snap})
	follower.turns()
	follower.drain()
	follower.turns()
	after := follower.groups[1].Status()
	if after.Applied != 100 || after.First != 101 || !slices.Equal(after.ConfState.GetVoters(), []uint64{1, 3}) {
		t.Errorf("after the snapshot: %+v", after)
	}
	if got := follower.groups[1].machine.applied; got != 100 {
		t.Errorf("the machine stands at %d", got)
	}
	if got := len(follower.groups[1].machine.data); got != 1 {
		t.Errorf("%d payloads beside the snapshot", got-1)
	}
	if follower.groups[1].machine.before > before.Applied+1 {
		t.Errorf("applied to %d after the snapshot arrived at %d", follower.groups[1].machine.before, before.Applied)
	}
}

// A peer learns of an installed snapshot when it is durable, not when the log
// is.
func TestInstallIsAwaited(t *testing.T) {
	e, groups := installingTrio(t, nil)
	follower := e.nodes[3]
	m := follower.groups[1].machine
	m.hold = true
	snap := message(raftpb.MsgSnap, 1, 3, groups[0].Status().Term)
	snap.Snapshot = &raftpb.Snapshot{Data: []byte("s"), Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(100)), Term: snap.Term, ConfState: raftpb.EnsureConfState(&raftpb.ConfState{Voters: []uint64{1, 2, 3}}),
	}}
	follower.host.Deliver(1, []*raftpb.Message{proto.Clone(snap).(*raftpb.Message)})
	follower.turns()
	follower.drain()
	follower.turns()
	if got := e.sent(raftpb.MsgAppResp, 1); len(got) != 0 || m.finish == nil {
		t.Fatalf("answered before the snapshot was installed: %v", got)
	}
	m.finish()
	follower.turns()
	if got := e.sent(raftpb.MsgAppResp, 1); len(got) != 1 || got[0].GetIndex() != 100 {
		t.Fatalf("answers after it was: %v", got)
	}
}

// A snapshot that ends before the configuration last changed, or before the log
// begins, is of no use and is not sent.
func TestUselessSnapshotIsNotSent(t *testing.T) {
	for _, c := range []struct {
		name         string
		stale, until uint64 // entries behind, compacted up to
	}{
		{"before the change", 1, 1},
		{"before the log", 3, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, n, g := solo(t, nil)
			n.provide(1)
			g.machine.stale = c.stale
			joiner := e.nodeWith(2, nil)
			joiner.install = true
			joiner.mustOpen(raftgroup.GroupOptions{ID: 1})
			if c.until > 2 {
				g.propose("a")
			}
			if err := change(t, e, g, "l2"); err != nil {
				t.Fatal(err)
			}
			e.settle(2)
			e.wire = nil
			if c.until > 2 {
				g.propose("b", "c", "d", "e", "f")
				e.settle(2)
				e.wire = nil
			}
			g.Compact(c.until)
			g.TryTurn()
			for range 5 {
				e.tickAll()
			}
			if strings.Contains(e.take(), "MsgSnap") {
				t.Fatal("a useless snapshot was sent")
			}
			g.machine.stale = 0
			for range 5 {
				e.tickAll()
			}
			if !joiner.groups[1].machine.installed {
				t.Error("no snapshot was installed")
			}
		})
	}
}

// Applying may take long. What has come meanwhile is there when the machine's turn
// comes, and that is told a time that is not before it.
func TestTurnHasTheTimeBehindWhatWasApplied(t *testing.T) {
	now := time.Second
	e, groups := trio(t, func(o *raftgroup.Options) { o.Now = func() time.Duration { return now } })
	m := groups[1].machine
	m.onApply = func() {
		now += time.Second
		m.onTurn = func(commitlog.Proposer) {
			if m.at != now {
				t.Errorf("told %s at %s", m.at, now)
			}
		}
	}
	groups[0].propose("a")
	e.settle()
	if m.onTurn == nil {
		t.Error("nothing was applied")
	}
}
