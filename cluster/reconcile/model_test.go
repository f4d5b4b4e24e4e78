package reconcile_test

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/cluster/steer"
	"github.com/warrenmq/warren/core/catalog"
)

// A tester is told what must not be.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// A world is a catalog, the nodes that live, and the groups of shards as they are.
type world struct {
	t      tester
	m      *catalog.Machine
	up     map[uint64]bool
	groups map[uint64]*group // by shard; 1 is the catalog's
	next   uint64
	per    int
	quiet  bool // a command was refused: nothing may be then
}

// A group is a Raft group without its log: who is in it, who leads, and who has
// all data.
type group struct {
	conf   *raftpb.ConfState
	leader uint64
	has    map[uint64]bool
	index  uint64
}

func newWorld(t tester) *world {
	w := &world{t: t, m: catalog.New(), up: map[uint64]bool{}, groups: map[uint64]*group{}, next: 100, per: 1}
	w.groups[1] = &group{conf: &raftpb.ConfState{}, has: map[uint64]bool{}}
	first := w.join()
	w.groups[1].conf.Voters = []uint64{first}
	w.groups[1].has[first] = true
	w.still()
	return w
}

func (w *world) v() *catalog.View { return w.m.View() }

func (w *world) apply(cmd catalog.Command) catalog.Result {
	r := w.m.Apply(1, cmd)
	w.open()
	return r
}

// open founds the groups of new shards, and ends those of removed ones.
func (w *world) open() {
	for s := range w.v().Shards() {
		if w.groups[s.ID] == nil {
			g := &group{conf: &raftpb.ConfState{Voters: slices.Clone(s.Founders)}, has: map[uint64]bool{}, index: 1}
			for _, id := range s.Founders {
				g.has[id] = true
			}
			w.groups[s.ID] = g
		}
	}
	for id := range w.groups {
		if id != 1 && w.v().Shard(id) == nil {
			delete(w.groups, id)
		}
	}
}

func (w *world) join() uint64 {
	w.next++
	id := w.next
	w.apply(&catalog.AddNode{ID: id, Name: fmt.Sprintf("rabbit@n%d", (id*7919)%1000)})
	w.apply(&catalog.AddIntent{Kind: catalog.Join, Subject: id})
	w.start(id)
	return id
}

func (w *world) start(id uint64) {
	if r := w.apply(&catalog.Register{Node: id}); r.Code == catalog.Done {
		w.up[id] = true
	}
}

// kill ends a node's life: what it has on its disk stays.
func (w *world) kill(id uint64) {
	if m := w.v().Node(id); m != nil && m.Incarnation != 0 {
		w.apply(&catalog.EndIncarnation{Number: m.Incarnation})
	}
	delete(w.up, id)
}

// catalogUp reports whether the catalog can be changed.
func (w *world) catalogUp() bool { return w.groups[1].quorum(w) }

func (g *group) quorum(w *world) bool {
	for _, voters := range [][]uint64{g.conf.GetVoters(), g.conf.GetVotersOutgoing()} {
		live := 0
		for _, id := range voters {
			if w.up[id] && g.has[id] {
				live++
			}
		}
		if len(voters) > 0 && live <= len(voters)/2 {
			return false
		}
	}
	return true
}

// elect has a group that can have a leader have one.
func (g *group) elect(w *world) bool {
	if !g.quorum(w) {
		g.leader = 0
		return false
	}
	if !w.up[g.leader] || !slices.Contains(g.conf.GetVoters(), g.leader) {
		g.leader = 0
		for _, id := range g.conf.GetVoters() {
			if w.up[id] && g.has[id] {
				g.leader = id
				break
			}
		}
	}
	return g.leader != 0
}

// plan does what Next says, and reports whether that was anything.
func (w *world) plan() bool {
	if !w.catalogUp() {
		return false
	}
	c := w.groups[1].conf
	cmds := reconcile.Next(reconcile.World{
		View: w.v(), Catalog: catalog.Members{Voters: c.GetVoters(), Others: c.GetLearners()},
		Shards: w.shards(), Wishes: []placement.Wish{{}}, Per: w.per, Moving: 2,
	})
	for _, cmd := range cmds {
		w.check(cmd)
		if r := w.apply(cmd); r.Code != catalog.Done && r.Code != catalog.Existed && !w.quiet {
			w.t.Fatalf("%T %+v: %s", cmd, cmd, r.Code)
		}
	}
	return len(cmds) > 0
}

func (w *world) shards() (ss []placement.Shard) {
	for s := range w.v().Shards() {
		ss = append(ss, placement.Shard{ID: s.ID, Replicas: s.Replicas})
	}
	return ss
}

