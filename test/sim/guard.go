package sim

import (
	"fmt"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	world "github.com/warrenmq/warren/internal/sim"
)

// A guard stands between a group and its machine: it checks what the group
// does, makes checkpoints durable and installs snapshots.
type guard struct {
	n       *node
	id      uint64
	life    uint64
	group   *raftgroup.Group
	machine Machine
	planned bool // a turn is planned

	applied, term uint64 // of the last entry applied
	leading       bool
	installing    bool
	saved         uint64 // index of the newest checkpoint, durable or not
}

func newGuard(n *node, id uint64, cp checkpoint) *guard {
	g := &guard{n: n, id: id, life: n.life, applied: cp.index, term: cp.term, saved: cp.index}
	g.machine = n.c.conf.NewMachine(Env{
		Node: n.id, Group: id, Confirm: func(op, index uint64) { n.c.confirmed(id, op, index) },
		Refuse: func() { n.c.refused[id]++ },
		Log:    n.disk.log, Now: n.mono, Wall: n.wall, World: n.c.world.Now, After: n.after, Wake: func() { g.group.Wake() },
		Applied:   func() uint64 { return g.applied },
		Committed: func() uint64 { return n.c.check.groups[id].highest },
		Newest:    func() uint64 { return n.c.check.newest(id) },
		Cut:       func(to uint64) bool { return n.c.net.Blocked(n.id, to) },
		Delay:     func() time.Duration { return n.c.world.Between(50*time.Microsecond, 2*time.Millisecond) },
		Up:        func() bool { return n.up && n.life == g.life },
		Kill:      func(node uint64) { n.c.kill(n.c.nodes[node-1]) },
		Chance:    n.c.world.Chance,
		Count:     n.c.count,
		Note:      n.c.world.Note,
		Trace: func(format string, args ...any) {
			if n.c.world.Logging() {
				n.c.world.Logf("%d: g%d %s", n.id, id, fmt.Sprintf(format, args...))
			}
		},
		Fail: func(format string, args ...any) {
			n.c.check.failf("group %d: node %d: %s", id, n.id, fmt.Sprintf(format, args...))
		},
	})
	if cp.state != nil {
		g.machine.Restore(cp.state)
	}
	return g
}

func (g *guard) turn() {
	if !g.group.TryTurn() {
		g.n.c.check.failf("group %d: node %d: a turn runs inside another", g.id, g.n.id)
	}
	g.n.c.check.status(g.n.id, g.group.Status())
}

// Apply implements commitlog.Machine.
func (g *guard) Apply(ents []commitlog.Entry) {
	if g.installing {
		g.n.c.check.failf("group %d: node %d applies %d while it installs a snapshot", g.id, g.n.id, ents[0].Index)
	}
	for _, e := range ents {
		// The founders' first entry is the one behind the founding index.
		if want := max(g.applied, 1) + 1; e.Index != want {
			g.n.c.check.failf("group %d: node %d applies %d after %d", g.id, g.n.id, e.Index, g.applied)
		}
		g.applied, g.term = e.Index, e.Term
		g.n.c.check.applied(g.n.id, g.id, e)
		g.n.c.world.Note(4, g.n.id, g.id, e.Index, e.Term, world.Sum(e.Data))
	}
	g.n.c.world.Logf("%d: g%d apply to %d", g.n.id, g.id, g.applied)
	if g.applied != g.group.Applied() {
		g.n.c.check.failf("group %d: node %d applied %d, the group says %d", g.id, g.n.id, g.applied, g.group.Applied())
	}
	g.n.c.check.configured(g.n.id, g.id, g.applied, g.group.ConfState())
	g.machine.Apply(ents)
}

// Lead implements commitlog.Machine.
func (g *guard) Lead(term uint64) {
	g.leading = true
	g.n.c.world.Note(5, g.n.id, g.id, term)
	g.n.c.world.Logf("%d: g%d LEAD %d", g.n.id, g.id, term)
	if g.term != term {
		g.n.c.check.failf("group %d: node %d leads %d, applied is of term %d", g.id, g.n.id, term, g.term)
	}
	g.n.c.check.leads(g.n.id, g.id, term)
	g.n.c.count("lead")
	g.machine.Lead(term)
}

