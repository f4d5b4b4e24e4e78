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
	"slices"
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

// A Shard is a shard as it is. Replicas are in the order of who should lead.
type Shard struct {
	ID       uint64
	Wish     Wish // that it was made for
	Replicas []uint64
	Queues   int
	// Asked is what it should give now, if Raised: its queues ask for more than it
	// was made for.
	Asked  Wish
	Raised bool
}

// wish is what a shard should give.
func (s *Shard) wish() Wish {
	if s.Raised {
		return s.Asked
	}
	return s.Wish
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

// Make plans: every node should lead per shards of each wish that shards were
// made for, and hold at most MaxShards. wishes are those for which there should
// be shards even if there are none yet. Nodes and shards may come in any order.
//
// Shards that are raised take others' place: there are fewer new ones of the wish
// they were made for, but never none.
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
	fill, lent := map[string]bool{}, map[string]int{}
	for _, w := range wishes {
		fill[note(w)] = true
	}
	for _, s := range shards {
		k := note(s.wish())
		byWish[k] = append(byWish[k], s)
		if base := s.Wish.String(); base != k {
			lent[base]++
		} else {
			fill[k] = true
		}
	}
	slices.Sort(keys)
	held := map[uint64]int{}
	for _, k := range keys {
		w, err := ParseWish(k)
		if err != nil {
			continue // it is what String wrote
		}
		sets, each := w.sets(nodes), 0
		if fill[k] && len(sets) > 0 {
			each = max(1, per-lent[k]/len(sets))
		}
		p.wish(w, sets, byWish[k], each, held)
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
		if w := s.wish(); w.String() == key {
			in = append(in, s.ID)
		}
	}
	if len(in) == 0 {
		return 0, false
	}
	slices.Sort(in)
	return in[hash%uint64(len(in))], true
}
