package state

import "bytes"

// node is the root of an immutable ordered map: a treap whose every change
// copies the path to it, so that a snapshot is a pointer. The ranks that
// balance it are a function of the keys, so that its shape depends on nothing
// but its content. A nil node is the empty map.
type node struct {
	key, value  []byte
	rank        uint64
	left, right *node
}

// rank spreads keys evenly: FNV-1a, finished as splitmix64 does.
func rank(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// seek returns the first node at or after key.
func (n *node) seek(key []byte) (found *node) {
	for n != nil {
		if bytes.Compare(n.key, key) >= 0 {
			found, n = n, n.left
		} else {
			n = n.right
		}
	}
	return found
}

// after returns the first node after key.
func (n *node) after(key []byte) (found *node) {
	for n != nil {
		if bytes.Compare(n.key, key) > 0 {
			found, n = n, n.left
		} else {
			n = n.right
		}
	}
	return found
}

// with returns a copy of n with other children.
func (n *node) with(left, right *node) *node {
	return &node{key: n.key, value: n.value, rank: n.rank, left: left, right: right}
}

// split divides into keys below key and the others.
func (n *node) split(key []byte) (below, rest *node) {
	if n == nil {
		return nil, nil
	}
	if bytes.Compare(n.key, key) < 0 {
		below, rest = n.right.split(key)
		return n.with(n.left, below), rest
	}
	below, rest = n.left.split(key)
	return below, n.with(rest, n.right)
}

// join puts b behind a; every key of a is below every key of b.
func join(a, b *node) *node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.rank > b.rank:
		return a.with(a.left, join(a.right, b))
	default:
		return b.with(join(a, b.left), b.right)
	}
}

// set adds the childless node x, or puts it in the place of the node with its
// key. That node has x's rank, so the way down cannot end above it.
func (n *node) set(x *node) *node {
	if n == nil || x.rank > n.rank {
		return x.with(n.split(x.key))
	}
	switch c := bytes.Compare(x.key, n.key); {
	case c < 0:
		return n.with(n.left.set(x), n.right)
	case c > 0:
		return n.with(n.left, n.right.set(x))
	default:
		return x.with(n.left, n.right)
	}
}

// without drops the keys in [lower, upper).
func (n *node) without(lower, upper []byte) *node {
	below, rest := n.split(lower)
	_, above := rest.split(upper)
	return join(below, above)
}
