package raftgroup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/internal/sim"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/storagetest"
)

// An env is a few nodes in one goroutine that write down what they do.
type env struct {
	t     testing.TB
	trace strings.Builder
	nodes map[uint64]*envNode
	wire  []wireMessage
	quiet bool
}

type wireMessage struct {
	from, to uint64
	msg      raftgroup.Message
}

// An envNode is one node and what survives its crash.
type envNode struct {
	env     *env
	id      uint64
	disk    *storagetest.MemLog
	host    *raftgroup.Host
	groups  map[uint64]*envGroup
	options func(*raftgroup.Options)
	install bool // groups take snapshots
}

// provide makes the machine of a group give snapshots of all it applied.
func (n *envNode) provide(group uint64) { n.groups[group].machine.gives = true }

type envGroup struct {
	*raftgroup.Group
	machine *recorder
}

func newEnv(t testing.TB) *env {
	t.Cleanup(sim.SwapEntropy(1))
	return &env{t: t, nodes: make(map[uint64]*envNode)}
}

func (e *env) printf(format string, args ...any) {
	if !e.quiet {
		fmt.Fprintf(&e.trace, format+"\n", args...)
	}
}

// take returns what was written down since the last call.
func (e *env) take() string {
	s := e.trace.String()
	e.trace.Reset()
	if s == "" {
		return "ok\n"
	}
	return s
}

func (e *env) node(id uint64) *envNode {
	n := e.nodes[id]
	if n == nil {
		n = &envNode{env: e, id: id, disk: storagetest.NewMemLog()}
		e.nodes[id] = n
		n.boot()
	}
	return n
}

// boot starts the node over its disk.
func (n *envNode) boot() {
	n.groups = make(map[uint64]*envGroup)
	opts := raftgroup.Options{
		NodeID: n.id, Log: tracingLog{n.disk, n}, Transport: n,
		Now: func() time.Duration { return 0 },
	}
	if n.options != nil {
		n.options(&opts)
	}
	h, err := raftgroup.NewHost(opts)
	if err != nil {
		n.env.t.Fatal(err)
	}
	n.host = h
}

// crash kills the node; unsynced data is lost.
func (n *envNode) crash() {
	n.disk = n.disk.Crash(nil)
	n.boot()
}

func (n *envNode) open(o raftgroup.GroupOptions) error {
	m := &recorder{node: n, group: o.ID, applied: o.Applied}
	o.Machine = m
	o.Snapshots = m
	if n.install {
		o.Installer = m
	}
	g, err := n.host.Open(o)
	if err != nil {
		return err
	}
	m.g = g
	n.groups[o.ID] = &envGroup{Group: g, machine: m}
	return nil
}

func (n *envNode) ids() []uint64 {
	var ids []uint64
	for id := range n.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Send implements raftgroup.Transport.
func (n *envNode) Send(to uint64, msgs []raftgroup.Message) {
	for _, m := range msgs {
		n.env.printf("%d: send %s", n.id, describe(m.Raft))
		n.env.wire = append(n.env.wire, wireMessage{n.id, to, m})
	}
}

// turns runs every group that is due, until none is.
func (n *envNode) turns() bool {
	ran := false
	for again := true; again; {
		again = false
		for _, id := range n.ids() {
			if n.groups[id].Due() {
				n.groups[id].TryTurn()
				again, ran = true, true
			}
		}
	}
	return ran
}

func (n *envNode) drain() bool {
	if !n.disk.Pending() {
		return false
	}
	n.env.printf("%d: sync", n.id)
	return n.disk.Drain() > 0 || !n.disk.Pending()
}

// deliver hands over what is on the wire, to nodes for which it is true.
func (e *env) deliver(want func(m wireMessage) bool) bool {
	wire := e.wire
	e.wire = nil
	any := false
	for _, m := range wire {
		if !want(m) {
			e.wire = append(e.wire, m)
			continue
		}
		any = true
		e.nodes[m.to].host.Deliver(m.msg.Group, []*raftpb.Message{m.msg.Raft})
	}
	return any
}

// settle runs turns, drains and deliveries until nothing is left to do.
func (e *env) settle(down ...uint64) {
	for again := true; again; {
		again = false
		for _, id := range e.ids() {
			if slices.Contains(down, id) {
				continue
			}
			n := e.nodes[id]
			again = n.turns() || again
			again = n.drain() || again
		}
		again = e.deliver(func(m wireMessage) bool { return !slices.Contains(down, m.to) && !slices.Contains(down, m.from) }) || again
	}
}

func (e *env) ids() []uint64 {
	var ids []uint64
	for id := range e.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// tracingLog writes down what is submitted.
type tracingLog struct {
	*storagetest.MemLog
	node *envNode
}

func (l tracingLog) Submit(a *storage.Append) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: store", l.node.id)
	if a.Reset != nil {
		fmt.Fprintf(&b, " reset=%d/%d", a.Reset.Index, a.Reset.Term)
	}
	for _, e := range a.Entries {
		fmt.Fprintf(&b, " %d/%d:%q", e.Index, e.Term, clip(e))
	}
	if a.HasState {
		fmt.Fprintf(&b, " term=%d vote=%d commit=%d", a.State.Term, a.State.Vote, a.State.Commit)
	}
	if a.Lazy {
		b.WriteString(" lazy")
	}
	l.node.env.printf("%s", b.String())
	l.MemLog.Submit(a)
}

func clip(e storage.Entry) string {
	if raftpb.EntryType(e.Kind) != raftpb.EntryNormal {
		return "conf"
	}
	if len(e.Data) > 20 {
		return fmt.Sprintf("%s..%d", e.Data[:4], len(e.Data))
	}
	return string(e.Data)
}

func describe(m *raftpb.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s to=%d term=%d", m.GetType(), m.GetTo(), m.GetTerm())
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgAppResp:
		fmt.Fprintf(&b, " index=%d", m.GetIndex())
	case raftpb.MsgSnap:
		meta := m.GetSnapshot().GetMetadata()
		fmt.Fprintf(&b, " snapshot=%d/%d", meta.GetIndex(), meta.GetTerm())
	}
	if m.GetCommit() != 0 {
		fmt.Fprintf(&b, " commit=%d", m.GetCommit())
	}
	for _, e := range m.Entries {
		fmt.Fprintf(&b, " %d/%d", e.GetIndex(), e.GetTerm())
	}
	if m.GetReject() {
		b.WriteString(" reject")
	}
	return b.String()
}

