package reconcile_test

import (
	"slices"
	"testing"

	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// A node that lost its replica of a shard is taken out of it and not given it back
// before it says that what it had is gone; where another node can take it, that one
// does. A node whose catalog is lost is out of the catalog's group until it is not.
func TestLost(t *testing.T) {
	for _, more := range []int{2, 3} {
		w := newWorld(t)
		for range more {
			w.join()
			w.still()
		}
		w.expectWish()
		var s *catalog.Shard
		for s = range w.v().Shards() {
			break
		}
		node := s.Replicas[1]
		set := func(spec catalog.ShardSpec) {
			if r := w.apply(&catalog.SetShard{ID: s.ID, ShardSpec: spec}); r.Code != catalog.Done {
				t.Fatal(r.Code)
			}
		}
		set(reconcile.Lose(s, node))
		w.still()
		now := w.v().Shard(s.ID)
		if !reconcile.Damaged(now, node) || now.Holds(node) || len(now.Replicas) != more || w.groups[s.ID].member(node) {
			t.Fatalf("of %d nodes: %+v, %s", more+1, now, w.text())
		}
		set(reconcile.Found(now, node))
		w.still()
		w.expectWish()

		w.order(catalog.Replace, node)
		w.still()
		if w.groups[1].member(node) {
			t.Fatalf("it is in the catalog's group: %s", w.text())
		}
		w.apply(&catalog.EndIntent{ID: w.v().IntentFor(catalog.Replace, node).ID})
		w.still()
		if c := w.groups[1].conf; !slices.Contains(c.GetVoters(), node) {
			t.Fatalf("it does not vote: %s", w.text())
		}
		w.expectWish()
	}
}
