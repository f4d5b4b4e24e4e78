package sim

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/storagetest"
)

// tickInterval is the groups' tick in virtual time.
const tickInterval = 100 * time.Millisecond

// A node is one member. What is in disk survives its crashes.
type node struct {
	c    *Cluster
	id   uint64
	disk disk

	up          bool
	life        uint64 // counts restarts; what an older life planned is void
	pausedUntil time.Duration
	host        *raftgroup.Host
	groups      []*guard // by id

	rate float64       // of its clocks
	jump time.Duration // of its wall clock, so far

	syncMin, syncMax time.Duration
	diskBusy         bool
	polling          bool
}

// disk is what a node keeps: the log, the newest durable checkpoint of each
// group, and snapshots received and not yet installed.
type disk struct {
	log         *storagetest.MemLog
	checkpoints map[uint64]checkpoint
	staged      map[uint64][]checkpoint
	member      map[uint64]bool // groups this node has a replica of
}

// A checkpoint is a machine's state, made durable together with the index it
// stands at and the configuration there.
type checkpoint struct {
	index, term uint64
	conf        *raftpb.ConfState
	state       []byte
}

func (c *Cluster) newNode(id uint64) *node {
	rate := 1.0
	if c.conf.Clocks {
		rate += (c.world.Rand.Float64() - 0.5) / 10
	}
	return &node{
		c: c, id: id, rate: rate, syncMin: 100 * time.Microsecond, syncMax: 3 * time.Millisecond,
		disk: disk{
			log: storagetest.NewMemLog(), checkpoints: make(map[uint64]checkpoint),
			staged: make(map[uint64][]checkpoint), member: make(map[uint64]bool),
		},
	}
}

// mono is the node's monotonic clock.
func (n *node) mono() time.Duration { return time.Duration(float64(n.c.world.Now()) * n.rate) }

// wall is its wall clock, an hour wrong or several.
func (n *node) wall() time.Duration { return n.mono() + time.Duration(n.id)*time.Hour + n.jump }

// after runs f on this node when d has passed by its clock, unless the node was restarted
// meanwhile. A stalled node does it when it goes on.
func (n *node) after(d time.Duration, f func()) {
	life := n.life
	d = time.Duration(float64(d) / n.rate)
	var run func()
	run = func() {
		switch {
		case !n.up || n.life != life:
		case n.pausedUntil > n.c.world.Now():
			n.c.world.After(n.pausedUntil-n.c.world.Now(), run)
		default:
			f()
			n.poll()
		}
	}
	n.c.world.After(d, run)
}

// start boots the node over its disk.
func (n *node) start() {
	n.life++
	n.up, n.diskBusy, n.polling = true, false, false
	n.groups = nil
	h, err := raftgroup.NewHost(raftgroup.Options{
		NodeID: n.id, Log: n.newLog(), Transport: n, Now: n.mono,
		CacheBytes: 2 << 10, CatchUpBytesPerTick: 8 << 10, MaxMessageSize: 4 << 10,
		MaxInflightBytes: 16 << 10, MaxApplyingBytes: 8 << 10, ApplyBytesPerTurn: 1 << 10,
		SnapshotHoldTicks: 20, MaxInboxMessages: 64,
		Logger: n.logger(),
	})
	if err != nil {
		n.c.check.failf("node %d: %v", n.id, err)
		return
	}
	n.host = h
	for id := uint64(1); id <= uint64(n.c.conf.Groups); id++ {
		if n.disk.member[id] {
			n.open(id)
		}
	}
	n.after(n.c.world.Between(0, tickInterval), n.tick)
	n.poll()
}

func (n *node) logger() *slog.Logger {
	if !n.c.world.Logging() {
		return nil
	}
	return slog.New(traceHandler{n})
}

// open opens the node's replica of a group, after what a crash left undone of
// the installation of a snapshot.
func (n *node) open(id uint64) {
	n.disk.member[id] = true
	cp := n.disk.checkpoints[id]
	if gs, known := n.disk.log.Bounds(id); known && gs.First > cp.index+1 {
		i := slices.IndexFunc(n.disk.staged[id], func(s checkpoint) bool { return s.index == gs.First-1 })
		if i >= 0 && gs.First > 2 {
			cp = n.disk.staged[id][i]
			n.disk.checkpoints[id] = cp
			n.c.count("install finished at start")
		}
	}
	delete(n.disk.staged, id)
	if n.c.conf.Bug == AppliedTwice && cp.index > 2 {
		cp.index--
	}
	gd := newGuard(n, id, cp)
	o := raftgroup.GroupOptions{
		ID: id, Machine: gd, Applied: cp.index, ConfState: cp.conf, Snapshots: gd, Installer: gd,
	}
	if n.id <= uint64(n.c.conf.Voters) {
		o.Voters = n.c.founders()
	}
	g, err := n.host.Open(o)
	if err != nil {
		n.c.check.failf("node %d: %v", n.id, err)
		return
	}
	gd.group = g
	n.groups = append(n.groups, gd)
	slices.SortFunc(n.groups, func(a, b *guard) int { return int(a.id) - int(b.id) })
}

func (n *node) guard(group uint64) *guard {
	for _, g := range n.groups {
		if g.id == group {
			return g
		}
	}
	return nil
}

func (n *node) tick() {
	n.host.Tick()
	n.after(tickInterval, n.tick)
}

// crash kills the node. A part of what was not synced may survive.
func (n *node) crash() {
	n.c.world.Note(1, n.id)
	n.c.world.Logf("%d: CRASH", n.id)
	n.disk.log = n.disk.log.Crash(n.c.world.Rand)
	n.plant()
	n.up, n.host, n.groups = false, nil, nil
	n.pausedUntil = 0
}

