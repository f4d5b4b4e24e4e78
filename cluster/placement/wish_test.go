package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/cluster/placement"
)

func aWish(t *rapid.T, label string) placement.Wish {
	switch rapid.IntRange(0, 3).Draw(t, label) {
	case 0:
		return placement.Wish{}
	case 1:
		return placement.Copies(rapid.IntRange(1, 9).Draw(t, "replicas"))
	case 2:
		return placement.Wish{Kind: placement.All}
	}
	var names []string
	for _, k := range rapid.SliceOfN(rapid.IntRange(0, 9), 1, 4).Draw(t, "named") {
		names = append(names, fmt.Sprintf("rabbit@n%02d", k))
	}
	return placement.On(names...)
}

// gives reports whether a set of replicas is what a wish promises, in so many
// nodes: worked out anew from the words.
func gives(set []uint64, w placement.Wish, ns []placement.Node) bool {
	want := map[placement.Kind]int{
		placement.Auto: 3, placement.Exactly: w.N, placement.All: len(ns),
	}[w.Kind]
	if len(set) < min(want, len(ns)) {
		return false
	}
	for _, n := range ns {
		if w.Kind == placement.Named && slices.Contains(w.Nodes, n.Name) && !slices.Contains(set, n.ID) {
			return false
		}
	}
	return true
}

// What two wishes ask for together, every set of replicas of the joined wish
// gives to both, whatever nodes there are; and it is written and read again.
func TestJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := aWish(t, "a"), aWish(t, "b")
		j := placement.Join(a, b)
		if !j.Gives(a) || !j.Gives(b) || !j.Gives(j) {
			t.Fatalf("%s does not give %s and %s", j, a, b)
		}
		if again, err := placement.ParseWish(j.String()); err != nil || again.String() != j.String() {
			t.Fatalf("%q is read as %q, %v", j, again, err)
		}
		if o := placement.Join(b, a); o.String() != j.String() {
			t.Fatalf("%s one way, %s the other", j, o)
		}
		ns := nodes(rapid.IntRange(1, 10).Draw(t, "nodes"))
		for _, s := range placement.Make(ns, nil, []placement.Wish{j}, 1).Make {
			if !gives(s.Replicas, a, ns) || !gives(s.Replicas, b, ns) {
				t.Fatalf("%s on %d nodes is %v, which is too little for %s and %s", j, len(ns), s.Replicas, a, b)
			}
		}
	})
}

func TestGives(t *testing.T) {
	all, one, two, five := placement.Wish{Kind: placement.All}, placement.Copies(1), placement.Copies(2), placement.Copies(5)
	auto, named := placement.Wish{}, placement.On("rabbit@n01", "rabbit@n02")
	for _, c := range []struct {
		has, asked placement.Wish
		want       bool
	}{
		{auto, two, true},
		{auto, one, true},
		{auto, five, false},
		{auto, all, false},
		{auto, named, false},
		{one, auto, false},
		{five, auto, true},
		{all, named, true},
		{named, two, false},
		{named, auto, false},
		{placement.Copies(3), auto, true},
		{placement.Copies(100), all, true},
	} {
		if got := c.has.Gives(c.asked); got != c.want {
			t.Errorf("%s gives %s: %v", c.has, c.asked, got)
		}
	}
}

// A shard whose queues ask for more is replicated so where it stands. Nothing is
// made for what it was raised to, and of what it was made for no more than one
// shard a set takes its place; when nobody asks any more it is as it was.
func TestRaised(t *testing.T) {
	ns, auto := nodes(4), []placement.Wish{{}}
	shards := do(nil, placement.Make(ns, nil, auto, 2))
	before := len(shards)
	for range 3 { // a policy that is set and cleared again and again
		for i := range before - 1 {
			shards[i].Asked, shards[i].Raised = placement.Wish{Kind: placement.All}, true
		}
		p := placement.Make(ns, shards, auto, 2)
		shards = do(shards, p)
		if again := placement.Make(ns, shards, auto, 2); len(again.Changes)+len(again.Make) > 0 {
			t.Fatalf("the plan plans again: %+v", again)
		}
		for _, s := range shards {
			if want := map[bool]int{true: 4, false: 3}[s.Raised]; len(s.Replicas) != want {
				t.Fatalf("shard %d, raised %v, is on %v", s.ID, s.Raised, s.Replicas)
			}
		}
		if id, ok := placement.Pick(shards, placement.Wish{Kind: placement.All}, 1); !ok || !shards[slices.IndexFunc(shards, func(s placement.Shard) bool { return s.ID == id })].Raised {
			t.Fatalf("a queue that is to be on all nodes is placed in %d, %v", id, ok)
		}
		if len(shards) > before+len(ns) {
			t.Fatalf("there were %d shards, and are %d", before, len(shards))
		}
		for i := range shards {
			shards[i].Raised = false
		}
		shards = do(shards, placement.Make(ns, shards, auto, 2))
	}
}
