package sim

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// fault does one random thing to the cluster and plans the next one. Now and
// then it does nothing, so that recovery is seen too.
func (c *Cluster) fault() {
	if !c.faulting {
		return
	}
	c.world.After(c.world.Between(20*time.Millisecond, 1500*time.Millisecond), c.fault)
	n := c.nodes[c.world.Rand.IntN(len(c.nodes))]
	if c.conf.Clocks && c.world.Chance(0.05) {
		c.count("clock jumped")
		n.jump += c.world.Between(0, 4*time.Hour) - 2*time.Hour
	}
	switch c.world.Rand.IntN(12 + 4*min(c.conf.Spares, 1)) {
	case 0, 1:
		c.kill(n)
	case 2:
		c.killAll()
	case 3:
		if l := c.leader(1 + c.world.Rand.Uint64N(uint64(c.conf.Groups))); l != nil {
			c.kill(l.n)
		}
	case 4:
		c.partition()
	case 5, 6:
		c.count("network healed")
		c.net.Heal()
	case 7:
		c.count("node stalled")
		n.pausedUntil = c.world.Now() + c.world.Between(50*time.Millisecond, 3*time.Second)
	case 8:
		c.count("weather changed")
		c.weather()
	case 9:
		c.count("disk speed changed")
		n.syncMin = c.world.Between(0, 5*time.Millisecond)
		n.syncMax = n.syncMin + c.world.Between(time.Microsecond, 300*time.Millisecond)
	case 10:
		c.transfer()
	case 11:
		c.forget(n)
	default:
		c.change()
	}
}

func (c *Cluster) kill(n *node) {
	if !n.up {
		return
	}
	c.count("crash")
	n.crash()
	c.world.After(c.world.Between(0, 2*time.Second), func() {
		if !n.up {
			n.start()
		}
	})
}

// killAll cuts the power of all nodes at once.
func (c *Cluster) killAll() {
	c.count("power cut")
	for _, n := range c.nodes {
		c.kill(n)
	}
}

func (c *Cluster) partition() {
	if len(c.nodes) < 2 {
		return
	}
	ids := make([]uint64, len(c.nodes))
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	c.world.Rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	switch c.world.Rand.IntN(3) {
	case 0:
		c.count("split")
		k := 1 + c.world.Rand.IntN(len(ids)-1)
		c.net.Split(ids[:k], ids[k:])
	case 1:
		c.count("one-way cut")
		for _, to := range ids[1:] {
			c.net.Cut(ids[0], to)
		}
	case 2:
		c.count("bridge") // two nodes see each other only through the others
		c.net.Split(ids[:1], ids[1:2])
	}
}

func (c *Cluster) weather() {
	w := &c.net.Weather
	w.Drop = []float64{0, 0, 0.02, 0.1, 0.3}[c.world.Rand.IntN(5)]
	w.Double = []float64{0, 0, 0.05, 0.3}[c.world.Rand.IntN(4)]
	w.Straggle = []float64{0, 0.01, 0.1}[c.world.Rand.IntN(3)]
	w.MaxDelay = c.world.Between(time.Millisecond, 20*time.Millisecond)
}

func (c *Cluster) transfer() {
	l := c.leader(1 + c.world.Rand.Uint64N(uint64(c.conf.Groups)))
	if l == nil {
		return
	}
	c.count("transfer")
	to := 1 + c.world.Rand.Uint64N(uint64(len(c.nodes)))
	if h, ok := l.machine.(Hander); ok {
		l.n.after(0, func() {
			h.Hand(func() {
				c.count("transfer when quiet")
				l.group.TransferLeader(to)
			})
		})
		return
	}
	l.group.TransferLeader(to)
	l.n.poll()
}

// forget makes a node act as if its leaders' process were gone.
func (c *Cluster) forget(n *node) {
	if !n.up {
		return
	}
	c.count("leader forgotten")
	for _, g := range n.groups {
		g.group.ForgetLeader()
		g.group.Campaign()
	}
	n.poll()
}

// change proposes a step towards replacing a member by a spare node: add it as
// a learner, make it a voter, remove somebody. A node that left a group never
// comes back to it.
func (c *Cluster) change() {
	l := c.leader(1 + c.world.Rand.Uint64N(uint64(c.conf.Groups)))
	if l == nil || c.conf.Spares == 0 {
		return
	}
	cs := l.group.Status().ConfState
	var cc raftpb.ConfChangeV2
	add := func(t raftpb.ConfChangeType, id uint64) {
		cc.Changes = append(cc.Changes, &raftpb.ConfChangeSingle{Type: &t, NodeId: &id})
	}
	voters, learners := cs.GetVoters(), cs.GetLearners()
	switch {
	case joint(cs):
	case len(learners) > 0 && len(voters) == c.conf.Voters && c.world.Chance(0.5):
		// One joint step: the learner becomes a voter in the place of another.
		add(raftpb.ConfChangeAddNode, learners[0])
		add(raftpb.ConfChangeAddLearnerNode, voters[c.world.Rand.IntN(len(voters))])
	case len(learners) > 0 && len(voters) > c.conf.Voters:
		add(raftpb.ConfChangeRemoveNode, learners[0])
	case len(learners) > 0:
		add(raftpb.ConfChangeAddNode, learners[0])
	case len(voters) > c.conf.Voters:
		add(raftpb.ConfChangeAddLearnerNode, voters[c.world.Rand.IntN(len(voters))])
	default:
		if id := c.freshNode(l.id, cs); id != 0 {
			add(raftpb.ConfChangeAddLearnerNode, id)
		}
	}
	if len(cc.Changes) == 0 {
		return
	}
	l.group.ProposeConfChange(&cc, func(err error) {
		if err == nil {
			c.count("change proposed")
		}
	})
	l.n.poll()
}

// freshNode returns a spare node that never took part in the group, with a
// replica waiting, or 0.
func (c *Cluster) freshNode(group uint64, cs *raftpb.ConfState) uint64 {
	for _, n := range c.nodes[c.conf.Voters:] {
		if g := n.guard(group); !n.up || slices.Contains(cs.GetLearners(), n.id) || g != nil && g.applied > 0 {
			continue
		} else if g == nil {
			n.open(group)
		}
		n.poll()
		return n.id
	}
	return 0
}
