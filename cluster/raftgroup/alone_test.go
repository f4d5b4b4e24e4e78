package raftgroup_test

import (
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// left crashes the others for good, and the survivor after it wrote what it has.
func left(t *testing.T, e *env, survivor uint64, voters ...uint64) (*envNode, raftgroup.GroupOptions) {
	t.Helper()
	n := e.nodes[survivor]
	n.turns()
	for n.drain() {
		n.turns()
	}
	for id := range e.nodes {
		if id != survivor {
			delete(e.nodes, id)
		}
	}
	e.wire = nil
	n.crash()
	return n, raftgroup.GroupOptions{ID: 1, Voters: voters}
}

// force makes a group alone; what it does is on the disk when it returns.
func (n *envNode) force(o raftgroup.GroupOptions) {
	n.env.t.Helper()
	done := false
	if err := n.host.ForceAlone(o, func() { done = true }); err != nil {
		n.env.t.Fatal(err)
	}
	n.drain()
	if !done {
		n.env.t.Fatal("ForceAlone did not say that it is done")
	}
}

// standing is what is left of group 1.
func (n *envNode) standing(o raftgroup.GroupOptions) raftgroup.Standing {
	n.env.t.Helper()
	st, ok, err := n.host.Standing(o)
	if err != nil || !ok {
		n.env.t.Fatal(ok, err)
	}
	return st
}

// One of three goes on alone with everything it has, what it does not know to be
// committed included: somebody may have been told that it is.
func TestForceAlone(t *testing.T) {
	e, groups := trio(t, nil)
	groups[0].propose("known")
	e.settle()
	groups[0].propose("acknowledged")
	e.settleUntilStored(3)
	n, o := left(t, e, 3, 1, 2, 3)
	before := n.standing(o)
	if before.Commit >= before.Last || !slices.Equal(before.Conf.GetVoters(), []uint64{1, 2, 3}) {
		t.Fatalf("%+v: the tail is known to be committed, the test is about nothing", before)
	}

	// Killed before it is on the disk: nothing has happened.
	if err := n.host.ForceAlone(o, func() { t.Error("done without a sync") }); err != nil {
		t.Fatal(err)
	}
	n.crash()
	if st := n.standing(o); st.Last != before.Last || st.Commit != before.Commit {
		t.Fatalf("%+v, was %+v", st, before)
	}
	n.force(o)
	n.crash()
	after := n.standing(o)
	if !slices.Equal(after.Conf.GetVoters(), []uint64{3}) || after.Commit != after.Last || after.Last <= before.Last || after.LastTerm <= before.LastTerm {
		t.Fatalf("%+v, was %+v", after, before)
	}
	// A second time changes nothing.
	n.force(o)
	if st := n.standing(o); st.Last != after.Last || st.LastTerm != after.LastTerm {
		t.Fatalf("%+v, was %+v", st, after)
	}

	n.mustOpen(o)
	g := n.groups[1]
	e.settle()
	if !g.machine.leading || !slices.Equal(g.machine.data, []string{"known", "acknowledged"}) {
		t.Fatalf("leading %v, has %q", g.machine.leading, g.machine.data)
	}
	g.propose("alone")
	e.settle()
	if !slices.Contains(g.machine.data, "alone") {
		t.Fatalf("it does not go on: %q", g.machine.data)
	}
	// Others join as ever.
	n.provide(1)
	m := e.nodeWith(4, nil)
	m.install = true
	m.mustOpen(raftgroup.GroupOptions{ID: 1})
	for _, what := range []string{"l4", "v4"} {
		if err := change(t, e, g, what); err != nil {
			t.Fatal(err)
		}
		e.settle()
	}
	g.propose("together")
	e.settle()
	if got := m.groups[1].machine.data; !slices.Equal(got, []string{"known", "acknowledged", "alone", "together"}) {
		t.Fatalf("the new member has %q", got)
	}
}

// settleUntilStored lets one node store what it is sent, and nobody hear of that.
func (e *env) settleUntilStored(id uint64) {
	for _, k := range e.ids() {
		e.nodes[k].turns()
	}
	e.deliver(func(m wireMessage) bool { return m.to == id })
	e.nodes[id].turns()
}

// It does not matter in the middle of which change the others went, nor whether it
// had a vote.
func TestForceAloneFromAnyConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		change   []string
		survivor uint64
		joint    bool
	}{
		"a learner":              {change: []string{"l3"}, survivor: 3},
		"beside a learner":       {change: []string{"l3"}, survivor: 2},
		"removed":                {change: []string{"r3"}, survivor: 2},
		"between configurations": {change: []string{"r3 v2"}, survivor: 2, joint: true},
		"on the way out":         {change: []string{"l3 v2"}, survivor: 3, joint: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, groups := trio(t, nil)
			groups[0].propose("a")
			e.settle()
			for _, what := range c.change {
				ccs, err := raftpb.ConfChangesFromString(what)
				if err != nil {
					t.Fatal(err)
				}
				cc := &raftpb.ConfChangeV2{Changes: ccs}
				if c.joint {
					k := raftpb.ConfChangeTransitionJointExplicit
					cc.Transition = &k
				}
				groups[0].ProposeConfChange(cc, func(err error) {
					if err != nil {
						t.Error(err)
					}
				})
				e.settle()
			}
			n, o := left(t, e, c.survivor, 1, 2, 3)
			if st := n.standing(o); len(st.Conf.GetVotersOutgoing()) > 0 != c.joint {
				t.Fatalf("%v", st.Conf)
			}
			n.force(o)
			n.crash()
			n.mustOpen(o)
			e.settle()
			g := n.groups[1]
			g.propose("b")
			e.settle()
			if !slices.Equal(g.machine.data, []string{"a", "b"}) {
				t.Fatalf("it has %q", g.machine.data)
			}
			cs := g.Status().ConfState
			if !slices.Equal(cs.GetVoters(), []uint64{c.survivor}) || len(cs.GetLearners())+len(cs.GetVotersOutgoing()) > 0 {
				t.Fatalf("%v", cs)
			}
		})
	}
}

// A replica that has received nothing is not made anything of, and a group that is
// alone is left as it is.
func TestForceAloneOfNothing(t *testing.T) {
	e := newEnv(t)
	n := e.node(7)
	n.force(raftgroup.GroupOptions{ID: 1}) // unknown
	if _, ok, err := n.host.Standing(raftgroup.GroupOptions{ID: 1}); ok || err != nil {
		t.Fatal(ok, err)
	}
	n.mustOpen(raftgroup.GroupOptions{ID: 2})
	n.mustOpen(raftgroup.GroupOptions{ID: 3, Voters: []uint64{7}})
	e.settle()
	n.crash()
	for _, o := range []raftgroup.GroupOptions{{ID: 2}, {ID: 3, Voters: []uint64{7}}} {
		before := n.standing(o)
		n.force(o)
		if st := n.standing(o); st.Last != before.Last {
			t.Fatalf("group %d: %+v, was %+v", o.ID, st, before)
		}
	}
}
