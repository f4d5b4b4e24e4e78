package raftgroup_test

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// A replica that was removed, forgot what it had acknowledged and comes back takes
// no part in elections before its log is as long as it was: it would vote for a
// candidate that lacks what it helped to commit.
func TestMute(t *testing.T) {
	e := newEnv(t)
	n := e.node(3)
	if err := n.open(raftgroup.GroupOptions{ID: 1, Mute: 10}); err != nil {
		t.Fatal(err)
	}
	e.settle()
	from, to, term, one := uint64(2), uint64(3), uint64(7), uint64(1)
	votes := func() (sent int) {
		for _, k := range []raftpb.MessageType{raftpb.MsgPreVote, raftpb.MsgVote} {
			m := &raftpb.Message{Type: &k, From: &from, To: &to, Term: &term, LogTerm: &one, Index: &one}
			n.host.Deliver(1, []*raftpb.Message{m})
			n.turns()
			n.drain()
			n.turns()
			for _, w := range e.wire {
				if !w.msg.Raft.GetReject() {
					sent++
				}
			}
			e.wire = nil
		}
		return sent
	}
	if n := votes(); n != 0 {
		t.Fatalf("%d votes of one that is mute", n)
	}
	for range 100 {
		n.host.Tick()
		n.turns()
	}
	if st := n.groups[1].Status(); st.Term != 0 {
		t.Fatalf("it stood for election, in term %d", st.Term)
	}
	// The same without Mute votes: the test can fail.
	if err := n.open(raftgroup.GroupOptions{ID: 2}); err != nil {
		t.Fatal(err)
	}
	e.settle()
	kind := raftpb.MsgVote
	n.host.Deliver(2, []*raftpb.Message{{Type: &kind, From: &from, To: &to, Term: &term, LogTerm: &one, Index: &one}})
	n.turns()
	n.drain()
	n.turns()
	if len(e.wire) != 1 {
		t.Fatalf("%d answers of one that is not mute", len(e.wire))
	}
}

// One that is mute follows like any other, and takes part again when it has what
// it is mute for.
func TestMuteEnds(t *testing.T) {
	e, groups := trio(t, nil)
	e.settle()
	g := groups[0]
	g.propose("a")
	e.settle()
	n := e.nodeWith(4, nil)
	n.install = true
	if err := n.open(raftgroup.GroupOptions{ID: 1, Mute: g.Status().Last + 1}); err != nil {
		t.Fatal(err)
	}
	e.nodes[1].provide(1)
	if err := change(t, e, g, "l4"); err != nil {
		t.Fatal(err)
	}
	e.settle()
	g.propose("b")
	e.settle()
	if err := change(t, e, g, "v4"); err != nil {
		t.Fatal(err)
	}
	e.settle()
	if st := n.groups[1].Status(); st.Last < 5 {
		t.Fatalf("it has %d entries", st.Last)
	}
	g.TransferLeader(4)
	e.settle()
	if st := n.groups[1].Status(); !st.Leading {
		t.Fatalf("it does not lead: %+v", st)
	}
}
