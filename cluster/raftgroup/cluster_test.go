package raftgroup_test

import (
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/storage"
)

// nodeWith starts a node with options of its own.
func (e *env) nodeWith(id uint64, options func(*raftgroup.Options)) *envNode {
	n := e.node(id)
	n.options = options
	n.boot()
	return n
}

// solo returns a node that leads group 1 alone.
func solo(t testing.TB, options func(*raftgroup.Options)) (*env, *envNode, *envGroup) {
	e := newEnv(t)
	n := e.nodeWith(1, options)
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}})
	e.settle()
	if !n.groups[1].machine.leading {
		t.Fatal("the only voter does not lead")
	}
	return e, n, n.groups[1]
}

// trio returns three nodes of group 1, led by node 1.
func trio(t testing.TB, options func(*raftgroup.Options)) (*env, []*envGroup) {
	return newTrio(t, options, false)
}

// installingTrio is a trio that takes snapshots.
func installingTrio(t testing.TB, options func(*raftgroup.Options)) (*env, []*envGroup) {
	return newTrio(t, options, true)
}

func newTrio(t testing.TB, options func(*raftgroup.Options), install bool) (*env, []*envGroup) {
	e := newEnv(t)
	for id := uint64(1); id <= 3; id++ {
		n := e.nodeWith(id, options)
		n.install = install
		n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1, 2, 3}})
	}
	e.settle()
	e.nodes[1].groups[1].Campaign()
	e.settle()
	if !e.nodes[1].groups[1].machine.leading {
		t.Fatal("node 1 does not lead")
	}
	return e, []*envGroup{e.nodes[1].groups[1], e.nodes[2].groups[1], e.nodes[3].groups[1]}
}

func (n *envNode) mustOpen(o raftgroup.GroupOptions) {
	n.env.t.Helper()
	if err := n.open(o); err != nil {
		n.env.t.Fatal(err)
	}
}

// propose hands payloads to the machine and lets it propose them.
func (g *envGroup) propose(data ...string) {
	for _, s := range data {
		g.machine.want = append(g.machine.want, []byte(s))
	}
	g.TryTurn()
}

// sent returns what is on the wire of a type, to a node or to all.
func (e *env) sent(typ raftpb.MessageType, to uint64) []*raftpb.Message {
	var out []*raftpb.Message
	for _, m := range e.wire {
		if m.msg.Raft.GetType() == typ && (to == 0 || m.to == to) {
			out = append(out, m.msg.Raft)
		}
	}
	return out
}

// tickAll ticks every node once and settles, without the nodes that are down.
func (e *env) tickAll(down ...uint64) {
	for _, id := range e.ids() {
		e.nodes[id].host.Tick()
	}
	e.settle(down...)
}

// watchLog calls hooks around a log.
type watchLog struct {
	storage.LogStore
	submit  func(a *storage.Append)
	entries func(lo, hi uint64, bytes int)
}

func (l watchLog) Submit(a *storage.Append) {
	if l.submit != nil {
		l.submit(a)
	}
	l.LogStore.Submit(a)
}

func (l watchLog) Entries(dst []storage.Entry, group, lo, hi, maxBytes uint64) ([]storage.Entry, error) {
	out, err := l.LogStore.Entries(dst, group, lo, hi, maxBytes)
	if l.entries != nil {
		bytes := 0
		for _, e := range out {
			bytes += len(e.Data)
		}
		l.entries(lo, hi, bytes)
	}
	return out, err
}
