package raftgroup_test

import (
	"testing"
	"time"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/commitlog/commitlogtest"
	"github.com/warrenmq/warren/storage/storagetest"
)

// A group of one voter is a log like the memory of one node.
func TestContractOneVoter(t *testing.T) {
	commitlogtest.Run(t, func(t testing.TB, m commitlog.Machine) commitlogtest.Rig {
		log := storagetest.NewMemLog()
		h, err := raftgroup.NewHost(raftgroup.Options{NodeID: 1, Log: log, Now: func() time.Duration { return 0 }})
		if err != nil {
			t.Fatal(err)
		}
		g, err := h.Open(raftgroup.GroupOptions{ID: 1, Machine: m, Voters: []uint64{1}})
		if err != nil {
			t.Fatal(err)
		}
		return commitlogtest.Rig{Log: g, Settle: func() {
			for g.Due() || log.Pending() {
				g.TryTurn()
				log.Drain()
			}
		}}
	})
}

// So is a group of three, where it leads.
func TestContractThreeVoters(t *testing.T) {
	e := newEnv(t)
	e.quiet = true
	group := uint64(0)
	commitlogtest.Run(t, func(t testing.TB, m commitlog.Machine) commitlogtest.Rig {
		group++
		voters := []uint64{1, 2, 3}
		for _, id := range voters[1:] {
			e.node(id).mustOpen(raftgroup.GroupOptions{ID: group, Voters: voters})
		}
		g, err := e.node(1).host.Open(raftgroup.GroupOptions{ID: group, Machine: m, Voters: voters})
		if err != nil {
			t.Fatal(err)
		}
		n := e.nodes[1]
		n.groups = map[uint64]*envGroup{group: {Group: g}}
		g.Campaign()
		return commitlogtest.Rig{Log: g, Settle: func() {
			e.settle()
		}}
	})
}

var _ commitlog.Log = (*raftgroup.Group)(nil)
