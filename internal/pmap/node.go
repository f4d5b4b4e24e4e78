package pmap

import (
	"slices"
	"strings"
)

const (
	// maxFill is the most keys a node holds; a fuller one splits in halves.
	maxFill = 32
	// minFill is where a node is merged with a neighbour, if both fit in one.
	minFill = 8
)

// A node is immutable once it is reachable from a map. Its slices may be shared
// with other nodes.
//
// A leaf has one value per key. An inner node has one child per key: kids[i]
// holds the keys from keys[i] up to keys[i+1], and kids[0] also those below
// keys[0].
type node[V any] struct {
	shared int      // leading bytes that all keys have in common; text keys only
	heads  []uint64 // the key itself (Ints), or its eight bytes behind shared
	keys   []string // nil in an Ints
	vals   []V
	kids   []*node[V]
}

// A probe is a key in search of its place.
type probe struct {
	text    string
	num     uint64
	textual bool
}

// find returns the place of the first key that is not below p, and whether it
// equals p.
func (n *node[V]) find(p probe) (int, bool) {
	if !p.textual {
		i := lowerBound(n.heads, p.num)
		return i, i < len(n.heads) && n.heads[i] == p.num
	}
	common := n.keys[0][:n.shared]
	if !strings.HasPrefix(p.text, common) {
		if p.text < common {
			return 0, false
		}
		return len(n.keys), false
	}
	h := head(p.text[n.shared:])
	i := lowerBound(n.heads, h)
	for ; i < len(n.heads) && n.heads[i] == h; i++ {
		if n.keys[i] >= p.text {
			return i, n.keys[i] == p.text
		}
	}
	return i, false
}

// child returns the place of the kid that holds p if any does.
func (n *node[V]) child(p probe) int {
	i, found := n.find(p)
	if !found && i > 0 {
		i--
	}
	return i
}

// get returns where the value of p stands, or nil.
func (n *node[V]) get(p probe) *V {
	if n == nil {
		return nil
	}
	for n.kids != nil {
		n = n.kids[n.child(p)]
	}
	if !p.textual {
		if i, found := n.find(p); found {
			return &n.vals[i]
		}
		return nil
	}
	// Only equality counts here, so the shared prefix, which would be one more
	// cache miss, is left to the comparison of the whole key.
	if len(p.text) < n.shared {
		return nil
	}
	h := head(p.text[n.shared:])
	for i := lowerBound(n.heads, h); i < len(n.heads) && n.heads[i] == h; i++ {
		if n.keys[i] == p.text {
			return &n.vals[i]
		}
	}
	return nil
}

// set returns n with v at p. If the result was too full it is two nodes.
func (n *node[V]) set(p probe, v V) (left, right *node[V], added bool) {
	if n == nil {
		leaf := &node[V]{vals: []V{v}}
		leaf.withKey(&node[V]{}, 0, p)
		return leaf, nil, true
	}
	if n.kids == nil {
		return n.setLeaf(p, v)
	}
	i := n.child(p)
	kid, split, added := n.kids[i].set(p, v)
	out := &node[V]{shared: n.shared, heads: n.heads, keys: n.keys, kids: slices.Clone(n.kids)}
	out.kids[i] = kid
	if split == nil {
		return out, nil, added
	}
	out.kids = slices.Insert(out.kids, i+1, split)
	out.withKey(n, i+1, split.lowest())
	left, right = out.split(i + 1)
	return left, right, added
}

func (n *node[V]) setLeaf(p probe, v V) (left, right *node[V], added bool) {
	i, found := n.find(p)
	out := &node[V]{}
	if found {
		*out = *n
		out.vals = slices.Clone(n.vals)
		out.vals[i] = v
		return out, nil, false
	}
	out.vals = inserted(n.vals, i, v)
	out.withKey(n, i, p)
	left, right = out.split(i)
	return left, right, true
}

// split halves a node that the entry at place last made too full. Where keys
// arrive in ascending order, as ids do, the left part stays almost full.
func (n *node[V]) split(last int) (left, right *node[V]) {
	if len(n.heads) <= maxFill {
		return n, nil
	}
	mid := len(n.heads) / 2
	if last == len(n.heads)-1 {
		mid = last - minFill/2
	}
	return n.part(0, mid), n.part(mid, len(n.heads))
}

// part returns a node of its own with the entries [lo, hi).
func (n *node[V]) part(lo, hi int) *node[V] {
	out := &node[V]{shared: n.shared, heads: slices.Clone(n.heads[lo:hi])}
	if n.keys != nil {
		out.keys = slices.Clone(n.keys[lo:hi])
	}
	if n.kids != nil {
		out.kids = slices.Clone(n.kids[lo:hi])
	} else {
		out.vals = slices.Clone(n.vals[lo:hi])
	}
	out.seal(n.shared)
	return out
}

// del returns n without p, or nil if nothing is left.
func (n *node[V]) del(p probe) (out *node[V], deleted bool) {
	if n == nil {
		return nil, false
	}
	if n.kids == nil {
		i, found := n.find(p)
		if !found {
			return n, false
		}
		return n.without(i), true
	}
	i := n.child(p)
	kid, deleted := n.kids[i].del(p)
	if !deleted {
		return n, false
	}
	if kid == nil {
		return n.without(i), true
	}
	out = &node[V]{shared: n.shared, heads: n.heads, keys: n.keys, kids: slices.Clone(n.kids)}
	out.kids[i] = kid
	if len(kid.heads) < minFill {
		out.mergeAround(i)
	}
	return out, true
}

