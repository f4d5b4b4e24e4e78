// Package placement says which nodes hold which shard, and which shard a new
// queue goes to. It is pure: the same nodes, shards and wishes give the same
// plan, wherever and however often it is made.
//
// Sets of replicas come from a ring: with n nodes and a factor f there are n
// sets, each of f neighbours, whose first node should lead. So every node leads
// and follows alike, and few different sets of nodes can lose their majority
// together. A shard keeps as many of its replicas as the balance allows.
package placement

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxShards is how many shards a node may have.
const MaxShards = 64

// DefaultFactor is how many replicas a queue has if nobody says otherwise, as far
// as there are nodes.
const DefaultFactor = 3

// A Node is a member.
type Node struct {
	ID   uint64
	Name string
	// Out says that it is to hold nothing: it drains, or is about to be removed.
	Out bool
}

// Kind of a Wish.
type Kind uint8

// Kinds of wishes. They stand in the catalog as Wish.String writes them.
const (
	// Auto is DefaultFactor replicas, grown as nodes join.
	Auto Kind = iota
	// Exactly is N replicas, or as many as there are nodes.
	Exactly
	// All is a replica on every node.
	All
	// Named is a replica on each of the nodes named.
	Named
)

// A Wish is what a policy or an argument says of a queue's replicas.
type Wish struct {
	Kind  Kind
	N     int
	Nodes []string // by name, sorted
}

// String writes a wish as ParseWish reads it.
func (w Wish) String() string {
	switch w.Kind {
	case Exactly:
		return "exactly " + strconv.Itoa(w.N)
	case All:
		return "all"
	case Named:
		return "nodes " + strings.Join(w.Nodes, " ")
	}
	return "auto"
}

// ParseWish reads what String wrote; nothing is Auto.
func ParseWish(s string) (Wish, error) {
	kind, rest, _ := strings.Cut(s, " ")
	switch {
	case s == "" || s == "auto":
		return Wish{}, nil
	case s == "all":
		return Wish{Kind: All}, nil
	case kind == "exactly":
		if n, err := strconv.Atoi(rest); err == nil && n > 0 {
			return Wish{Kind: Exactly, N: n}, nil
		}
	case kind == "nodes" && rest != "":
		names := strings.Split(rest, " ")
		slices.Sort(names)
		return Wish{Kind: Named, Nodes: slices.Compact(names)}, nil
	}
	return Wish{}, fmt.Errorf("placement: %q is no wish for replicas", s)
}

// sets returns the sets of replicas that a wish allows, each led by its first
// node. There is none only if there is no node.
func (w Wish) sets(nodes []Node) [][]uint64 {
	var in []uint64
	for _, n := range nodes {
		if !n.Out && (w.Kind != Named || slices.Contains(w.Nodes, n.Name)) {
			in = append(in, n.ID)
		}
	}
	if len(in) == 0 {
		if w.Kind == Named { // none of them is there: better elsewhere than nowhere
			return Wish{}.sets(nodes)
		}
		return nil
	}
	f := len(in)
	switch w.Kind {
	case Auto:
		f = min(f, DefaultFactor)
	case Exactly:
		f = min(f, w.N)
	}
	sets := make([][]uint64, len(in))
	for i := range in {
		for k := range f {
			sets[i] = append(sets[i], in[(i+k)%len(in)])
		}
	}
	return sets
}

// A Shard is a shard as it is. Replicas are in the order of who should lead.
type Shard struct {
	ID       uint64
	Wish     Wish
	Replicas []uint64
	Queues   int
}

// A Change says which replicas a shard should have instead.
type Change struct {
	Shard    uint64
	Replicas []uint64
}

// A Plan is what has to change.
type Plan struct {
	Changes []Change
	// Make are shards that are missing.
	Make []Shard
}

