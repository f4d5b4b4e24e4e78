package cluster

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// A tagged command makes a shard that names it: done twice it shows twice.
type tagged struct {
	tag  string
	node uint64
	r    catalog.Result
	err  error
	done int
}

func tags(v *catalog.View) map[string][]uint64 {
	out := map[string][]uint64{}
	for s := range v.Shards() {
		x, _ := s.Attrs.Lookup("tag")
		tag, _ := x.Text()
		out[tag] = append(out[tag], s.ID)
	}
	return out
}

// TestExactlyOnce gives commands to three nodes while leaders change, messages
// are lost, streams break, nodes are cut off and crash. Each command is performed
// at most once; what was answered was performed with that result, in the order
// in which its node gave it; what was refused was not.
func TestExactlyOnce(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { exactlyOnce(t, seed) })
	}
}

func exactlyOnce(t *testing.T, seed uint64) {
	founders := []uint64{1, 2, 3}
	w := newWorld(t, seed, founders...)
	for _, id := range founders {
		w.until("a leader", func() bool { return w.leader() != nil })
		w.nodes[id].register()
	}
	var all []*tagged
	start := func(id uint64) {
		x := &tagged{tag: fmt.Sprint(len(all)), node: id}
		all = append(all, x)
		cmd := &catalog.AddShard{Replicas: []uint64{1}, Attrs: message.AppendField(nil, "tag", message.StringOf(x.tag))}
		w.nodes[id].c.Start(cmd, func(r catalog.Result, err error) {
			x.r, x.err = r, err
			x.done++
		})
	}
	for range 150 {
		id := founders[w.rand.IntN(3)]
		switch w.rand.IntN(12) {
		case 0:
			w.breakStreams()
		case 1:
			w.part(id, true)
		case 2, 3:
			for _, id := range founders {
				w.part(id, false)
			}
		case 4:
			w.nodes[id].group.Campaign()
		case 5:
			w.nodes[id].checkpoint()
		case 6:
			if w.rand.IntN(4) == 0 {
				w.crash(id, founders, all)
			}
		default:
			for range 1 + w.rand.IntN(3) {
				start(id)
			}
		}
		if w.rand.IntN(3) > 0 {
			w.tick(w.rand.Float64() * 0.4)
		}
	}
	for _, id := range founders {
		w.part(id, false)
	}
	w.until("every answer", func() bool {
		for _, x := range all {
			if x.done == 0 {
				return false
			}
		}
		return true
	})
	w.until("a leader", func() bool { return w.leader() != nil })
	w.sameDigests()
	check(t, all, tags(w.nodes[1].c.View()))
}

// crash crashes a node; nobody will answer what it was asked.
func (w *world) crash(id uint64, founders []uint64, all []*tagged) {
	for _, x := range all {
		if x.node == id && x.done == 0 {
			x.done, x.err = 1, ErrUnknown
		}
	}
	for _, id := range founders {
		w.part(id, false)
	}
	w.nodes[id].crash(founders)
	w.until("a leader", func() bool { return w.leader() != nil })
	w.nodes[id].register()
}

func check(t *testing.T, all []*tagged, found map[string][]uint64) {
	known, last := 0, map[uint64]uint64{}
	for _, x := range all {
		ids := found[x.tag]
		switch {
		case x.done != 1 || len(ids) > 1:
			t.Errorf("command %s: answered %d times, performed %d times", x.tag, x.done, len(ids))
		case x.err == nil && (len(ids) != 1 || ids[0] != x.r.ID || x.r.Code != catalog.Done):
			t.Errorf("command %s: told %v id %d, there is %v", x.tag, x.r.Code, x.r.ID, ids)
		case x.err == nil && x.r.ID <= last[x.node]:
			t.Errorf("command %s of node %d overtook another", x.tag, x.node)
		case x.err == nil:
			known++
			last[x.node] = x.r.ID
		case !errors.Is(x.err, ErrUnknown) && len(ids) > 0:
			t.Errorf("command %s: told %v, yet it was performed", x.tag, x.err)
		}
	}
	if known < len(all)/2 {
		t.Errorf("only %d of %d commands have a result", known, len(all))
	}
}

