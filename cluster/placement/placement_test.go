package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/cluster/placement"
)

func nodes(n int) (all []placement.Node) {
	for i := range n {
		all = append(all, placement.Node{ID: uint64(100 + i), Name: fmt.Sprintf("rabbit@n%02d", i)})
	}
	return all
}

// do carries a plan out.
func do(shards []placement.Shard, p placement.Plan) []placement.Shard {
	shards = slices.Clone(shards)
	for _, c := range p.Changes {
		for i := range shards {
			if shards[i].ID == c.Shard {
				shards[i].Replicas = c.Replicas
			}
		}
	}
	for _, s := range p.Make {
		s.ID = uint64(len(shards) + 2)
		shards = append(shards, s)
	}
	return shards
}

// A cluster grows from one node to five: what there is stays where it is as far
// as it can, and every node leads alike.
func TestGrow(t *testing.T) {
	var shards []placement.Shard
	auto := []placement.Wish{{}}
	for n := 1; n <= 5; n++ {
		before := shards
		p := placement.Make(nodes(n), shards, auto, 2)
		shards = do(shards, p)
		if again := placement.Make(nodes(n), shards, auto, 2); len(again.Changes)+len(again.Make) > 0 {
			t.Fatalf("%d nodes: the plan plans again: %+v", n, again)
		}
		lead, held := map[uint64]int{}, map[uint64]int{}
		for _, s := range shards {
			if len(s.Replicas) != min(3, n) {
				t.Fatalf("%d nodes: shard %d on %v", n, s.ID, s.Replicas)
			}
			lead[s.Replicas[0]]++
			for _, id := range s.Replicas {
				held[id]++
			}
		}
		for _, x := range nodes(n) {
			if lead[x.ID] != 2 || held[x.ID] != 2*min(3, n) {
				t.Fatalf("%d nodes: %s leads %d and holds %d", n, x.Name, lead[x.ID], held[x.ID])
			}
		}
		for i, s := range before {
			kept := 0
			for _, id := range s.Replicas {
				if slices.Contains(shards[i].Replicas, id) {
					kept++
				}
			}
			if kept == 0 {
				t.Fatalf("%d nodes: shard %d moved altogether from %v to %v", n, s.ID, s.Replicas, shards[i].Replicas)
			}
		}
	}
}

func TestWishes(t *testing.T) {
	for _, c := range []struct {
		wish string
		want []int // replicas of each shard with four nodes
	}{
		{"auto", []int{3, 3, 3, 3}},
		{"all", []int{4, 4, 4, 4}},
		{"exactly 2", []int{2, 2, 2, 2}},
		{"exactly 9", []int{4, 4, 4, 4}},
		{"nodes rabbit@n01 rabbit@n03", []int{2, 2}},
		{"nodes rabbit@gone", []int{3, 3, 3, 3}},
	} {
		w, err := placement.ParseWish(c.wish)
		if err != nil {
			t.Fatal(err)
		}
		if w.String() != c.wish {
			t.Errorf("%q is written as %q", c.wish, w)
		}
		p := placement.Make(nodes(4), nil, []placement.Wish{w}, 1)
		var got []int
		for _, s := range p.Make {
			got = append(got, len(s.Replicas))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.wish, got, c.want)
		}
	}
	for _, bad := range []string{"exactly", "exactly 0", "exactly x", "nodes", "some"} {
		if _, err := placement.ParseWish(bad); err == nil {
			t.Errorf("%q is a wish", bad)
		}
	}
}

// Whatever nodes come, go and drain: a plan done is a plan that stands, nothing
// is on a node that should hold nothing, sets are whole, and no node leads more
// than one shard beyond another's.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wishes := []placement.Wish{{}, {Kind: placement.All}, {Kind: placement.Exactly, N: 2}}
		per := rapid.IntRange(1, 4).Draw(t, "per node")
		var shards []placement.Shard
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			ns := nodes(rapid.IntRange(1, 7).Draw(t, "nodes"))
			for i := range ns[1:] {
				ns[i+1].Out = rapid.IntRange(0, 4).Draw(t, "out") == 0
			}
			shards = do(shards, placement.Make(ns, shards, wishes, per))
			if again := placement.Make(ns, shards, wishes, per); len(again.Changes)+len(again.Make) > 0 {
				t.Fatalf("the plan plans again: %+v", again)
			}
			in := map[uint64]bool{}
			for _, n := range ns {
				in[n.ID] = !n.Out
			}
			size := 0
			for _, ok := range in {
				if ok {
					size++
				}
			}
			lead := map[string]map[uint64]int{}
			for _, s := range shards {
				want := map[placement.Kind]int{placement.Auto: min(3, size), placement.All: size, placement.Exactly: min(2, size)}[s.Wish.Kind]
				if len(s.Replicas) != want {
					t.Fatalf("shard %d (%s) on %v of %d nodes", s.ID, s.Wish, s.Replicas, size)
				}
				for i, id := range s.Replicas {
					if !in[id] || slices.Contains(s.Replicas[:i], id) {
						t.Fatalf("shard %d on %v", s.ID, s.Replicas)
					}
				}
				k := s.Wish.String()
				if lead[k] == nil {
					lead[k] = map[uint64]int{}
				}
				lead[k][s.Replicas[0]]++
			}
			for k, counts := range lead {
				least, most := 1<<30, 0
				for id, ok := range in {
					if ok {
						least, most = min(least, counts[id]), max(most, counts[id])
					}
				}
				if most-least > 1 {
					t.Fatalf("%s: leaders %v", k, counts)
				}
			}
		}
	})
}

func TestPick(t *testing.T) {
	shards := []placement.Shard{{ID: 9}, {ID: 4}, {ID: 5, Wish: placement.Wish{Kind: placement.All}}}
	seen := map[uint64]bool{}
	for h := range uint64(10) {
		id, ok := placement.Pick(shards, placement.Wish{}, h)
		if !ok {
			t.Fatal("none")
		}
		seen[id] = true
	}
	if len(seen) != 2 || seen[5] {
		t.Fatalf("picked %v", seen)
	}
	if _, ok := placement.Pick(shards, placement.Wish{Kind: placement.Exactly, N: 1}, 1); ok {
		t.Fatal("picked a shard of another wish")
	}
}
