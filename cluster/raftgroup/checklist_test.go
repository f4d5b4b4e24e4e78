package raftgroup_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage"
)

// A payload is the same bytes from Propose to the log, the peers and Apply.
func TestPayloadIsNotCopied(t *testing.T) {
	var stored []byte
	var e *env
	e, groups := trio(t, func(o *raftgroup.Options) {
		o.Log = watchLog{LogStore: o.Log, submit: func(a *storage.Append) {
			for _, ent := range a.Entries {
				if len(ent.Data) > 100 && o.NodeID == 1 {
					stored = ent.Data
				}
			}
		}}
	})
	data := bytes.Repeat([]byte("x"), 64<<10)
	var applied []byte
	groups[0].machine.want = append(groups[0].machine.want, data)
	groups[0].TryTurn()
	for _, m := range e.sent(raftpb.MsgApp, 0) {
		if len(m.Entries) != 1 || &m.Entries[0].Data[0] != &data[0] {
			t.Errorf("a peer is sent other bytes than were proposed")
		}
	}
	if len(stored) == 0 || &stored[0] != &data[0] {
		t.Errorf("the log is given other bytes than were proposed")
	}
	watchApply(groups[0], func(ents []commitlog.Entry) {
		for _, ent := range ents {
			if len(ent.Data) > 0 {
				applied = ent.Data
			}
		}
	})
	e.settle()
	if len(applied) == 0 || &applied[0] != &data[0] {
		t.Errorf("the machine is given other bytes than it proposed")
	}
}

func watchApply(g *envGroup, f func([]commitlog.Entry)) { g.machine.onEntries = f }

// Answers leave after the sync, not after the write.
func TestAnswersWaitForSync(t *testing.T) {
	e, groups := trio(t, nil)
	groups[0].propose("a")
	e.deliver(func(m wireMessage) bool { return m.to == 2 })
	n := e.nodes[2]
	n.turns()
	n.disk.Write()
	if got := e.sent(raftpb.MsgAppResp, 1); len(got) != 0 {
		t.Fatalf("acknowledged before the sync: %v", got)
	}
	n.disk.Sync()
	if got := e.sent(raftpb.MsgAppResp, 1); len(got) != 1 {
		t.Fatalf("%d acknowledgements after the sync, want 1", len(got))
	}
}

// A vote is synced before it is sent.
func TestVoteIsSynced(t *testing.T) {
	e, groups := trio(t, nil)
	groups[1].ForgetLeader()
	groups[2].ForgetLeader()
	groups[2].Campaign()
	for len(e.sent(raftpb.MsgVote, 2)) == 0 {
		e.nodes[2].turns()
		e.nodes[3].turns()
		e.deliver(func(m wireMessage) bool {
			return m.to != 1 && (m.msg.Raft.GetType() == raftpb.MsgPreVote || m.msg.Raft.GetType() == raftpb.MsgPreVoteResp)
		})
	}
	e.deliver(func(m wireMessage) bool { return m.to == 2 })
	e.nodes[2].turns()
	e.nodes[2].disk.Write()
	if got := e.sent(raftpb.MsgVoteResp, 3); len(got) != 0 {
		t.Fatalf("voted before the sync: %v", got)
	}
	e.nodes[2].disk.Sync()
	if got := e.sent(raftpb.MsgVoteResp, 3); len(got) != 1 || got[0].GetReject() {
		t.Fatalf("votes after the sync: %v", got)
	}
	if gs, _, _ := e.nodes[2].disk.Synced(1); gs.State.Vote != 3 {
		t.Fatalf("the synced vote is %d", gs.State.Vote)
	}
}

// One drain holds entries and hard state together, and a commit index alone is
// not synced.
func TestCommitAloneIsLazy(t *testing.T) {
	var appends []storage.Append
	_, n, g := solo(t, func(o *raftgroup.Options) {
		o.Log = watchLog{LogStore: o.Log, submit: func(a *storage.Append) { appends = append(appends, *a) }}
	})
	appends = nil
	g.propose("a")
	n.drain()
	n.host.Tick()
	n.turns()
	if len(appends) != 2 {
		t.Fatalf("%d appends, want the entry and the commit index", len(appends))
	}
	if a := appends[0]; len(a.Entries) != 1 || a.Lazy || a.Done == nil {
		t.Errorf("first append %+v", a)
	}
	if a := appends[1]; len(a.Entries) != 0 || !a.Lazy || !a.HasState || a.State.Commit != 3 {
		t.Errorf("second append %+v", a)
	}
}

