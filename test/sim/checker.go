package sim

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	world "github.com/warrenmq/warren/internal/sim"
	"github.com/warrenmq/warren/storage"
)

// A checker holds a run against what Raft promises. Each of its methods is
// called where the thing happens; the first violation is kept.
type checker struct {
	err     error
	groups  map[uint64]*groupChecker
	confirm int
}

type groupChecker struct {
	id        uint64
	leaders   map[uint64]uint64       // term -> node
	votes     map[[2]uint64]uint64    // node, term -> vote that was synced
	entries   map[[2]uint64]seenEntry // index, term -> content
	committed map[uint64]committed    // index -> content
	highest   uint64                  // highest committed index
	confs     map[uint64]string       // index -> configuration from there on
	confirmed map[uint64]uint64       // operation -> index
}

type seenEntry struct{ hash, prevTerm uint64 }

type committed struct{ term, hash uint64 }

func newChecker(groups int) *checker {
	c := &checker{groups: make(map[uint64]*groupChecker)}
	for id := uint64(1); id <= uint64(groups); id++ {
		c.groups[id] = &groupChecker{
			id: id, leaders: make(map[uint64]uint64), votes: make(map[[2]uint64]uint64),
			entries: make(map[[2]uint64]seenEntry), committed: make(map[uint64]committed),
			confs: make(map[uint64]string), confirmed: make(map[uint64]uint64),
		}
	}
	return c
}

func (c *checker) failf(format string, args ...any) {
	if c.err == nil {
		c.err = errors.New("sim: " + fmt.Sprintf(format, args...))
	}
}

// leads: one leader per term.
func (c *checker) leads(node, group, term uint64) {
	leaders := c.groups[group].leaders
	if other, ok := leaders[term]; ok && other != node {
		c.failf("group %d: nodes %d and %d both lead term %d", group, other, node, term)
	}
	leaders[term] = node
}

// newest returns the newest term that anybody led.
func (c *checker) newest(group uint64) (newest uint64) {
	for term := range c.groups[group].leaders {
		newest = max(newest, term)
	}
	return newest
}

// synced: a node that made a vote durable never makes another one durable in
// the same term, restarts included.
func (c *checker) synced(node uint64, gs storage.GroupState) {
	if gs.State.Vote == 0 {
		return
	}
	g := c.groups[gs.Group]
	key := [2]uint64{node, gs.State.Term}
	if old, ok := g.votes[key]; ok && old != gs.State.Vote {
		c.failf("group %d: node %d voted for %d and for %d in term %d", gs.Group, node, old, gs.State.Vote, gs.State.Term)
	}
	g.votes[key] = gs.State.Vote
}

// appended: entries of the same index and term are the same, and so is what
// comes before them.
func (c *checker) appended(node, group uint64, e storage.Entry, prevTerm uint64) {
	g := c.groups[group]
	key := [2]uint64{e.Index, e.Term}
	now := seenEntry{world.Sum(e.Data) ^ uint64(e.Kind), prevTerm}
	if old, ok := g.entries[key]; ok && old != now {
		c.failf("group %d: node %d stores entry %d of term %d unlike another log's", group, node, e.Index, e.Term)
	}
	g.entries[key] = now
}

// applied: a committed entry never changes, and is one that was stored.
func (c *checker) applied(node, group uint64, e commitlog.Entry) {
	g := c.groups[group]
	now := committed{e.Term, world.Sum(e.Data)}
	if old, ok := g.committed[e.Index]; ok && old != now {
		c.failf("group %d: node %d applies entry %d of term %d, but an entry of term %d was committed there", group, node, e.Index, e.Term, old.term)
	}
	if _, ok := g.entries[[2]uint64{e.Index, e.Term}]; !ok {
		c.failf("group %d: node %d applies entry %d of term %d, which nobody stored", group, node, e.Index, e.Term)
	}
	g.committed[e.Index] = now
	g.highest = max(g.highest, e.Index)
}

// configured: all members have the same configuration at the same index.
func (c *checker) configured(node, group, index uint64, cs *raftpb.ConfState) {
	g := c.groups[group]
	now := fmt.Sprint(cs.GetVoters(), cs.GetVotersOutgoing(), cs.GetLearners(), cs.GetLearnersNext(), cs.GetAutoLeave())
	if old, ok := g.confs[index]; ok && old != now {
		c.failf("group %d: node %d has configuration %s at %d, another had %s", group, node, now, index, old)
	}
	g.confs[index] = now
}

func (c *checker) confirms(group, id, index uint64) {
	g := c.groups[group]
	if _, ok := g.committed[index]; !ok {
		c.failf("group %d: operation %d confirmed at %d, which is not committed", group, id, index)
	}
	if old, ok := g.confirmed[id]; ok {
		c.failf("group %d: operation %d confirmed at %d and at %d", group, id, old, index)
	}
	g.confirmed[id] = index
	c.confirm++
}

// sends: what depends on a sync leaves after it.
func (c *checker) sends(n *node, m raftgroup.Message) {
	r, group := m.Raft, m.Group
	gs, _, known := n.disk.log.Synced(group)
	switch r.GetType() {
	case raftpb.MsgVoteResp:
		if r.GetReject() {
			return
		}
		hs := gs.State
		if !known || hs.Term < r.GetTerm() || hs.Term == r.GetTerm() && hs.Vote != r.GetTo() {
			c.failf("group %d: node %d sends its vote of term %d to %d before it is synced (%+v)", group, n.id, r.GetTerm(), r.GetTo(), hs)
		}
	case raftpb.MsgAppResp:
		if !known || gs.State.Term < r.GetTerm() {
			c.failf("group %d: node %d answers in term %d, synced is %d", group, n.id, r.GetTerm(), gs.State.Term)
		}
		if !r.GetReject() && gs.State.Term == r.GetTerm() && r.GetIndex() > gs.Last {
			c.failf("group %d: node %d acknowledges %d, synced is %d", group, n.id, r.GetIndex(), gs.Last)
		}
	case raftpb.MsgSnap:
		index := r.GetSnapshot().GetMetadata().GetIndex()
		if highest := c.groups[group].highest; index > highest {
			c.failf("group %d: node %d sends a snapshot at %d, committed is %d", group, n.id, index, highest)
		}
	}
}

// status: what a group says of itself after a turn.
func (c *checker) status(node uint64, s raftgroup.Status) {
	if s.Role == raft.StateLeader {
		c.leads(node, s.Group, s.Term)
	}
	if s.Applied > s.Commit {
		c.failf("group %d: node %d applied %d, commit is %d", s.Group, node, s.Applied, s.Commit)
	}
}
