package pmap

import "iter"

// An Ints is a persistent map with uint64 keys. The zero Ints is empty. Like
// Maps, Ints are values.
type Ints[V any] struct {
	root *node[V]
	n    int
}

// Len returns the number of entries.
func (m Ints[V]) Len() int { return m.n }

// Get returns the value of key. It allocates nothing.
func (m Ints[V]) Get(key uint64) (V, bool) {
	if v := m.root.get(probe{num: key}); v != nil {
		return *v, true
	}
	var zero V
	return zero, false
}

// Set returns the map with v as the value of key.
func (m Ints[V]) Set(key uint64, v V) Ints[V] {
	root, added := setRoot(m.root, probe{num: key}, v)
	if added {
		m.n++
	}
	return Ints[V]{root: root, n: m.n}
}

// Delete returns the map without key; the same map if it has none.
func (m Ints[V]) Delete(key uint64) Ints[V] {
	root, deleted := delRoot(m.root, probe{num: key})
	if !deleted {
		return m
	}
	return Ints[V]{root: root, n: m.n - 1}
}

// All iterates over the entries in key order.
func (m Ints[V]) All() iter.Seq2[uint64, V] { return m.From(0) }

// From iterates over the entries from key on, in key order.
func (m Ints[V]) From(key uint64) iter.Seq2[uint64, V] {
	return func(yield func(uint64, V) bool) {
		m.root.walk(probe{num: key}, func(n *node[V], i int) bool {
			return yield(n.heads[i], n.vals[i])
		})
	}
}

// AppendKeys appends all keys of m, in order, to dst.
func AppendKeys[K ~uint64, V any](dst []K, m Ints[V]) []K { return appendKeys(dst, m.root) }

func appendKeys[K ~uint64, V any](dst []K, n *node[V]) []K {
	if n == nil {
		return dst
	}
	for _, kid := range n.kids {
		dst = appendKeys(dst, kid)
	}
	if n.kids == nil {
		for _, h := range n.heads {
			dst = append(dst, K(h))
		}
	}
	return dst
}