// without returns n without its entry i, or nil.
func (n *node[V]) without(i int) *node[V] {
	if len(n.heads) == 1 {
		return nil
	}
	out := &node[V]{shared: n.shared, heads: removed(n.heads, i)}
	if n.keys != nil {
		out.keys = removed(n.keys, i)
	}
	if n.kids != nil {
		out.kids = removed(n.kids, i)
	} else {
		out.vals = removed(n.vals, i)
	}
	out.seal(n.shared)
	return out
}

// mergeAround joins kid i of the inner node n, which is not shared yet, with a
// neighbour if both fit in one node.
func (n *node[V]) mergeAround(i int) {
	switch {
	case i > 0 && len(n.kids[i-1].heads)+len(n.kids[i].heads) <= maxFill:
		i--
	case i+1 < len(n.kids) && len(n.kids[i].heads)+len(n.kids[i+1].heads) <= maxFill:
	default:
		return
	}
	sep := probe{num: n.heads[i+1]}
	if n.keys != nil {
		sep = probe{text: n.keys[i+1], textual: true}
	}
	kid := n.kids[i].join(n.kids[i+1], sep)
	kids := removed(n.kids, i+1)
	kids[i] = kid
	n.kids = kids
	n.heads = removed(n.heads, i+1)
	if n.keys != nil {
		n.keys = removed(n.keys, i+1)
	}
	n.seal(n.shared)
}

// join returns n followed by next. sep is the bound between them: it replaces
// the first key of an inner next, whose first kid may hold keys below it.
func (n *node[V]) join(next *node[V], sep probe) *node[V] {
	out := &node[V]{shared: -1, heads: slices.Concat(n.heads, next.heads)}
	if n.keys != nil {
		out.keys = slices.Concat(n.keys, next.keys)
	}
	if n.kids == nil {
		out.vals = slices.Concat(n.vals, next.vals)
	} else {
		out.kids = slices.Concat(n.kids, next.kids)
		if sep.textual {
			out.keys[len(n.keys)] = sep.text
		} else {
			out.heads[len(n.heads)] = sep.num
		}
	}
	out.seal(-1)
	return out
}

// lowest returns the node's first key.
func (n *node[V]) lowest() probe {
	if n.keys == nil {
		return probe{num: n.heads[0]}
	}
	return probe{text: n.keys[0], textual: true}
}

// withKey gives n the keys of old and p at place i.
func (n *node[V]) withKey(old *node[V], i int, p probe) {
	if !p.textual {
		n.heads = inserted(old.heads, i, p.num)
		return
	}
	n.keys = inserted(old.keys, i, p.text)
	n.shared = commonPrefix(n.keys[0], n.keys[len(n.keys)-1])
	if n.shared == old.shared && len(old.keys) > 0 {
		n.heads = inserted(old.heads, i, head(p.text[n.shared:]))
		return
	}
	n.heads = headsOf(n.keys, n.shared)
}

// seal recomputes what depends on all keys together; heads were made for keys
// with the given shared prefix.
func (n *node[V]) seal(shared int) {
	if n.keys == nil {
		return
	}
	n.shared = commonPrefix(n.keys[0], n.keys[len(n.keys)-1])
	if n.shared != shared {
		n.heads = headsOf(n.keys, n.shared)
	}
}

// walk yields the entries from p on, in order, until yield returns false.
func (n *node[V]) walk(p probe, yield func(*node[V], int) bool) bool {
	if n == nil {
		return true
	}
	if n.kids == nil {
		i, _ := n.find(p)
		return n.walkLeaf(i, yield)
	}
	i := n.child(p)
	if !n.kids[i].walk(p, yield) {
		return false
	}
	for _, kid := range n.kids[i+1:] {
		if !kid.walkAll(yield) {
			return false
		}
	}
	return true
}

func (n *node[V]) walkAll(yield func(*node[V], int) bool) bool {
	if n == nil {
		return true
	}
	for _, kid := range n.kids {
		if !kid.walkAll(yield) {
			return false
		}
	}
	return n.kids != nil || n.walkLeaf(0, yield)
}

func (n *node[V]) walkLeaf(from int, yield func(*node[V], int) bool) bool {
	for i := from; i < len(n.heads); i++ {
		if !yield(n, i) {
			return false
		}
	}
	return true
}

// head packs the first eight bytes of s so that heads compare as their strings
// do, as far as they go.
func head(s string) uint64 {
	if len(s) >= 8 {
		return uint64(s[0])<<56 | uint64(s[1])<<48 | uint64(s[2])<<40 | uint64(s[3])<<32 |
			uint64(s[4])<<24 | uint64(s[5])<<16 | uint64(s[6])<<8 | uint64(s[7])
	}
	var h uint64
	for i := 0; i < len(s); i++ {
		h |= uint64(s[i]) << (56 - 8*i)
	}
	return h
}

func headsOf(keys []string, shared int) []uint64 {
	heads := make([]uint64, len(keys))
	for i, k := range keys {
		heads[i] = head(k[shared:])
	}
	return heads
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := 0; i < n; i++ {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// lowerBound returns the place of the first head that is not below h.
func lowerBound(heads []uint64, h uint64) int {
	lo, hi := 0, len(heads)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if heads[mid] < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func inserted[T any](s []T, i int, v T) []T {
	out := make([]T, len(s)+1)
	copy(out, s[:i])
	out[i] = v
	copy(out[i+1:], s[i:])
	return out
}

func removed[T any](s []T, i int) []T {
	out := make([]T, len(s)-1)
	copy(out, s[:i])
	copy(out[i:], s[i+1:])
	return out
}