// An entry at an index held already takes the place of it and of all behind it.
func TestSuffixIsReplaced(t *testing.T) {
	e, groups := trio(t, nil)
	// The leader is cut off with entries 3 to 5 in its log.
	groups[0].propose("x")
	groups[0].propose("y")
	groups[0].propose("z")
	e.settle(2, 3)
	e.wire = nil
	groups[1].ForgetLeader()
	groups[2].ForgetLeader()
	groups[1].Campaign()
	e.settle(1)
	groups[1].propose("b")
	e.settle(1)
	e.wire = nil
	e.tickAll()
	e.tickAll()
	gs, ents, _ := e.nodes[1].disk.Synced(1)
	if gs.Last != 4 || string(ents[2].Data) != "b" || ents[1].Term != 3 {
		t.Fatalf("the old leader's log ends at %d: %v", gs.Last, ents)
	}
	for i, g := range groups {
		if got := strings.Join(g.machine.data, ","); got != "b" {
			t.Errorf("node %d applied %q", i+1, got)
		}
	}
}

// In steady state nothing is read back from the log.
func TestAppliesFromMemory(t *testing.T) {
	reads := 0
	e, groups := trio(t, func(o *raftgroup.Options) {
		o.CacheBytes = 1
		o.Log = watchLog{LogStore: o.Log, entries: func(_, _ uint64, _ int) { reads++ }}
	})
	for i := range 50 {
		groups[0].propose(fmt.Sprint("a", i), fmt.Sprint("b", i))
		if i%3 == 0 {
			e.settle()
		}
	}
	e.settle()
	if got := len(groups[2].machine.data); got != 100 {
		t.Fatalf("a follower applied %d of 100 entries", got)
	}
	if reads != 0 {
		t.Errorf("%d reads from the log", reads)
	}
}

// A follower far behind is fed from disk within the host's budget.
func TestCatchUpBudget(t *testing.T) {
	read := 0
	e, groups := trio(t, func(o *raftgroup.Options) {
		o.CacheBytes, o.CatchUpBytesPerTick, o.MaxMessageSize = 1, 20<<10, 8<<10
		node := o.NodeID
		o.Log = watchLog{LogStore: o.Log, entries: func(_, _ uint64, bytes int) {
			if node == 1 {
				read += bytes
			}
		}}
	})
	payload := strings.Repeat("p", 1000)
	for range 100 {
		groups[0].propose(payload)
		e.settle(3)
		e.wire = nil
	}
	ticks := 0
	for len(groups[2].machine.data) < 100 {
		read = 0
		e.tickAll()
		if read > 20<<10+8<<10 {
			t.Fatalf("%d bytes read in one tick", read)
		}
		if ticks++; ticks > 50 {
			t.Fatalf("%d of 100 entries after %d ticks", len(groups[2].machine.data), ticks)
		}
	}
	if ticks < 4 {
		t.Errorf("caught up in %d ticks: the budget was not kept", ticks)
	}
}

// A group whose log and state do not belong together is refused.
func TestOpenRefuses(t *testing.T) {
	conf := &raftpb.ConfState{Voters: []uint64{1}}
	for _, c := range []struct {
		name string
		with func(n *envNode, o *raftgroup.GroupOptions)
		want error
	}{
		{"damaged", func(n *envNode, o *raftgroup.GroupOptions) { n.disk.Damage(1) }, storage.ErrDamaged},
		{"applied beyond the log", func(n *envNode, o *raftgroup.GroupOptions) { o.Applied, o.ConfState = 9, conf }, raftgroup.ErrInconsistent},
		{"applied without configuration", func(n *envNode, o *raftgroup.GroupOptions) { o.Applied = 3 }, raftgroup.ErrInconsistent},
		{"no state, no founders", func(n *envNode, o *raftgroup.GroupOptions) { o.Voters = nil }, raftgroup.ErrInconsistent},
		{"log begins behind applied", func(n *envNode, o *raftgroup.GroupOptions) {
			n.disk.Compact(1, 4)
			n.disk.Drain()
			o.Applied, o.ConfState = 3, conf
		}, raftgroup.ErrInconsistent},
		{"state of a group the log lost", func(n *envNode, o *raftgroup.GroupOptions) { o.ID, o.Applied, o.ConfState = 2, 3, conf }, raftgroup.ErrInconsistent},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, n, g := solo(t, nil)
			g.propose("a", "b", "c")
			e.settle()
			n.crash()
			o := raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}}
			c.with(n, &o)
			if err := n.open(o); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// The durable state may be ahead of the durable commit index.