// TestForwardedPolicy: a command that a follower matched with policies that
// changed meanwhile is governed by those there are when it is applied; one that
// can not be matched any more comes back with the reason, and holds nothing up.
func TestForwardedPolicy(t *testing.T) {
	w := newWorld(t, 7, 1, 2)
	w.until("a leader", func() bool { return w.leader() != nil })
	leader := w.leader()
	other := w.nodes[3-leader.id]
	leader.register()
	other.register()
	leader.do(&catalog.AddShard{Replicas: []uint64{1}})
	shard := uint64(0)
	for s := range leader.c.View().Shards() {
		shard = s.ID
	}
	leader.do(&catalog.AddVHost{Name: "/"})
	w.sameDigests()
	queue := func(name string) *catalog.DeclareQueue {
		return &catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Durable: true, Shard: shard}}
	}
	errs := map[string]error{}
	// The leader's policy is on its way while the other node still has none.
	leader.c.Start(&catalog.SetPolicy{VHost: "/", Name: "p", Pattern: "^(a+)+$", ApplyTo: "queues"}, func(_ catalog.Result, err error) { errs["policy"] = err })
	hostile := ""
	for range 200 {
		hostile += "a"
	}
	hostile += "b"
	for _, name := range []string{"aaa", hostile, "b"} {
		other.c.Start(queue(name), func(_ catalog.Result, err error) { errs[name] = err })
	}
	w.until("all answers", func() bool { return len(errs) == 4 })
	if errs["policy"] != nil || errs["aaa"] != nil || errs["b"] != nil || !errors.Is(errs[hostile], ErrPolicy) {
		t.Fatalf("%v", errs)
	}
	v := other.c.View()
	if got := nameOf(v.Queue("/", "aaa").Policy); got != "p" || nameOf(v.Queue("/", "b").Policy) != "" || v.Queue("/", hostile) != nil {
		t.Errorf("queue aaa has policy %q", got)
	}
	w.sameDigests()
}

// TestGivesUp: without a leader a command that nobody saw fails for certain; one
// that was sent is unknown, and is not performed later.
func TestGivesUp(t *testing.T) {
	w := newWorld(t, 3, 1, 2, 3)
	w.until("a leader", func() bool { return w.leader() != nil })
	for _, id := range []uint64{1, 2, 3} {
		w.nodes[id].register()
	}
	leader := w.leader()
	other := w.nodes[leader.id%3+1]
	errs := map[string]error{}
	give := func(n *simNode, what string) {
		n.c.Start(&catalog.AddVHost{Name: what}, func(_ catalog.Result, err error) { errs[what] = err })
	}
	give(other, "sent") // and lost
	w.part(other.id, true)
	for range 30 {
		w.tick(0)
	}
	give(other, "never sent")
	barrier := make(chan error, 1)
	if !other.c.Pass(func(err error) { barrier <- err }) {
		t.Fatal("it takes itself for alone")
	}
	w.until("both are given up", func() bool { return len(errs) == 2 })
	if !errors.Is(errs["sent"], ErrUnknown) || !errors.Is(errs["never sent"], ErrNoLeader) {
		t.Errorf("%v", errs)
	}
	if err := <-barrier; !errors.Is(err, ErrNoLeader) {
		t.Errorf("the barrier said %v", err)
	}
	w.part(other.id, false)
	give(other, "later")
	w.until("the next is answered", func() bool { _, ok := errs["later"]; return ok })
	w.sameDigests()
	v := other.c.View()
	if v.VHost("sent") != nil || v.VHost("never sent") != nil || v.VHost("later") == nil {
		t.Error("what was given up was performed later")
	}
}

