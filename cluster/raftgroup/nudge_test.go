package raftgroup_test

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// With Inline, a group that has nothing else to do takes ticks and heartbeats on
// the goroutine that brings them; what is news waits for its own.
func TestInlineTurns(t *testing.T) {
	e, _ := trio(t, func(o *raftgroup.Options) { o.Inline = true })
	e.settle()
	for id, n := range e.nodes {
		n.host.Tick()
		if n.groups[1].Due() {
			t.Errorf("node %d: a tick waits for a turn", id)
		}
	}
	beats := e.sent(raftpb.MsgHeartbeat, 2)
	if len(beats) != 1 {
		t.Fatalf("%d heartbeats after a tick", len(beats))
	}
	e.wire = nil
	n := e.nodes[2]
	n.host.Deliver(1, beats)
	if n.groups[1].Due() || len(e.sent(raftpb.MsgHeartbeatResp, 1)) != 1 {
		t.Error("a heartbeat waits for a turn")
	}
	n.host.Deliver(1, []*raftpb.Message{message(raftpb.MsgHeartbeat, 1, 2, beats[0].GetTerm()+1)})
	if !n.groups[1].Due() {
		t.Error("a new term was taken on the caller's goroutine")
	}
}