// plant changes what a crash leaves, if the run has such a bug.
func (n *node) plant() {
	for id := range n.disk.member {
		gs, ents, ok := n.disk.log.Synced(id)
		if !ok {
			continue
		}
		switch n.c.conf.Bug {
		case VoteForgotten:
			gs.State.Vote = 0
			n.disk.log.Submit(&storage.Append{Group: id, State: gs.State, HasState: true})
		case TailLost:
			if len(ents) < 2 || gs.State.Commit >= gs.Last {
				continue
			}
			keep := ents[len(ents)-2]
			n.disk.log.Submit(&storage.Append{Group: id, Entries: []storage.Entry{keep}})
		}
	}
	n.disk.log.Drain()
}

// poll plans a turn for every group that has work, and a write if the disk has
// some.
func (n *node) poll() {
	if !n.up || n.polling {
		return
	}
	n.polling = true
	defer func() { n.polling = false }()
	for _, g := range n.groups {
		if g.group != nil && g.group.Due() && !g.planned {
			g.planned = true
			n.after(n.c.world.Between(0, 200*time.Microsecond), func() {
				g.planned = false
				g.turn()
			})
		}
	}
	if !n.diskBusy && n.disk.log.Pending() {
		n.diskBusy = true
		n.after(n.c.world.Between(0, 50*time.Microsecond), n.write)
	}
}

// write is the first half of a drain. A crash may come before the second.
func (n *node) write() {
	n.disk.log.Write()
	if !n.disk.log.Unsynced() {
		n.diskBusy = false
		return
	}
	n.after(n.c.world.Between(n.syncMin, n.syncMax), n.sync)
}

func (n *node) sync() {
	n.c.world.Note(2, n.id)
	n.diskBusy = false
	n.disk.log.Sync()
	for _, g := range n.groups {
		if gs, _, ok := n.disk.log.Synced(g.id); ok {
			n.c.check.synced(n.id, gs)
		}
	}
}

// Send implements raftgroup.Transport.
func (n *node) Send(to uint64, msgs []raftgroup.Message) {
	for _, m := range msgs {
		n.c.check.sends(n, m)
		r := m.Raft
		n.c.world.Note(3, n.id, to, m.Group, uint64(r.GetType()), r.GetTerm(), r.GetIndex(), uint64(len(r.GetEntries())))
		if n.c.world.Logging() {
			n.c.world.Logf("%d: g%d send %s to %d term=%d index=%d entries=%d", n.id, m.Group, r.GetType(), to, r.GetTerm(), r.GetIndex(), len(r.GetEntries()))
		}
		n.c.net.Send(n.id, to, m)
	}
}

// receive takes a message from the network. The data of a snapshot is durable
// before Raft hears of it.
func (n *node) receive(from uint64, m raftgroup.Message) {
	if m.Raft.GetType() == raftpb.MsgSnap {
		n.stage(m)
		n.c.snapshotArrived(from, n.id, m.Group)
	}
	n.host.Deliver(m.Group, []*raftpb.Message{m.Raft})
}

func (n *node) stage(m raftgroup.Message) {
	s := m.Raft.GetSnapshot()
	meta := s.GetMetadata()
	for _, old := range n.disk.staged[m.Group] {
		if old.index == meta.GetIndex() {
			return
		}
	}
	n.disk.staged[m.Group] = append(n.disk.staged[m.Group], checkpoint{
		index: meta.GetIndex(), term: meta.GetTerm(), state: s.GetData(),
		conf: proto.Clone(meta.GetConfState()).(*raftpb.ConfState),
	})
}

// simLog checks what is stored on its way to the disk.
type simLog struct {
	*storagetest.MemLog
	n     *node
	terms map[uint64]*terms
}

// terms are the terms of a group's log as submitted: of[i] belongs to the index
// first+i.
type terms struct {
	first uint64
	of    []uint64
}

func (n *node) newLog() *simLog {
	l := &simLog{MemLog: n.disk.log, n: n, terms: make(map[uint64]*terms)}
	for _, gs := range n.disk.log.Groups() {
		t := &terms{first: gs.First - 1, of: []uint64{gs.FirstTerm}}
		_, ents, _ := n.disk.log.Synced(gs.Group)
		for _, e := range ents {
			t.of = append(t.of, e.Term)
		}
		l.terms[gs.Group] = t
	}
	return l
}

func (l *simLog) Submit(a *storage.Append) {
	if a.Reset != nil {
		l.terms[a.Group] = &terms{first: a.Reset.Index, of: []uint64{a.Reset.Term}}
	}
	t := l.terms[a.Group]
	for i, e := range a.Entries {
		if i == 0 {
			if e.Index <= t.first || e.Index > t.first+uint64(len(t.of)) {
				l.n.c.check.failf("group %d: node %d appends %d behind [%d, +%d]", a.Group, l.n.id, e.Index, t.first, len(t.of))
				return
			}
			if keep := e.Index - t.first; keep < uint64(len(t.of)) {
				l.n.c.count("suffix replaced")
				t.of = t.of[:keep]
			}
		}
		l.n.c.check.appended(l.n.id, a.Group, e, t.of[len(t.of)-1])
		t.of = append(t.of, e.Term)
	}
	if done := a.Done; done != nil && l.n.c.conf.Bug == DoneBeforeSync {
		a.Done = nil
		l.n.after(0, done)
	}
	l.MemLog.Submit(a)
}

// traceHandler gives log records to the trace.
type traceHandler struct{ n *node }

func (h traceHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h traceHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	h.n.c.world.Logf("%d: %s", h.n.id, line)
	return nil
}
func (h traceHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h traceHandler) WithGroup(string) slog.Handler      { return h }