// check holds what no command may do.
func (w *world) check(cmd catalog.Command) {
	w.t.Helper()
	switch x := cmd.(type) {
	case *catalog.SetShard:
		if len(x.Replicas) == 0 {
			w.t.Fatalf("shard %d is to be nowhere", x.ID)
		}
		usable := 0
		for m := range w.v().Nodes() {
			if m.Incarnation != 0 && m.State == catalog.Serving && !reconcile.Going(w.v(), m) {
				usable++
			}
		}
		stay := 0
		for _, id := range x.Replicas {
			if m := w.v().Node(id); m != nil && !reconcile.Going(w.v(), m) {
				stay++
			}
		}
		if stay < min(3, usable) && stay < len(w.v().Shard(x.ID).Replicas) {
			w.t.Fatalf("shard %d is to be on %v, and %d nodes could take it", x.ID, x.Replicas, usable)
		}
	case *catalog.RemoveNode:
		for id, g := range w.groups {
			if g.member(x.ID) {
				w.t.Fatalf("node %d is forgotten and a member of group %d", x.ID, id)
			}
		}
	}
}

func (g *group) member(id uint64) bool {
	return slices.Contains(slices.Concat(g.conf.GetVoters(), g.conf.GetVotersOutgoing(), g.conf.GetLearners(), g.conf.GetLearnersNext()), id)
}

// want is what a group should be.
func (w *world) want(id uint64) (want steer.Want) {
	if id != 1 {
		return steer.Want{Voters: w.v().Shard(id).Replicas}
	}
	return reconcile.WantCatalog(w.v(), w.groups[1].conf.GetVoters())
}

// steer takes the next step of a group, and reports whether there was one.
func (w *world) steer(id uint64) bool {
	g := w.groups[id]
	if g == nil || !g.elect(w) {
		return false
	}
	for _, l := range slices.Concat(g.conf.GetLearners(), g.conf.GetVoters()) {
		if w.up[l] {
			g.has[l] = true
		}
	}
	step := steer.Next(steer.Group{
		Self: g.leader, Conf: g.conf,
		CaughtUp: func(id uint64) bool { return w.up[id] && g.has[id] },
		Active:   func(id uint64) bool { return w.up[id] },
	}, w.want(id))
	if step.Transfer != 0 {
		g.leader = step.Transfer
		return true
	}
	if step.Change == nil {
		return w.note(id, g)
	}
	w.change(g, step.Change)
	for _, n := range w.next8() {
		if !g.member(n) {
			delete(g.has, n) // it drops its copy
		}
	}
	w.note(id, g)
	return true
}

// next8 are all ids that nodes ever had.
func (w *world) next8() (ids []uint64) {
	for id := uint64(101); id <= w.next; id++ {
		ids = append(ids, id)
	}
	return ids
}

// change applies a change of a configuration, and holds what none may do.
func (w *world) change(g *group, cc *raftpb.ConfChangeV2) {
	w.t.Helper()
	ch := confchange.Changer{Tracker: tracker.MakeProgressTracker(1, 0), LastIndex: 1}
	cfg, trk, err := confchange.Restore(ch, g.conf)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	ch.Tracker.Config, ch.Tracker.Progress = cfg, trk
	if _, joint := cc.EnterJoint(); joint {
		if cfg, trk, err = ch.EnterJoint(true, cc.Changes...); err == nil {
			ch.Tracker.Config, ch.Tracker.Progress = cfg, trk
			cfg, trk, err = ch.LeaveJoint()
		}
	} else {
		cfg, trk, err = ch.Simple(cc.Changes...)
	}
	if err != nil {
		w.t.Fatalf("a change that Raft refuses: %v", err)
	}
	ch.Tracker.Config, ch.Tracker.Progress = cfg, trk
	after := ch.Tracker.ConfState()
	copies := 0
	for _, id := range after.GetVoters() {
		if g.has[id] {
			copies++
		}
	}
	if copies <= len(after.GetVoters())/2 {
		w.t.Fatalf("%v of which only %d have what is committed", after, copies)
	}
	g.conf = after
	g.index++
}

// note has the leader tell the catalog.
func (w *world) note(id uint64, g *group) bool {
	if id == 1 || !w.catalogUp() {
		return false
	}
	s := w.v().Shard(id)
	if slices.Equal(s.Members.Voters, g.conf.GetVoters()) && slices.Equal(s.Members.Others, g.conf.GetLearners()) {
		return false
	}
	w.apply(&catalog.NoteMembers{Shard: id, Members: catalog.Members{Voters: g.conf.GetVoters(), Others: g.conf.GetLearners(), At: g.index}})
	return true
}

func (w *world) ids() (ids []uint64) {
	for id := range w.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// still goes on until nothing is left to do.
func (w *world) still() {
	w.t.Helper()
	for range 2000 {
		did := w.plan()
		for _, id := range w.ids() {
			did = w.steer(id) || did
		}
		if !did {
			return
		}
	}
	w.t.Fatalf("it does not end: %s", w.text())
}

func (w *world) text() string {
	text := ""
	for m := range w.v().Nodes() {
		text += fmt.Sprintf("\nnode %d %s %s lives %v", m.ID, m.Name, m.State, m.Incarnation != 0)
	}
	for s := range w.v().Shards() {
		text += fmt.Sprintf("\nshard %d on %v led by %d, is %v", s.ID, s.Replicas, s.Leader, w.groups[s.ID].conf)
	}
	for i := range w.v().Intents() {
		text += fmt.Sprintf("\nintent %s %d", i.Kind, i.Subject)
	}
	return fmt.Sprintf("%s\ncatalog %v", text, w.groups[1].conf)
}
