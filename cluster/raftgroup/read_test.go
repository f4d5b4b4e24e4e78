package raftgroup_test

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// An asked is a question for the commit index and its answer.
type asked struct {
	index    uint64
	ok, done bool
}

func ask(g *envGroup) *asked {
	a := &asked{}
	g.ReadIndex(func(index uint64, ok bool) { *a = asked{index, ok, true} })
	g.TryTurn()
	return a
}

// What was committed before the question is covered by the answer, whoever
// asks; the leader answers when a majority has confirmed it, and not before.
func TestReadIndex(t *testing.T) {
	e, groups := trio(t, nil)
	groups[0].propose("a", "b")
	e.settle()
	commit := groups[0].Status().Commit
	for i, g := range groups {
		a := ask(g)
		if a.done {
			t.Errorf("node %d: answered without a majority", i+1)
		}
		e.settle()
		if !a.ok || a.index != commit {
			t.Errorf("node %d: %+v, want %d", i+1, *a, commit)
		}
	}
}

// A leader that lost its majority confirms nothing, nor does one of an older
// term; who asked is told.
func TestReadIndexOfDeposed(t *testing.T) {
	e, groups := trio(t, nil)
	a := ask(groups[0])
	e.deliver(func(wireMessage) bool { return false })
	e.settle(2, 3)
	if a.done {
		t.Fatalf("answered alone: %+v", *a)
	}
	groups[1].Campaign()
	for range 40 {
		e.tickAll(1)
	}
	groups[1].propose("late")
	e.settle(1)
	if a.ok {
		t.Fatalf("a deposed leader answered: %+v", *a)
	}
	e.wire = nil
	e.tickAll()
	if !a.done || a.ok {
		t.Errorf("not told that the leader changed: %+v", *a)
	}
}

// A lost message ends the wait.
func TestReadIndexLost(t *testing.T) {
	e, groups := trio(t, nil)
	a := ask(groups[1])
	e.wire = nil
	for range 6 {
		e.nodes[2].host.Tick()
		e.nodes[2].turns()
	}
	if !a.done || a.ok {
		t.Errorf("%+v", *a)
	}
}

// Without a leader there is no answer.
func TestReadIndexWithoutLeader(t *testing.T) {
	e := newEnv(t)
	n := e.nodeWith(1, nil)
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1, 2}})
	e.settle()
	if a := ask(n.groups[1]); !a.done || a.ok {
		t.Errorf("without a leader: %+v", *a)
	}
}

// Alone there is an answer at once, and not alone any more once another joined.
func TestReadIndexAlone(t *testing.T) {
	_, _, g := solo(t, nil)
	if a := ask(g); !a.ok || a.index != g.Status().Commit || !g.Alone() {
		t.Errorf("alone (%v): %+v", g.Alone(), *a)
	}
	ccs, err := raftpb.ConfChangesFromString("l2")
	if err != nil {
		t.Fatal(err)
	}
	g.ProposeConfChange(&raftpb.ConfChangeV2{Changes: ccs}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	g.TryTurn()
	g.machine.node.drain()
	g.TryTurn()
	if g.Alone() {
		t.Error("alone with a learner")
	}
}
