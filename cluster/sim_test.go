package cluster

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/sim"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
)

// A world is nodes with catalogs, in one goroutine. Raft's messages may be lost
// one by one; what is forwarded stays in order until a stream breaks.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	now     time.Duration
	nodes   map[uint64]*simNode
	wire    []simMessage
	streams map[[2]uint64][][]byte
	cut     map[uint64]bool // nobody hears it, it hears nobody
}

type simMessage struct {
	from, to uint64
	group    uint64
	raft     *raftpb.Message
}

type simNode struct {
	w     *world
	id    uint64
	disk  *storagetest.MemLog
	state *state.Memory
	slots *slot.Slots
	host  *raftgroup.Host
	group *raftgroup.Group
	c     *Catalog
	views []*catalog.View // that Changed came with and no results
}

func newWorld(t *testing.T, seed uint64, founders ...uint64) *world {
	t.Cleanup(sim.SwapEntropy(seed))
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), nodes: map[uint64]*simNode{},
		streams: map[[2]uint64][][]byte{}, cut: map[uint64]bool{},
	}
	for _, id := range founders {
		w.add(id, founders)
	}
	return w
}

func (w *world) add(id uint64, founders []uint64) *simNode {
	n := &simNode{w: w, id: id, disk: storagetest.NewMemLog(), state: state.NewMemory()}
	w.nodes[id] = n
	n.boot(founders)
	return n
}

func (n *simNode) must(err error) {
	n.w.t.Helper()
	if err != nil {
		n.w.t.Fatalf("node %d: %v", n.id, err)
	}
}

func (n *simNode) fatal(err error) { n.must(err) }

func (n *simNode) boot(founders []uint64) {
	var err error
	n.slots, err = slot.Open(n.state)
	n.must(err)
	if gs, ok := n.disk.Bounds(CatalogGroup); ok {
		n.must(n.slots.Resume(CatalogGroup, gs.First-1))
	}
	n.host, err = raftgroup.NewHost(raftgroup.Options{NodeID: n.id, Log: n.disk, Transport: n, Now: func() time.Duration { return n.w.now }})
	n.must(err)
	var at CatalogAt
	n.c, at, err = OpenCatalog(CatalogOptions{
		State: n.state, Slots: n.slots, Wall: func() int64 { return n.w.now.Milliseconds() },
		Logger: slog.New(slog.DiscardHandler), Fatal: n.fatal, Forward: n.forward,
		Changed: func(v *catalog.View, rs []catalog.Result) {
			if rs == nil {
				n.views = append(n.views, v)
			}
		},
	})
	n.must(err)
	conf, err := raftgroup.ParseConf(at.Conf)
	n.must(err)
	n.group, err = n.host.Open(raftgroup.GroupOptions{
		ID: CatalogGroup, Machine: n.c, Applied: at.Applied, ConfState: conf, Voters: founders, Snapshots: n, Installer: n.c,
	})
	n.must(err)
	n.c.Bind(n.group)
}

// crash ends the node; what was not synced is gone.
func (n *simNode) crash(founders []uint64) {
	n.disk = n.disk.Crash(nil)
	n.state.Crash(0)
	for key := range n.w.streams {
		if key[0] == n.id || key[1] == n.id {
			delete(n.w.streams, key)
		}
	}
	n.boot(founders)
}

// Send implements raftgroup.Transport.
func (n *simNode) Send(to uint64, msgs []raftgroup.Message) {
	for _, m := range msgs {
		n.w.wire = append(n.w.wire, simMessage{n.id, to, m.Group, m.Raft})
	}
}

func (n *simNode) forward(leader uint64, data []byte) bool {
	if n.w.cut[n.id] || n.w.cut[leader] {
		return false
	}
	key := [2]uint64{n.id, leader}
	n.w.streams[key] = append(n.w.streams[key], data)
	return true
}

// Snapshot implements raftgroup.SnapshotProvider by the node's checkpoint.
func (n *simNode) Snapshot(atLeast uint64) (raftgroup.Snapshot, bool) {
	m, ok, err := CatalogMark(n.state, n.slots.Of(CatalogGroup))
	n.must(err)
	if !ok || m.Index < atLeast {
		return raftgroup.Snapshot{}, false
	}
	conf, err := raftgroup.ParseConf(m.Conf)
	n.must(err)
	return raftgroup.Snapshot{Index: m.Index, Term: m.Term, ConfState: conf, ID: []byte{byte(n.id)}}, true
}