// Follow implements commitlog.Machine.
func (g *guard) Follow(term, leader uint64) {
	if g.leading {
		g.n.c.count("leader deposed")
	}
	g.leading = false
	g.machine.Follow(term, leader)
}

// Turn implements commitlog.Machine.
func (g *guard) Turn(now time.Duration, p commitlog.Proposer) {
	if _, ok := p.Leading(); ok != g.leading {
		g.n.c.check.failf("group %d: node %d: Leading is %v in a turn, the machine was told %v", g.id, g.n.id, ok, g.leading)
	}
	before, _ := p.InFlight()
	g.machine.Turn(now, p)
	if n, bytes := p.InFlight(); n < before || n < 0 || bytes < 0 || n == 0 && bytes != 0 {
		g.n.c.check.failf("group %d: node %d: %d entries, %d bytes in flight", g.id, g.n.id, n, bytes)
	}
	if !g.installing && g.applied >= g.saved+10 && g.n.c.world.Chance(0.2) {
		g.checkpoint()
	}
}

// checkpoint cuts the machine's state. It becomes durable later, if the node
// lives so long; then the log behind it may go.
func (g *guard) checkpoint() {
	if gs, ok := g.n.disk.log.Bounds(g.id); ok && gs.First > g.applied+1 {
		return // a snapshot is about to be installed: the log behind this state is gone
	}
	g.saved = g.applied
	cp := checkpoint{
		index: g.applied, term: g.term, state: g.machine.Checkpoint(),
		conf: proto.Clone(g.group.ConfState()).(*raftpb.ConfState),
	}
	g.n.after(g.n.c.world.Between(0, 300*time.Millisecond), func() {
		if g.installing || cp.index < g.n.disk.checkpoints[g.id].index {
			return
		}
		g.n.disk.checkpoints[g.id] = cp
		keep := g.n.c.world.Rand.Uint64N(20)
		if cp.index > keep {
			g.group.Compact(cp.index - keep)
		}
	})
}

// Snapshot implements raftgroup.SnapshotProvider.
func (g *guard) Snapshot(atLeast uint64) (raftgroup.Snapshot, bool) {
	cp, ok := g.n.disk.checkpoints[g.id]
	if !ok || cp.index < atLeast || g.n.c.world.Chance(0.2) {
		if g.saved < atLeast {
			g.checkpoint()
		}
		return raftgroup.Snapshot{}, false
	}
	g.n.c.count("snapshot sent")
	if g.n.c.conf.Bug == SnapshotShort {
		cp.state = forgetLast(cp.state)
	}
	return raftgroup.Snapshot{Index: cp.index, Term: cp.term, ConfState: cp.conf, ID: cp.state}, true
}

// Install implements raftgroup.SnapshotInstaller.
func (g *guard) Install(s raftgroup.Snapshot, done func()) {
	if s.Index <= g.applied {
		g.n.c.check.failf("group %d: node %d installs a snapshot at %d, applied is %d", g.id, g.n.id, s.Index, g.applied)
	}
	g.installing = true
	g.n.after(g.n.c.world.Between(0, 200*time.Millisecond), func() {
		cp := checkpoint{index: s.Index, term: s.Term, conf: s.ConfState, state: s.ID}
		installed := func() {
			g.installed(cp)
			done()
		}
		if m, ok := g.machine.(Installer); ok {
			m.Install(s.Index, s.Term, s.ID, installed)
			return
		}
		g.machine.Restore(s.ID)
		installed()
	})
}

// installed notes that a snapshot is the state.
func (g *guard) installed(cp checkpoint) {
	g.n.disk.checkpoints[g.id] = cp
	staged := g.n.disk.staged[g.id][:0:0]
	for _, old := range g.n.disk.staged[g.id] {
		if old.index > cp.index {
			staged = append(staged, old)
		}
	}
	g.n.disk.staged[g.id] = staged
	g.applied, g.term, g.saved = cp.index, cp.term, cp.index
	g.installing = false
	g.n.c.count("snapshot installed")
	g.n.c.world.Note(6, g.n.id, g.id, cp.index)
	g.n.c.world.Logf("%d: g%d INSTALLED %d", g.n.id, g.id, cp.index)
}
