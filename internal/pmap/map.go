package pmap

import (
	"iter"
	"strings"
	"unsafe"
)

// A Map is a persistent map with string keys. The zero Map is empty. Maps are
// values: copy them freely.
type Map[V any] struct {
	root *node[V]
	n    int
}

// Len returns the number of entries.
func (m Map[V]) Len() int { return m.n }

// Get returns the value of key. It allocates nothing.
func (m Map[V]) Get(key string) (V, bool) {
	if v := m.root.get(probe{text: key, textual: true}); v != nil {
		return *v, true
	}
	var zero V
	return zero, false
}

// GetBytes is Get for a key that is still in a buffer. It keeps nothing of it
// and allocates nothing.
func (m Map[V]) GetBytes(key []byte) (V, bool) {
	return m.Get(unsafe.String(unsafe.SliceData(key), len(key)))
}

// Set returns the map with v as the value of key.
func (m Map[V]) Set(key string, v V) Map[V] {
	root, added := setRoot(m.root, probe{text: key, textual: true}, v)
	if added {
		m.n++
	}
	return Map[V]{root: root, n: m.n}
}

// Delete returns the map without key; the same map if it has none.
func (m Map[V]) Delete(key string) Map[V] {
	root, deleted := delRoot(m.root, probe{text: key, textual: true})
	if !deleted {
		return m
	}
	return Map[V]{root: root, n: m.n - 1}
}

// All iterates over the entries in key order.
func (m Map[V]) All() iter.Seq2[string, V] { return m.From("") }

// From iterates over the entries from key on, in key order.
func (m Map[V]) From(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		m.root.walk(probe{text: key, textual: true}, func(n *node[V], i int) bool {
			return yield(n.keys[i], n.vals[i])
		})
	}
}

// Prefix iterates over the entries whose keys begin with prefix, in key order.
func (m Map[V]) Prefix(prefix string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		m.root.walk(probe{text: prefix, textual: true}, func(n *node[V], i int) bool {
			return strings.HasPrefix(n.keys[i], prefix) && yield(n.keys[i], n.vals[i])
		})
	}
}

func setRoot[V any](root *node[V], p probe, v V) (*node[V], bool) {
	left, right, added := root.set(p, v)
	if right == nil {
		return left, added
	}
	top := &node[V]{kids: []*node[V]{left, right}}
	if p.textual {
		top.keys = []string{left.keys[0], right.keys[0]}
	} else {
		top.heads = []uint64{left.heads[0], right.heads[0]}
	}
	top.seal(-1)
	return top, added
}

func delRoot[V any](root *node[V], p probe) (*node[V], bool) {
	out, deleted := root.del(p)
	for deleted && out != nil && len(out.kids) == 1 {
		out = out.kids[0]
	}
	return out, deleted
}
