package raftgroup_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
)

func change(t testing.TB, e *env, g *envGroup, what string) error {
	t.Helper()
	ccs, err := raftpb.ConfChangesFromString(what)
	if err != nil {
		t.Fatal(err)
	}
	outcome := errors.New("never answered")
	g.ProposeConfChange(&raftpb.ConfChangeV2{Changes: ccs}, func(err error) { outcome = err })
	g.TryTurn()
	return outcome
}

// A change is applied between the entries before and behind it, and the
// machine sees an empty entry.
func TestConfChange(t *testing.T) {
	e, groups := trio(t, nil)
	g := groups[0]
	type seen struct {
		index  uint64
		voters int
	}
	var got []seen
	g.machine.onEntries = func(ents []commitlog.Entry) {
		last := ents[len(ents)-1]
		got = append(got, seen{last.Index, len(g.ConfState().GetVoters())})
		if g.Applied() != last.Index {
			t.Errorf("Applied is %d in the turn that applies %d", g.Applied(), last.Index)
		}
	}
	g.propose("a")
	if err := change(t, e, g, "r3"); err != nil {
		t.Fatal(err)
	}
	if err := change(t, e, g, "r2"); !errors.Is(err, raftgroup.ErrConfChange) {
		t.Errorf("a second change while one is under way: %v", err)
	}
	g.propose("b")
	e.settle()
	want := []seen{{3, 3}, {4, 2}, {5, 2}}
	if !slices.Equal(got, want) {
		t.Errorf("applied %v, want %v", got, want)
	}
	if s := strings.Join(g.machine.data, ","); s != "a,b" {
		t.Errorf("data %q", s)
	}
	if got := g.Status().ConfState.GetVoters(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("voters %v", got)
	}
}

// A change that Raft would panic on when it is applied is refused.
func TestInvalidConfChange(t *testing.T) {
	e, n, g := solo(t, nil)
	for _, what := range []string{"r1", "v0", "v2 r1 r2"} {
		if err := change(t, e, g, what); !errors.Is(err, raftgroup.ErrConfChange) {
			t.Errorf("%s: %v", what, err)
		}
	}
	e.settle()
	if err := change(t, e, g, "l2"); err != nil {
		t.Errorf("adding a learner: %v", err)
	}
	e.nodeWith(2, nil)
	e.settle()
	if got := g.Status().ConfState.GetLearners(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("learners %v", got)
	}
	if err := change(t, e, n.groups[1], "v2 l1"); err != nil {
		t.Errorf("joint change: %v", err)
	}
}

// A follower refuses to propose a change.
func TestConfChangeNeedsLeader(t *testing.T) {
	e, groups := trio(t, nil)
	if err := change(t, e, groups[1], "r3"); !errors.Is(err, raftgroup.ErrConfChange) {
		t.Errorf("got %v", err)
	}
}

// A leader that is removed steps down, and a lone voter that was joined waits
// for the others.
func TestRemovedLeaderStepsDown(t *testing.T) {
	e, groups := trio(t, nil)
	if err := change(t, e, groups[0], "r1"); err != nil {
		t.Fatal(err)
	}
	e.settle()
	if groups[0].machine.leading {
		t.Error("the removed leader leads")
	}
	for i := 0; !groups[1].machine.leading && !groups[2].machine.leading; i++ {
		e.tickAll(1)
		if i > 60 {
			t.Fatal("nobody leads")
		}
	}
}

// A node that joins gets a snapshot, for its log cannot begin with the
// founders' first entry, and then follows.
func TestJoinBySnapshot(t *testing.T) {
	e, n, g := solo(t, nil)
	n.provide(1)
	g.propose("a", "b")
	e.settle()
	joiner := e.nodeWith(2, nil)
	joiner.install = true
	joiner.mustOpen(raftgroup.GroupOptions{ID: 1})
	e.settle()
	if err := change(t, e, g, "l2"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.tickAll()
	}
	j := joiner.groups[1]
	if !j.machine.installed {
		t.Fatalf("no snapshot was installed: %+v, leader %+v", j.Status(), g.Status())
	}
	g.propose("c")
	e.settle()
	e.tickAll()
	if got := strings.Join(j.machine.data, ","); got != "a,b,c" {
		t.Errorf("the learner has %q", got)
	}
	if err := change(t, e, g, "v2"); err != nil {
		t.Fatal(err)
	}
	e.settle()
	e.tickAll()
	if got := j.Status().ConfState.GetVoters(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("voters %v", got)
	}
}

// While a snapshot is on its way the log behind it stays, until a deadline.
func TestSnapshotHoldsCompaction(t *testing.T) {
	for _, end := range []string{"reported", "deadline"} {
		t.Run(end, func(t *testing.T) {
			e, n, g := solo(t, func(o *raftgroup.Options) { o.SnapshotHoldTicks = 5 })
			n.provide(1)
			g.propose("a", "b")
			e.settle()
			e.nodeWith(2, nil).mustOpen(raftgroup.GroupOptions{ID: 1}) // takes no snapshots
			if err := change(t, e, g, "l2"); err != nil {
				t.Fatal(err)
			}
			e.settle()
			n.host.Tick()
			n.turns()
			peers := g.Status().Peers
			if len(peers) != 1 || peers[0].State != tracker.StateSnapshot {
				t.Fatalf("no snapshot on its way: %+v", g.Status())
			}
			at := peers[0].Next - 1
			g.propose("c", "d")
			e.settle(2)
			g.Compact(g.Status().Applied)
			g.TryTurn()
			if got := g.Status().First; got != at+1 {
				t.Fatalf("the log begins at %d, the snapshot on its way is at %d", got, at)
			}
			if end == "reported" {
				g.ReportSnapshot(2, false)
				g.TryTurn()
			} else {
				for range 5 {
					n.host.Tick()
					n.turns()
				}
			}
			if s := g.Status(); s.First != s.Applied+1 {
				t.Errorf("the log begins at %d, applied is %d", s.First, s.Applied)
			}
		})
	}
}

// Compaction never goes beyond what is applied, and readers get exact errors.
func TestCompact(t *testing.T) {
	e, n, g := solo(t, nil)
	g.propose("a", "b", "c")
	e.settle()
	g.Compact(4)
	g.TryTurn()
	g.Compact(3) // no way back
	g.TryTurn()
	e.settle()
	if s := g.Status(); s.First != 5 || s.Last != 5 {
		t.Errorf("log [%d, %d]", s.First, s.Last)
	}
	g.Compact(1000)
	g.TryTurn()
	g.propose("d")
	e.settle()
	if s := g.Status(); s.First != 6 || s.Last != 6 || s.Applied != 6 {
		t.Errorf("log [%d, %d], applied %d", s.First, s.Last, s.Applied)
	}
	n.crash()
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Applied: 5, ConfState: &raftpb.ConfState{Voters: []uint64{1}}})
	e.settle()
	if got := strings.Join(n.groups[1].machine.data, ","); got != "d" {
		t.Errorf("replayed %q", got)
	}
}