// receive stages the state that a message speaks of, before Raft sees it. That
// the sender has gone on since loses the message.
func (n *simNode) receive(m *raftpb.Message) bool {
	from := n.w.nodes[uint64(m.GetSnapshot().GetData()[0])]
	meta := m.GetSnapshot().GetMetadata()
	in := from.slots.Of(CatalogGroup)
	at, _, err := CatalogMark(from.state, in)
	n.must(err)
	if at.Index != meta.GetIndex() {
		return false
	}
	st, err := n.slots.Stage(CatalogGroup, at)
	n.must(err)
	n.must(slot.Copy(from.state, in, nil, st.Put))
	n.must(st.Commit())
	return true
}

// checkpoint makes a checkpoint and lets the log go behind it.
func (n *simNode) checkpoint() {
	var k checkpoint.Cut
	n.c.Cut(func(c checkpoint.Cut) { k = c })
	n.work()
	b := n.state.NewBatch()
	n.must(k.State(b))
	n.must(b.Commit())
	n.must(n.state.Flush())
	k.Durable()
	n.work()
}

func (n *simNode) work() (did bool) {
	for {
		again := false
		if n.group.Due() {
			n.group.TryTurn()
			again = true
		}
		if n.disk.Pending() {
			n.disk.Drain()
			again = true
		}
		if !again {
			return did
		}
		did = true
	}
}

func (w *world) ids() []uint64 { return slices.Sorted(maps.Keys(w.nodes)) }

// settle does what there is to do. Each message of Raft is lost with a chance.
func (w *world) settle(loss float64) {
	for again := true; again; {
		again = false
		for _, id := range w.ids() {
			again = w.nodes[id].work() || again
		}
		wire := w.wire
		w.wire = nil
		for _, m := range wire {
			to := w.nodes[m.to]
			lost := to == nil || w.cut[m.from] || w.cut[m.to] || w.rand.Float64() < loss
			if m.raft.GetType() == raftpb.MsgSnap {
				lost = lost || !to.receive(m.raft)
				w.nodes[m.from].group.ReportSnapshot(m.to, !lost)
			}
			if lost {
				continue
			}
			to.host.Deliver(m.group, []*raftpb.Message{m.raft})
			again = true
		}
		for _, key := range w.streamKeys() {
			data := w.streams[key]
			delete(w.streams, key)
			for _, d := range data {
				w.nodes[key[1]].must(w.nodes[key[1]].c.Offer(key[0], d))
				again = true
			}
		}
	}
}

func (w *world) streamKeys() [][2]uint64 {
	return slices.SortedFunc(maps.Keys(w.streams), func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
}

// breakStreams loses what is under way from a place on, on every stream.
func (w *world) breakStreams() {
	for _, key := range w.streamKeys() {
		data := w.streams[key]
		w.streams[key] = data[:w.rand.IntN(len(data)+1)]
		w.nodes[key[0]].c.Resend()
	}
}

// part makes a node hear nobody, or hear all again.
func (w *world) part(id uint64, cut bool) {
	w.cut[id] = cut
	for key := range w.streams {
		if key[0] == id || key[1] == id {
			delete(w.streams, key)
		}
	}
}

func (w *world) tick(loss float64) {
	w.now += 100 * time.Millisecond
	for _, id := range w.ids() {
		w.nodes[id].host.Tick()
	}
	w.settle(loss)
}

// until ticks until something holds.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	w.settle(0)
	for i := 0; !ok(); i++ {
		if i > 1000 {
			w.t.Fatalf("never: %s", what)
		}
		w.tick(0)
	}
}

func (w *world) leader() *simNode {
	for _, id := range w.ids() {
		if n := w.nodes[id]; n.c.Leading() && !w.cut[id] {
			return n
		}
	}
	return nil
}

// do performs a command through a node.
func (n *simNode) do(cmd catalog.Command) catalog.Result {
	n.w.t.Helper()
	var res catalog.Result
	answered := false
	n.c.Start(cmd, func(r catalog.Result, err error) {
		n.must(err)
		res, answered = r, true
	})
	n.w.until("an answer", func() bool { return answered })
	return res
}

// register begins an incarnation, as a node does that starts.
func (n *simNode) register() {
	n.do(&catalog.AddNode{ID: n.id, Name: string(rune('a' + n.id))})
	r := n.do(&catalog.Register{Node: n.id, Nonce: n.w.rand.Uint64()})
	n.c.Begin(r.ID)
}

func (w *world) sameDigests() {
	w.t.Helper()
	first := w.nodes[w.ids()[0]]
	w.until("the same index everywhere", func() bool {
		for _, n := range w.nodes {
			if n.c.applied != first.c.applied {
				return false
			}
		}
		return true
	})
	for id, n := range w.nodes {
		if n.c.View().Digest() != first.c.View().Digest() {
			w.t.Errorf("node %d has another state than node %d", id, first.id)
		}
	}
}
