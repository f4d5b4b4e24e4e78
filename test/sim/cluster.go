package sim

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	world "github.com/warrenmq/warren/internal/sim"
)

// A Cluster is one run.
type Cluster struct {
	conf   Config
	world  *world.World
	net    *world.Network[raftgroup.Message]
	nodes  []*node // nodes[i] has id i+1
	check  *checker
	counts map[string]int

	offered  int
	refused  map[uint64]int // by group
	nextOp   uint64
	faulting bool
}

// Run does one run and returns what it did.
func Run(conf Config) Result {
	conf = conf.withDefaults()
	defer world.SwapEntropy(conf.Seed)()
	c := &Cluster{conf: conf, world: world.NewWorld(conf.Seed), check: newChecker(conf.Groups), counts: make(map[string]int), refused: make(map[uint64]int)}
	c.world.Log = conf.Trace
	c.net = world.NewNetwork(c.world, c.arrive)
	for id := uint64(1); id <= uint64(conf.Voters+conf.Spares); id++ {
		c.nodes = append(c.nodes, c.newNode(id))
	}
	for _, n := range c.nodes {
		for id := uint64(1); id <= uint64(conf.Groups) && n.id <= uint64(conf.Voters); id++ {
			n.disk.member[id] = true
		}
		n.start()
	}
	c.run()
	return Result{
		Hash: c.world.Hash(), Steps: c.world.Steps(), Virtual: c.world.Now(),
		Offered: c.offered, Confirmed: c.check.confirm, Counts: c.counts, Err: c.check.err,
	}
}

// run is the course of a run: faults and operations, then none of either until
// all members agree, then one more operation per group that must be confirmed.
func (c *Cluster) run() {
	c.net.Weather = world.Weather{MinDelay: 50 * time.Microsecond, MaxDelay: time.Millisecond}
	c.faulting = !c.conf.Calm
	for range c.conf.Ops {
		c.nextOp++
		op, group := c.nextOp, 1+c.world.Rand.Uint64N(uint64(c.conf.Groups))
		c.world.After(c.world.Between(0, c.conf.Faults), func() { c.offer(op, group, 20) })
	}
	if c.faulting {
		c.world.After(c.world.Between(0, time.Second), c.fault)
	}
	failed := func() bool { return c.check.err != nil }
	c.world.Run(c.conf.Faults, failed)
	c.heal()
	deadline := c.world.Now() + c.conf.Settle
	for c.world.Now() < deadline && !failed() && !c.converged() {
		c.world.Run(c.world.Now()+tickInterval, failed)
	}
	if !failed() && !c.converged() {
		c.check.failf("no convergence within %s: %s", c.conf.Settle, c.describe())
	}
	c.finalOps(failed)
	c.drain(failed)
	if !failed() {
		c.verify()
	}
}

// heal ends all faults.
func (c *Cluster) heal() {
	c.faulting = false
	c.net.Heal()
	c.net.Weather = world.Weather{MinDelay: 50 * time.Microsecond, MaxDelay: time.Millisecond}
	for _, n := range c.nodes {
		n.pausedUntil = 0
		n.syncMin, n.syncMax = 100*time.Microsecond, 3*time.Millisecond
		if !n.up {
			n.start()
		}
	}
}

// arrive is where the network delivers.
func (c *Cluster) arrive(from, to uint64, m raftgroup.Message) {
	n := c.nodes[to-1]
	if n.up {
		n.after(0, func() { n.receive(from, m) })
	}
}

// snapshotArrived tells the sender that the transfer ended.
func (c *Cluster) snapshotArrived(from, to, group uint64) {
	s := c.nodes[from-1]
	if !s.up || c.world.Chance(0.2) {
		return // the sender's deadline ends it
	}
	s.after(c.world.Between(0, 5*time.Millisecond), func() {
		if g := s.guard(group); g != nil {
			g.group.ReportSnapshot(to, !c.world.Chance(0.1))
		}
	})
}

func (c *Cluster) founders() []uint64 {
	ids := make([]uint64, c.conf.Voters)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}

func (c *Cluster) count(what string) { c.counts[what]++ }

// offer gives an operation to a group, most often where it is led. A client
// waits some time for a leader.
func (c *Cluster) offer(op, group uint64, tries int) {
	l := c.leader(group)
	if l == nil && tries > 0 {
		c.world.After(c.world.Between(0, tickInterval), func() { c.offer(op, group, tries-1) })
		return
	}
	c.offered++
	n := c.nodes[c.world.Rand.IntN(len(c.nodes))]
	if l != nil && !c.conf.Anywhere && c.world.Chance(0.95) {
		n = l.n
	}
	c.give(n, op, group)
}

// give hands an operation to a node's replica of a group, if it has one.
func (c *Cluster) give(n *node, op, group uint64) {
	n.after(0, func() {
		if g := n.guard(group); g != nil {
			g.machine.Offer(op, c.world.Rand)
			g.group.Wake()
		}
	})
}

// offerMember gives an operation to the leader of a group, or with Anywhere to any
// of its members: another node has nobody who takes it.
func (c *Cluster) offerMember(op, group uint64) {
	l, members := c.members(group)
	if l == nil {
		return
	}
	n := l.n
	if m := members[c.world.Rand.IntN(len(members))]; c.conf.Anywhere && m != nil {
		n = m.n
	}
	c.offered++
	c.give(n, op, group)
}

