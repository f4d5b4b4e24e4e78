package raftgroup_test

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/storage"
)

// A replica that is told to commit what its log does not reach, by a leader whom it
// must have acknowledged that to, is an older copy of itself: it says so, and says
// nothing else any more. Raft would panic.
func TestForgot(t *testing.T) {
	e := newEnv(t)
	var told []error
	n := e.nodeWith(3, func(o *raftgroup.Options) {
		o.Forgot = func(group uint64, err error) { told = append(told, err) }
	})
	if err := n.open(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	e.settle()
	e.wire = nil
	send := func(kind raftpb.MessageType, term, commit uint64) {
		from, to := uint64(1), uint64(3)
		n.host.Deliver(1, []*raftpb.Message{{Type: &kind, From: &from, To: &to, Term: &term, Commit: &commit}})
		n.turns()
		n.drain()
		n.turns()
	}
	send(raftpb.MsgHeartbeat, 7, 1)
	if len(told) != 0 || len(e.wire) == 0 {
		t.Fatalf("%v, %d answers to a heartbeat", told, len(e.wire))
	}
	e.wire = nil
	send(raftpb.MsgHeartbeat, 6, 90) // of a leader of the past
	if len(told) != 0 {
		t.Fatal(told)
	}
	e.wire = nil
	send(raftpb.MsgHeartbeat, 7, 9)
	if len(told) != 1 || !errors.Is(told[0], storage.ErrDamaged) {
		t.Fatalf("told %v", told)
	}
	send(raftpb.MsgVote, 9, 0)
	for range 100 {
		n.host.Tick()
		n.turns()
	}
	if len(e.wire) != 0 || len(told) != 1 {
		t.Fatalf("%d messages of one that counts for nothing, told %d times", len(e.wire), len(told))
	}
	n.groups[1].Close()
}