// Make plans: every node should lead per shards of each wish in use, and hold
// at most MaxShards. wishes are those for which there should be shards even if
// there are none yet. Nodes and shards may come in any order.
func Make(nodes []Node, shards []Shard, wishes []Wish, per int) (p Plan) {
	nodes = sorted(nodes)
	byWish := map[string][]Shard{}
	var keys []string
	note := func(w Wish) string {
		k := w.String()
		if _, ok := byWish[k]; !ok {
			byWish[k] = nil
			keys = append(keys, k)
		}
		return k
	}
	for _, w := range wishes {
		note(w)
	}
	for _, s := range shards {
		k := note(s.Wish)
		byWish[k] = append(byWish[k], s)
	}
	slices.Sort(keys)
	held := map[uint64]int{}
	for _, k := range keys {
		w, err := ParseWish(k)
		if err != nil {
			continue // it is what String wrote
		}
		p.wish(w, w.sets(nodes), byWish[k], per, held)
	}
	return p
}

func sorted(nodes []Node) []Node {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return nodes
}

// wish assigns the shards of one wish to its sets, evenly; held counts the
// shards of the nodes.
func (p *Plan) wish(w Wish, sets [][]uint64, shards []Shard, per int, held map[uint64]int) {
	if len(sets) == 0 {
		return
	}
	slices.SortFunc(shards, func(a, b Shard) int { return cmp.Compare(a.ID, b.ID) })
	total := max(len(shards), len(sets)*per)
	// Every set has so many shards, and some one more.
	each, more := total/len(sets), total%len(sets)
	used := make([]int, len(sets))
	assigned := make([]int, len(shards))
	for i := range assigned {
		assigned[i] = -1
	}
	// Those that stay as they are come first, then those that move least.
	for _, least := range [...]func(Shard, []uint64) bool{
		func(s Shard, set []uint64) bool { return slices.Equal(s.Replicas, set) },
		func(s Shard, set []uint64) bool { return overlap(s.Replicas, set) == len(set) },
		func(Shard, []uint64) bool { return true },
	} {
		for i, s := range shards {
			if assigned[i] >= 0 {
				continue
			}
			best := -1
			for k, set := range sets {
				if used[k] > each || used[k] == each && more == 0 || !least(s, set) {
					continue
				}
				if best < 0 || better(s, sets[k], used[k], sets[best], used[best]) {
					best = k
				}
			}
			if best >= 0 {
				assigned[i] = best
				if used[best]++; used[best] > each {
					more--
				}
			}
		}
	}
	for i, s := range shards {
		set := sets[assigned[i]]
		for _, id := range set {
			held[id]++
		}
		if !slices.Equal(s.Replicas, set) {
			p.Changes = append(p.Changes, Change{s.ID, set})
		}
	}
	for k := range sets {
		for ; used[k] < per; used[k]++ {
			if slices.ContainsFunc(sets[k], func(id uint64) bool { return held[id] >= MaxShards }) {
				break
			}
			for _, id := range sets[k] {
				held[id]++
			}
			p.Make = append(p.Make, Shard{Wish: w, Replicas: sets[k]})
		}
	}
}

// better reports whether a set suits a shard better than another: more of its
// replicas stay, then the one that leads, then the set that has fewer shards.
func better(s Shard, a []uint64, usedA int, b []uint64, usedB int) bool {
	if oa, ob := overlap(s.Replicas, a), overlap(s.Replicas, b); oa != ob {
		return oa > ob
	}
	if len(s.Replicas) > 0 {
		if la, lb := a[0] == s.Replicas[0], b[0] == s.Replicas[0]; la != lb {
			return la
		}
	}
	return usedA < usedB
}

func overlap(a, b []uint64) (n int) {
	for _, id := range b {
		if slices.Contains(a, id) {
			n++
		}
	}
	return n
}

// Pick returns the shard for a new queue with a wish: by a hash of its name
// among those of the wish, so that any node picks the same. ok is false if there
// is none yet.
func Pick(shards []Shard, w Wish, hash uint64) (id uint64, ok bool) {
	key := w.String()
	var in []uint64
	for _, s := range shards {
		if s.Wish.String() == key {
			in = append(in, s.ID)
		}
	}
	if len(in) == 0 {
		return 0, false
	}
	slices.Sort(in)
	return in[hash%uint64(len(in))], true
}