// TestEndedIncarnation: what a node asks in the name of an incarnation that was
// ended is refused for certain, and it can register again.
func TestEndedIncarnation(t *testing.T) {
	w := newWorld(t, 5, 1, 2, 3)
	w.until("a leader", func() bool { return w.leader() != nil })
	for _, id := range []uint64{1, 2, 3} {
		w.nodes[id].register()
	}
	leader := w.leader()
	other := w.nodes[leader.id%3+1]
	w.part(other.id, true)
	leader.do(&catalog.EndIncarnation{Number: other.c.own.inc})
	var err error
	done := false
	other.c.Start(&catalog.AddVHost{Name: "late"}, func(_ catalog.Result, e error) { err, done = e, true })
	w.part(other.id, false)
	w.until("an answer", func() bool { return done })
	if !errors.Is(err, ErrEnded) {
		t.Errorf("told %v", err)
	}
	other.register()
	if other.do(&catalog.AddVHost{Name: "new"}).Code != catalog.Done || other.c.View().VHost("late") != nil {
		t.Error("a new incarnation does not work, or the old one did")
	}
}

// TestBarrier: a node that has passed one has seen what others were told before,
// and one waits for all who came in time.
func TestBarrier(t *testing.T) {
	w := newWorld(t, 9, 1, 2, 3)
	w.until("a leader", func() bool { return w.leader() != nil })
	for _, id := range []uint64{1, 2, 3} {
		w.nodes[id].register()
	}
	leader := w.leader()
	other := w.nodes[leader.id%3+1]
	w.part(other.id, true)
	leader.do(&catalog.AddVHost{Name: "unseen"})
	w.part(other.id, false)
	if other.c.View().VHost("unseen") != nil {
		t.Fatal("it saw what it could not")
	}
	pass := func(c *Catalog) chan error {
		done := make(chan error, 1)
		c.Pass(func(err error) { done <- err })
		return done
	}
	waits := []chan error{pass(other.c), pass(other.c), pass(leader.c)}
	w.until("the barrier", func() bool { return len(waits[0]) == 1 && len(waits[1]) == 1 && len(waits[2]) == 1 })
	if err := <-waits[0]; err != nil || other.c.View().VHost("unseen") == nil {
		t.Errorf("%v; the vhost is not seen behind a barrier", err)
	}
}

// TestJoin: a node without the founders' log gets the catalog by a snapshot, as
// a learner, becomes a voter, and takes part; one that lags behind the log too.
func TestJoin(t *testing.T) {
	w := newWorld(t, 11, 1)
	w.until("a leader", func() bool { return w.leader() != nil })
	first := w.nodes[1]
	first.register()
	for i := range 50 {
		first.do(&catalog.AddVHost{Name: fmt.Sprint("v", i)})
	}
	first.checkpoint()
	change := func(what string) {
		ccs, err := raftpb.ConfChangesFromString(what)
		first.must(err)
		first.group.ProposeConfChange(&raftpb.ConfChangeV2{Changes: ccs}, func(err error) { first.must(err) })
		w.settle(0)
	}
	joiner := w.add(2, nil)
	first.do(&catalog.AddNode{ID: 2, Name: "second"})
	change("l2")
	first.checkpoint() // in which it is a member
	w.until("the snapshot", func() bool { return len(joiner.views) == 1 })
	if joiner.views[0] != joiner.c.View() && joiner.c.View().VHost("v49") == nil {
		t.Error("the View did not come with the snapshot")
	}
	w.sameDigests()
	change("v2")
	joiner.register()
	joiner.do(&catalog.AddVHost{Name: "by the joiner"})
	w.sameDigests()

	// It lags behind what the log keeps, with a command that is in the snapshot.
	var outcome error
	done := false
	joiner.checkpoint()
	change("l2")
	joiner.c.Start(&catalog.AddVHost{Name: "asked before"}, func(_ catalog.Result, err error) { outcome, done = err, true })
	for _, d := range w.streams[[2]uint64{2, 1}] {
		first.must(first.c.Offer(2, d))
	}
	w.part(2, true)
	w.settle(0)
	for range 5 {
		w.tick(0)
	}
	first.do(&catalog.AddVHost{Name: "meanwhile"})
	first.checkpoint()
	w.part(2, false)
	w.until("another snapshot", func() bool { return len(joiner.views) == 2 && done })
	if !errors.Is(outcome, ErrUnknown) || joiner.c.View().VHost("asked before") == nil {
		t.Errorf("told %v of what is in the snapshot", outcome)
	}
	w.sameDigests()
	joiner.crash(nil)
	w.sameDigests()
}