// A recorder is a machine that writes down what happens to it and proposes what
// it is told to.
type recorder struct {
	hold      bool   // Install waits for finish
	finish    func() // set by Install
	before    uint64 // applied when Install was called
	stale     uint64 // how many entries behind its snapshots are
	term      uint64
	gives     bool
	installed bool
	node      *envNode
	g         *raftgroup.Group
	group     uint64
	applied   uint64
	data      []string
	want      [][]byte
	leading   bool
	led       []uint64
	turns     int
	at        time.Duration // that the last turn was told
	onTurn    func(p commitlog.Proposer)
	onEntries func([]commitlog.Entry)
	onApply   func()
}

func (r *recorder) Apply(ents []commitlog.Entry) {
	for _, e := range ents {
		if e.Index != r.applied+1 && r.applied != 0 {
			r.node.env.t.Errorf("node %d: entry %d after %d", r.node.id, e.Index, r.applied)
		}
		r.applied, r.term = e.Index, e.Term
		if len(e.Data) > 0 {
			r.data = append(r.data, string(e.Data))
		}
		r.node.env.printf("%d: apply %d/%d %q", r.node.id, e.Index, e.Term, clip(storage.Entry{Data: e.Data}))
	}
	if r.onEntries != nil {
		r.onEntries(ents)
	}
	if r.onApply != nil {
		r.onApply()
	}
}

func (r *recorder) Lead(term uint64) {
	r.leading = true
	r.led = append(r.led, term)
	r.node.env.printf("%d: lead term=%d", r.node.id, term)
}

func (r *recorder) Follow(term, leader uint64) {
	r.leading = false
	r.node.env.printf("%d: follow term=%d leader=%d", r.node.id, term, leader)
}

// Snapshot implements raftgroup.SnapshotProvider: the payloads, joined.
func (r *recorder) Snapshot(uint64) (raftgroup.Snapshot, bool) {
	if !r.gives {
		return raftgroup.Snapshot{}, false
	}
	return raftgroup.Snapshot{
		Index: r.applied - r.stale, Term: r.term, ConfState: r.g.ConfState(), ID: []byte(strings.Join(r.data, ",")),
	}, true
}

// Install implements raftgroup.SnapshotInstaller.
func (r *recorder) Install(s raftgroup.Snapshot, done func()) {
	r.node.env.printf("%d: install %d/%d", r.node.id, s.Index, s.Term)
	r.before = r.applied
	r.data, r.applied, r.term = strings.Split(string(s.ID), ","), s.Index, s.Term
	r.installed = true
	if r.hold {
		r.finish = done
		return
	}
	done()
}

func (r *recorder) Turn(now time.Duration, p commitlog.Proposer) {
	r.turns++
	r.at = now
	if r.onTurn != nil {
		r.onTurn(p)
	}
	for _, data := range r.want {
		index, ok := p.Propose(data)
		if !ok {
			r.node.env.printf("%d: dropped %q", r.node.id, clip(storage.Entry{Data: data}))
			continue
		}
		r.node.env.printf("%d: propose %d %q", r.node.id, index, clip(storage.Entry{Data: data}))
	}
	r.want = r.want[:0]
}