func TestCommitIsRaisedToApplied(t *testing.T) {
	e, n, g := solo(t, nil)
	g.propose("a", "b")
	e.settle()
	n.crash() // the commit index 4 was never written
	if gs, _, _ := n.disk.Synced(1); gs.State.Commit >= 4 {
		t.Fatalf("the synced commit index is %d, the test proves nothing", gs.State.Commit)
	}
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Applied: 4, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
	if s := n.groups[1].Status(); s.Commit != 4 || s.Applied != 4 {
		t.Errorf("commit %d, applied %d", s.Commit, s.Applied)
	}
	e.settle()
	if got := n.groups[1].machine.data; len(got) != 0 {
		t.Errorf("applied again: %v", got)
	}
}

// A leader's machine leads once its own no-op is applied, not before.
func TestLeadsAfterItsNoOp(t *testing.T) {
	e := newEnv(t)
	n := e.node(1)
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}})
	g := n.groups[1]
	early := 0
	g.machine.onTurn = func(p commitlog.Proposer) {
		if _, ok := p.Leading(); !ok {
			if _, ok := p.Propose([]byte("early")); ok {
				early++
			}
		}
	}
	g.TryTurn()
	n.drain() // the vote
	if s := g.Status(); s.Role.String() != "StateLeader" || s.Leading {
		t.Fatalf("role %s, leading %v before the no-op is synced", s.Role, s.Leading)
	}
	g.TryTurn()
	e.settle()
	if early != 0 || !g.machine.leading || len(g.machine.data) != 0 {
		t.Errorf("early %d, leading %v, applied %v", early, g.machine.leading, g.machine.data)
	}
}

// A proposal that is dropped is never applied.
func TestDroppedProposals(t *testing.T) {
	t.Run("transfer", func(t *testing.T) {
		e, groups := trio(t, nil)
		groups[0].propose("a")
		e.settle(2)
		groups[0].TransferLeader(2) // waits for 2 to catch up
		groups[0].TryTurn()
		ok := true
		groups[0].machine.onTurn = func(p commitlog.Proposer) { _, ok = p.Propose([]byte("b")) }
		groups[0].TryTurn()
		groups[0].machine.onTurn = nil
		if ok {
			t.Error("proposed while leadership is handed over")
		}
		e.tickAll()
		e.settle()
		for i, g := range groups {
			if got := strings.Join(g.machine.data, ","); got != "a" {
				t.Errorf("node %d applied %q", i+1, got)
			}
		}
	})
	t.Run("bytes in flight", func(t *testing.T) {
		e, n, g := solo(t, func(o *raftgroup.Options) { o.MaxUncommittedBytes = 100 })
		var taken int
		g.machine.onTurn = func(p commitlog.Proposer) {
			for range 10 {
				if _, ok := p.Propose(make([]byte, 30)); ok {
					taken++
				}
			}
			if entries, bytes := p.InFlight(); entries != 3 || bytes != 90 {
				t.Errorf("%d entries, %d bytes in flight", entries, bytes)
			}
		}
		g.TryTurn()
		g.machine.onTurn = func(p commitlog.Proposer) {
			if entries, bytes := p.InFlight(); entries != 0 || bytes != 0 {
				t.Errorf("%d entries, %d bytes in flight after all were applied", entries, bytes)
			}
		}
		n.drain()
		e.settle()
		if taken != 3 || len(g.machine.data) != 3 {
			t.Errorf("%d proposals taken, %d applied", taken, len(g.machine.data))
		}
	})
}

// Ticks that a busy group missed are merged.
func TestLostTicksAreMerged(t *testing.T) {
	e, groups := trio(t, nil)
	for range 1000 {
		e.nodes[2].host.Tick()
	}
	groups[1].TryTurn()
	if got := e.sent(raftpb.MsgPreVote, 0); len(got) != 0 {
		t.Errorf("a thousand lost ticks made an election: %v", got)
	}
}

