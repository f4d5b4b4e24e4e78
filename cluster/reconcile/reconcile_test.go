package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// expectWish checks that everything is as it should be, for so many nodes that
// stay.
func (w *world) expectWish() {
	w.t.Helper()
	stay := 0
	for m := range w.v().Nodes() {
		if !reconcile.Going(w.v(), m) {
			stay++
		}
	}
	leads := map[uint64]int{}
	for s := range w.v().Shards() {
		c := w.groups[s.ID].conf
		voters := slices.Sorted(slices.Values(c.GetVoters()))
		if !slices.Equal(voters, slices.Sorted(slices.Values(s.Replicas))) || len(c.GetLearners()) > 0 {
			w.t.Fatalf("shard %d is not as it should be: %s", s.ID, w.text())
		}
		if len(voters) != min(3, stay) {
			w.t.Fatalf("shard %d has %d replicas and %d nodes stay: %s", s.ID, len(voters), stay, w.text())
		}
		leads[s.Leader]++
	}
	for i := range w.v().Intents() {
		w.t.Fatalf("an intent is left: %s %d: %s%s", i.Kind, i.Subject, reconcile.Progress(w.v(), i), w.text())
	}
	if n := len(w.groups[1].conf.GetVoters()); n != min(5, stay) {
		w.t.Fatalf("%d nodes vote on the catalog: %s", n, w.text())
	}
}

func (w *world) order(kind catalog.IntentKind, id uint64) {
	w.apply(&catalog.AddIntent{Kind: kind, Subject: id, Attrs: reconcile.Attrs(reconcile.Held(w.v(), id), false)})
}

// Nodes join, one is forgotten, one leaves: each time all shards have the replicas
// they should have in the end.
func TestLife(t *testing.T) {
	w := newWorld(t)
	w.expectWish()
	var ids []uint64
	for range 4 {
		ids = append(ids, w.join())
		w.still()
		w.expectWish()
	}
	w.kill(ids[0])
	w.still()
	held := reconcile.Held(w.v(), ids[0])
	w.order(catalog.Forget, ids[0])
	w.plan()
	for i := range w.v().Intents() {
		if text := reconcile.Progress(w.v(), i); !strings.Contains(text, "shards have left it") {
			t.Fatalf("%d shards, and %q", held, text)
		}
	}
	w.still()
	w.expectWish()
	if w.v().Forgotten(ids[0]) == nil {
		t.Fatal("it is not forgotten")
	}
	w.order(catalog.Reset, ids[1])
	w.still()
	w.expectWish()
	if w.v().Forgotten(ids[1]) == nil {
		t.Fatal("it did not leave")
	}
}

// A node that does not live is waited for: nothing is moved, neither from nor to
// it.
func TestWaits(t *testing.T) {
	w := newWorld(t)
	w.join()
	id := w.join()
	w.join()
	w.still()
	before := w.text()
	w.kill(id)
	w.still()
	for s := range w.v().Shards() {
		if !strings.Contains(before, strings.Split(w.text(), "\n")[0]) {
			t.Fatalf("shard %d moved", s.ID)
		}
	}
	fifth := w.join()
	w.still()
	for s := range w.v().Shards() {
		c := w.groups[s.ID].conf
		if len(c.GetLearners()) > 0 {
			t.Fatalf("a shard waits for one that is gone: %s", w.text())
		}
	}
	if reconcile.Held(w.v(), fifth) == 0 {
		t.Fatal("the new node got nothing")
	}
}

// A node that drains leads nothing and keeps what it has.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	w.join()
	id := w.join()
	w.still()
	held := reconcile.Held(w.v(), id)
	w.apply(&catalog.SetNodeState{ID: id, State: catalog.Draining})
	w.still()
	for s := range w.v().Shards() {
		if s.Leader == id {
			t.Fatalf("shard %d should be led by it", s.ID)
		}
	}
	if got := reconcile.Held(w.v(), id); got != held {
		t.Fatalf("it holds %d and held %d", got, held)
	}
	w.apply(&catalog.SetNodeState{ID: id, State: catalog.Serving})
	w.still()
	leads := 0
	for s := range w.v().Shards() {
		if s.Leader == id {
			leads++
		}
	}
	if leads != w.per {
		t.Fatalf("it should lead %d", leads)
	}
}

// What is added to or taken from a shard by an order stays so.
func TestOrders(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.join()
	}
	w.still()
	s := slices.Collect(w.v().Shards())[0]
	var other uint64
	for m := range w.v().Nodes() {
		if !s.Holds(m.ID) {
			other = m.ID
		}
	}
	w.apply(&catalog.SetShard{ID: s.ID, ShardSpec: reconcile.Added(s, other)})
	w.still()
	if s = w.v().Shard(s.ID); len(s.Members.Voters) != 4 {
		t.Fatalf("it has %v", s.Members)
	}
	// One that was added is taken again, with another: the first of them comes back
	// as it was by the wish, the other's place is taken.
	first := s.Replicas[0]
	w.apply(&catalog.SetShard{ID: s.ID, ShardSpec: reconcile.Taken(s, first)})
	w.still()
	if s = w.v().Shard(s.ID); s.Holds(first) || len(s.Members.Voters) != 3 {
		t.Fatalf("it is on %v, %v", s.Replicas, s.Members)
	}
	w.apply(&catalog.SetShard{ID: s.ID, ShardSpec: reconcile.Taken(s, other)})
	w.still()
	if s = w.v().Shard(s.ID); s.Holds(first) || s.Holds(other) || len(s.Members.Voters) != 2 {
		t.Fatalf("it is on %v, %v", s.Replicas, s.Members)
	}
}