// leader returns who leads a group, or thinks so.
func (c *Cluster) leader(group uint64) *guard {
	var found *guard
	for _, n := range c.nodes {
		if !n.up {
			continue
		}
		if g := n.guard(group); g != nil && g.leading && (found == nil || g.group.Status().Term > found.group.Status().Term) {
			found = g
		}
	}
	return found
}

func (c *Cluster) confirmed(group, op, index uint64) {
	c.world.Note(7, group, op, index)
	c.check.confirms(group, op, index)
}

// members returns the final members of a group as its leader sees them.
func (c *Cluster) members(group uint64) (*guard, []*guard) {
	l := c.leader(group)
	if l == nil {
		return nil, nil
	}
	cs := l.group.Status().ConfState
	var out []*guard
	for _, ids := range [][]uint64{cs.GetVoters(), cs.GetLearners()} {
		for _, id := range ids {
			out = append(out, c.nodes[id-1].guard(group))
		}
	}
	return l, out
}

// converged reports whether every member of every group stands where its leader
// stands.
func (c *Cluster) converged() bool {
	for id := uint64(1); id <= uint64(c.conf.Groups); id++ {
		l, members := c.members(id)
		if l == nil || joint(l.group.Status().ConfState) {
			return false
		}
		if s := l.group.Status(); s.Applied != s.Last || s.Applied < c.check.groups[id].highest {
			return false
		}
		for _, m := range members {
			if m == nil || m.installing || m.applied != l.applied {
				return false
			}
		}
	}
	return true
}

func joint(cs *raftpb.ConfState) bool { return len(cs.GetVotersOutgoing()) > 0 }

// finalOps sees that every group still takes operations: one that is dropped,
// for leadership is being handed over, is offered again.
func (c *Cluster) finalOps(failed func() bool) {
	for id := uint64(1); id <= uint64(c.conf.Groups) && !failed(); id++ {
		answers := func() int { return len(c.check.groups[id].confirmed) + c.refused[id] }
		before, deadline := answers(), c.world.Now()+5*time.Second
		taken := func() bool { return failed() || answers() > before }
		for !taken() && c.world.Now() < deadline {
			c.nextOp++
			c.offerMember(c.nextOp, id)
			c.world.Run(c.world.Now()+500*time.Millisecond, taken)
		}
		if !taken() {
			c.check.failf("group %d takes no operations: %s", id, c.describe())
		}
	}
	c.world.Run(c.world.Now()+5*time.Second, func() bool { return failed() || c.converged() })
	if !failed() && !c.converged() {
		c.check.failf("no convergence behind the last operations: %s", c.describe())
	}
}

// drain has the leaders show what they hold, if their machines can.
func (c *Cluster) drain(failed func() bool) {
	for id := uint64(1); id <= uint64(c.conf.Groups) && !failed(); id++ {
		if !c.drainGroup(id, failed) {
			return
		}
	}
	c.world.Run(c.world.Now()+5*time.Second, func() bool { return failed() || c.converged() })
	if !failed() && !c.converged() {
		c.check.failf("no convergence at the end: %s", c.describe())
	}
}

// drainGroup drains a group, again if who leads it has gone meanwhile because
// another had suspected it. It reports false if there is nothing to be drained.
func (c *Cluster) drainGroup(id uint64, failed func() bool) bool {
	for range 3 {
		c.world.Run(c.world.Now()+10*time.Second, func() bool { return failed() || c.leader(id) != nil })
		l := c.leader(id)
		if l == nil {
			c.check.failf("group %d: nobody leads at the end: %s", id, c.describe())
			return false
		}
		d, ok := l.machine.(Drainer)
		if !ok {
			return false
		}
		l.n.after(0, d.Drain)
		c.world.Run(c.world.Now()+30*time.Second, func() bool { return failed() || d.Drained() || !l.n.up || l.n.life != l.life })
		if failed() || d.Drained() && l.n.life == l.life {
			return true
		}
	}
	c.check.failf("group %d: its queues can not be drained: %s", id, c.describe())
	return false
}

// verify compares all members: the same state, and every confirmed operation in
// it.
func (c *Cluster) verify() {
	for id := uint64(1); id <= uint64(c.conf.Groups); id++ {
		l, members := c.members(id)
		for _, m := range members {
			if m.machine.Digest() != l.machine.Digest() {
				c.check.failf("group %d: nodes %d and %d differ at %d", id, m.n.id, l.n.id, l.applied)
			}
		}
		if v, ok := l.machine.(Verifier); ok {
			v.Verify()
		}
		for op, index := range c.check.groups[id].confirmed {
			if !l.machine.Contains(op) {
				c.check.failf("group %d: operation %d, confirmed at %d, is lost", id, op, index)
			}
		}
	}
}

func (c *Cluster) describe() string {
	s := ""
	for id := uint64(1); id <= uint64(c.conf.Groups); id++ {
		for _, n := range c.nodes {
			if g := n.guard(id); g != nil {
				st := g.group.Status()
				s += fmt.Sprintf("\n  group %d node %d: %s term=%d leader=%d log=[%d,%d] commit=%d applied=%d conf=%v/%v peers=%v",
					id, n.id, st.Role, st.Term, st.Leader, st.First, st.Last, st.Commit, st.Applied,
					st.ConfState.GetVoters(), st.ConfState.GetLearners(), st.Peers)
			}
		}
	}
	return s
}