// A silent leader is replaced after an election timeout, and a leader without a
// majority steps down.
func TestElectionTimeout(t *testing.T) {
	e, groups := trio(t, nil)
	ticks := 0
	for !groups[1].machine.leading && !groups[2].machine.leading {
		for id := uint64(1); id <= 3; id++ {
			e.nodes[id].host.Tick()
			e.nodes[id].turns()
		}
		e.settle(1)
		if ticks++; ticks > 40 {
			t.Fatal("no new leader after 40 ticks")
		}
	}
	if ticks < 10 {
		t.Errorf("a new leader after %d ticks, before the timeout", ticks)
	}
	for range 21 {
		e.nodes[1].host.Tick()
		e.nodes[1].turns()
	}
	if groups[0].machine.leading {
		t.Error("the leader without a majority still leads")
	}
}

// A group drops what no peer may send, and what its inbox does not hold.
func TestForeignMessagesAreDropped(t *testing.T) {
	e, groups := trio(t, func(o *raftgroup.Options) { o.MaxInboxMessages = 10 })
	before := groups[1].Status()
	h := e.nodes[2].host
	local := func(typ raftpb.MessageType, from, to uint64) *raftpb.Message {
		return &raftpb.Message{Type: &typ, From: &from, To: &to, Term: new(uint64(99)), Index: new(uint64(50))}
	}
	h.Deliver(1, []*raftpb.Message{
		local(raftpb.MsgHup, 1, 2), local(raftpb.MsgStorageAppendResp, 1, 2), local(raftpb.MsgProp, 3, 2),
		local(raftpb.MsgHeartbeat, 2, 2), local(raftpb.MsgHeartbeat, 1, 3), local(raftpb.MsgHeartbeat, 0, 2),
		local(raftpb.MsgSnap, 1, 2), // no installer
		local(raftpb.MsgStorageApplyResp, ^uint64(0), 2),
	})
	h.Deliver(7, []*raftpb.Message{local(raftpb.MsgHeartbeat, 1, 2)})
	e.settle()
	if after := groups[1].Status(); after.Term != before.Term || after.Leader != before.Leader {
		t.Errorf("from %+v to %+v", before, after)
	}
	var flood []*raftpb.Message
	for range 1000 {
		flood = append(flood, &raftpb.Message{
			Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(before.Term),
		})
	}
	h.Deliver(1, flood)
	groups[1].TryTurn()
	if got := len(e.sent(raftpb.MsgHeartbeatResp, 1)); got != 10 {
		t.Errorf("%d messages of a flood taken, want 10", got)
	}
}

// What is on its way to a slow peer is bounded in bytes, though Raft was told
// of the payloads after it had counted them.
func TestInflightBytes(t *testing.T) {
	const limit = 64 << 10
	e, groups := trio(t, func(o *raftgroup.Options) {
		o.MaxInflightBytes, o.MaxMessageSize, o.CacheBytes = limit, 16<<10, 1
	})
	payload := strings.Repeat("p", 8<<10)
	highest := 0
	for range 100 {
		groups[0].propose(payload)
		e.settle(3)
		bytes := 0
		for _, m := range e.sent(raftpb.MsgApp, 3) {
			for _, ent := range m.Entries {
				bytes += len(ent.Data)
			}
		}
		highest = max(highest, bytes)
	}
	if highest > 2*limit {
		t.Errorf("%d bytes on their way to a silent peer, limit %d", highest, limit)
	}
	for i := 0; len(groups[2].machine.data) < 100; i++ {
		e.tickAll()
		if i > 50 {
			t.Fatalf("the peer got %d of 100 entries", len(groups[2].machine.data))
		}
	}
}

// A turn applies a bounded amount and asks for another one.
func TestApplyBudget(t *testing.T) {
	e, n, g := solo(t, nil)
	for i := range 64 {
		g.propose(fmt.Sprint(i, strings.Repeat("p", 1000)))
	}
	n.drain()
	e.settle()
	n.crash()
	n.options = func(o *raftgroup.Options) { o.ApplyBytesPerTurn = 10_000 }
	n.boot()
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}})
	m := n.groups[1].machine
	e.nodes[1].disk.Drain()
	before := 0
	m.onTurn = func(commitlog.Proposer) {
		if got := len(m.data) - before; got > 11 {
			t.Errorf("%d entries of 1 KB applied in one turn", got)
		}
		before = len(m.data)
	}
	e.settle()
	if len(m.data) != 64 {
		t.Errorf("%d of 64 entries applied", len(m.data))
	}
}