// Whatever happens to nodes, no step loses what is committed, and in the end
// everything is as it should be.
func TestAlways(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.quiet = true
		w.per = rapid.IntRange(1, 2).Draw(rt, "per")
		any := func(ok func(*catalog.Node) bool) uint64 {
			var ids []uint64
			for m := range w.v().Nodes() {
				if ok(m) {
					ids = append(ids, m.ID)
				}
			}
			if len(ids) == 0 {
				return 0
			}
			slices.Sort(ids)
			return rapid.SampledFrom(ids).Draw(rt, "node")
		}
		everyone := func(*catalog.Node) bool { return true }
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				if len(slices.Collect(w.v().Nodes())) < 6 && w.catalogUp() {
					w.join()
				}
			case 1:
				id := any(everyone)
				w.kill(id)
				if !w.catalogUp() || len(w.up) == 0 {
					w.start(id) // else nothing happens any more
				}
			case 2:
				if id := any(everyone); id != 0 && !w.up[id] {
					w.start(id)
				}
			case 3: // as ForgetNode lets it
				id := any(func(m *catalog.Node) bool { return m.Incarnation == 0 })
				if id != 0 && len(reconcile.Stuck(w.v(), id)) == 0 && w.catalogUp() {
					w.order(catalog.Forget, id)
				}
			case 4:
				others := 0
				id := any(func(m *catalog.Node) bool { return m.Incarnation != 0 && !reconcile.Going(w.v(), m) })
				for m := range w.v().Nodes() {
					if m.ID != id && m.Incarnation != 0 && m.State == catalog.Serving && !reconcile.Going(w.v(), m) {
						others++
					}
				}
				if id != 0 && others > 0 && w.catalogUp() {
					w.order(catalog.Reset, id)
				}
			case 5:
				if id := any(everyone); id != 0 {
					w.apply(&catalog.SetNodeState{ID: id, State: rapid.SampledFrom([]catalog.NodeState{catalog.Serving, catalog.Draining}).Draw(rt, "state")})
				}
			case 6:
				w.plan()
			default:
				w.steer(rapid.SampledFrom(w.ids()).Draw(rt, "group"))
			}
			if len(w.up) == 0 {
				w.start(any(func(m *catalog.Node) bool { return m.State != catalog.Leaving }))
			}
		}
		for m := range w.v().Nodes() {
			if !w.up[m.ID] && m.State != catalog.Leaving {
				w.start(m.ID)
			}
			w.apply(&catalog.SetNodeState{ID: m.ID, State: catalog.Serving})
		}
		w.still()
		w.expectWish()
	})
}

// What a node alone has is given up only by force: its queues, then their shard.
func TestForce(t *testing.T) {
	w := newWorld(t)
	id := w.join()
	w.join()
	w.still()
	w.apply(&catalog.AddVHost{Name: "/"})
	r := w.apply(&catalog.AddShard{Replicas: []uint64{id}, Leader: id})
	w.apply(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: "alone", Durable: true, Shard: r.ID}})
	w.kill(id)
	if only := reconcile.Only(w.v(), id); !slices.Equal(only, []uint64{r.ID}) || !strings.Contains(reconcile.Lost(w.v(), only), "'alone' in vhost '/'") {
		t.Fatalf("it alone has %v: %s", only, reconcile.Lost(w.v(), only))
	}
	w.order(catalog.Forget, id)
	for range 100 {
		w.plan()
		for _, g := range w.ids() {
			w.steer(g)
		}
	}
	if w.v().Shard(r.ID) == nil || w.v().Queue("/", "alone") == nil || w.v().Forgotten(id) != nil {
		t.Fatal("it was given up without force")
	}
	i := w.v().IntentFor(catalog.Forget, id)
	if text := reconcile.Progress(w.v(), i); !strings.Contains(text, "no majority") {
		t.Errorf("%q", text)
	}
	w.apply(&catalog.EndIntent{ID: i.ID})
	w.apply(&catalog.AddIntent{Kind: catalog.Forget, Subject: id, Attrs: reconcile.Attrs(1, true)})
	w.quiet = true // a shard is set and removed in one plan
	w.still()
	if w.v().Shard(r.ID) != nil || w.v().Queue("/", "alone") != nil || w.v().Forgotten(id) == nil {
		t.Fatalf("it was not given up: %s", w.text())
	}
}
