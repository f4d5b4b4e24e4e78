package steer_test

import (
	"slices"
	"testing"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"pgregory.net/rapid"

	"github.com/warrenmq/warren/cluster/steer"
)

// apply performs a change as Raft would.
func apply(t *rapid.T, c *raftpb.ConfState, cc *raftpb.ConfChangeV2) *raftpb.ConfState {
	ch := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	cfg, trk, err := confchange.Restore(ch, c)
	if err != nil {
		t.Fatalf("restore %v: %v", c, err)
	}
	ch.Tracker.Config, ch.Tracker.Progress = cfg, trk
	if cc.LeaveJoint() {
		cfg, trk, err = ch.LeaveJoint()
	} else if auto, joint := cc.EnterJoint(); joint {
		cfg, trk, err = ch.EnterJoint(auto, cc.Changes...)
	} else {
		cfg, trk, err = ch.Simple(cc.Changes...)
	}
	if err != nil {
		t.Fatalf("change %v of %v: %v", cc, c, err)
	}
	ch.Tracker.Config, ch.Tracker.Progress = cfg, trk
	return ch.Tracker.ConfState()
}

func ids(t *rapid.T, label string) []uint64 {
	all := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 7), 1, 5, rapid.ID[uint64]).Draw(t, label)
	slices.Sort(all)
	return all
}

// From whatever configuration, towards whatever is wanted, with members that
// catch up and do not, with leaders that change: every step is one that Raft
// takes, nobody loses the vote before all who should have it do, a voter has
// caught up when it becomes one, and when all catch up it ends where it should.
func TestNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		conf := &raftpb.ConfState{Voters: ids(t, "voters")}
		leader := conf.Voters[0]
		want := steer.Want{Voters: ids(t, "want")}
		for _, id := range ids(t, "learners") {
			if !slices.Contains(want.Voters, id) {
				want.Learners = append(want.Learners, id)
			}
		}
		for i := 0; ; i++ {
			if i > 100 {
				t.Fatalf("%v after 100 steps, want %+v", conf, want)
			}
			ready := func(id uint64) bool {
				return slices.Contains(conf.Voters, id) || i > 40 || rapid.Bool().Draw(t, "caught up")
			}
			if rapid.IntRange(0, 9).Draw(t, "other leader") == 0 && len(conf.VotersOutgoing) == 0 {
				leader = rapid.SampledFrom(conf.Voters).Draw(t, "leader")
			}
			var asked []uint64
			g := steer.Group{Self: leader, Conf: conf, Active: func(uint64) bool { return true }, CaughtUp: func(id uint64) bool {
				ok := ready(id)
				if ok {
					asked = append(asked, id)
				}
				return ok
			}}
			s := steer.Next(g, want)
			if s.None() {
				if steer.Done(conf, want) {
					return
				}
				if i > 40 && len(conf.VotersOutgoing) == 0 {
					t.Fatalf("nothing to do with %v, want %+v", conf, want)
				}
				if len(conf.VotersOutgoing) > 0 { // Raft leaves by itself
					conf = apply(t, conf, &raftpb.ConfChangeV2{})
				}
				continue
			}
			if s.Transfer != 0 {
				if !slices.Contains(conf.Voters, s.Transfer) || !slices.Contains(want.Voters, s.Transfer) {
					t.Fatalf("hand over to %d: %v, want %+v", s.Transfer, conf, want)
				}
				leader = s.Transfer
				continue
			}
			before := conf
			conf = apply(t, conf, s.Change)
			for _, id := range conf.Voters {
				if !slices.Contains(before.Voters, id) && !slices.Contains(asked, id) {
					t.Fatalf("%d votes and has not caught up", id)
				}
			}
			for _, id := range before.Voters {
				if slices.Contains(conf.Voters, id) {
					continue
				}
				for _, w := range want.Voters {
					if !slices.Contains(before.Voters, w) {
						t.Fatalf("%d lost the vote while %d did not have it: %v to %v", id, w, before, conf)
					}
				}
				if id == leader {
					t.Fatalf("the leader %d lost the vote", id)
				}
			}
		}
	})
}

func TestNobody(t *testing.T) {
	s := steer.Next(steer.Group{Self: 1, Conf: &raftpb.ConfState{Voters: []uint64{1}}}, steer.Want{})
	if !s.None() {
		t.Fatalf("%+v towards a group of nobody", s)
	}
}

// Nobody loses the vote as long as those who keep it would have no majority of
// members that answer.
func TestAway(t *testing.T) {
	away := map[uint64]bool{2: true}
	g := steer.Group{
		Self: 3, Conf: &raftpb.ConfState{Voters: []uint64{1, 2, 3}},
		CaughtUp: func(id uint64) bool { return !away[id] },
		Active:   func(id uint64) bool { return id != 3 && !away[id] },
	}
	want := steer.Want{Voters: []uint64{2, 3}}
	if s := steer.Next(g, want); !s.None() {
		t.Fatalf("%+v while 2 is away", s)
	}
	away[2] = false
	if s := steer.Next(g, want); s.Change == nil {
		t.Fatal("nothing is to be done when it is back")
	}
}
