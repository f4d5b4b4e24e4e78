package pmap

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

// A Hash is a persistent map with string keys for look-ups alone: it is several
// times faster than a Map to read and has no order, so it cannot be iterated
// over. The zero Hash is empty. Like Maps, Hashes are values.
//
// It is a hash trie of 64-way nodes. The hash has no secret: names that collide
// on purpose end together in a Map, so they cost O(log n) like any others.
type Hash[V any] struct {
	root *slot[V]
	n    int
}

// A slot is one node of the trie, immutable once reachable.
type slot[V any] struct {
	leafBits, kidBits uint64 // which of the 64 places hold an entry, or a node
	leaves            []leaf[V]
	kids              []*slot[V]
}

type leaf[V any] struct {
	key string
	val V
	// crowd, in a node behind the last bits of the hash, holds all entries of
	// one hash; key and val are then unused.
	crowd *Map[V]
}

const (
	slotBits = 6
	// lastShift is where the hash is used up.
	lastShift = 66
)

// Len returns the number of entries.
func (h Hash[V]) Len() int { return h.n }

// Get returns the value of key. It allocates nothing.
func (h Hash[V]) Get(key string) (v V, ok bool) {
	if h.root == nil {
		return v, false
	}
	return h.GetSum(Sum(key), key)
}

// GetSum is Get for a key whose Sum is known, as when it is looked up in many
// maps.
func (h Hash[V]) GetSum(sum uint64, key string) (v V, ok bool) {
	s := h.root
	if s == nil {
		return v, false
	}
	for shift := uint(0); ; shift += slotBits {
		bit := uint64(1) << (sum >> shift & 63)
		if s.leafBits&bit != 0 {
			l := &s.leaves[bits.OnesCount64(s.leafBits&(bit-1))]
			if l.crowd != nil {
				return l.crowd.Get(key)
			}
			if l.key == key {
				return l.val, true
			}
			return v, false
		}
		if s.kidBits&bit == 0 {
			return v, false
		}
		s = s.kids[bits.OnesCount64(s.kidBits&(bit-1))]
	}
}

// GetBytes is Get for a key that is still in a buffer. It keeps nothing of it
// and allocates nothing.
func (h Hash[V]) GetBytes(key []byte) (V, bool) {
	return h.Get(unsafe.String(unsafe.SliceData(key), len(key)))
}

// Set returns the map with v as the value of key.
func (h Hash[V]) Set(key string, v V) Hash[V] {
	root, added := h.root.set(Sum(key), 0, leaf[V]{key: key, val: v})
	if added {
		h.n++
	}
	return Hash[V]{root: root, n: h.n}
}

// Delete returns the map without key; the same map if it has none.
func (h Hash[V]) Delete(key string) Hash[V] {
	root, deleted := h.root.del(Sum(key), 0, key)
	if !deleted {
		return h
	}
	return Hash[V]{root: root, n: h.n - 1}
}

func (s *slot[V]) set(sum uint64, shift uint, l leaf[V]) (*slot[V], bool) {
	if s == nil {
		s = &slot[V]{}
	}
	bit := uint64(1) << (sum >> shift & 63)
	at := bits.OnesCount64(s.leafBits & (bit - 1))
	kidAt := bits.OnesCount64(s.kidBits & (bit - 1))
	out := *s
	switch {
	case shift >= lastShift:
		return s.setCrowd(l)
	case s.kidBits&bit != 0:
		kid, added := s.kids[kidAt].set(sum, shift+slotBits, l)
		out.kids = slices.Clone(s.kids)
		out.kids[kidAt] = kid
		return &out, added
	case s.leafBits&bit == 0:
		out.leafBits |= bit
		out.leaves = inserted(s.leaves, at, l)
		return &out, true
	case s.leaves[at].key == l.key:
		out.leaves = slices.Clone(s.leaves)
		out.leaves[at] = l
		return &out, false
	}
	// Two keys meet: both move one node down.
	old := s.leaves[at]
	kid, _ := (*slot[V])(nil).set(Sum(old.key), shift+slotBits, old)
	kid, _ = kid.set(sum, shift+slotBits, l)
	out.leafBits &^= bit
	out.leaves = removed(s.leaves, at)
	out.kidBits |= bit
	out.kids = inserted(s.kids, kidAt, kid)
	return &out, true
}

// setCrowd changes the node behind the last bits: one leaf with a Map.
func (s *slot[V]) setCrowd(l leaf[V]) (*slot[V], bool) {
	var crowd Map[V]
	if len(s.leaves) > 0 {
		crowd = *s.leaves[0].crowd
	}
	before := crowd.Len()
	crowd = crowd.Set(l.key, l.val)
	return &slot[V]{leafBits: 1, leaves: []leaf[V]{{crowd: &crowd}}}, crowd.Len() > before
}

func (s *slot[V]) del(sum uint64, shift uint, key string) (*slot[V], bool) {
	if s == nil {
		return nil, false
	}
	if shift >= lastShift {
		return s.delCrowd(key)
	}
	bit := uint64(1) << (sum >> shift & 63)
	out := *s
	if s.leafBits&bit != 0 {
		at := bits.OnesCount64(s.leafBits & (bit - 1))
		if s.leaves[at].key != key {
			return s, false
		}
		if len(s.leaves)+len(s.kids) == 1 {
			return nil, true
		}
		out.leafBits &^= bit
		out.leaves = removed(s.leaves, at)
		return &out, true
	}
	if s.kidBits&bit == 0 {
		return s, false
	}
	at := bits.OnesCount64(s.kidBits & (bit - 1))
	kid, deleted := s.kids[at].del(sum, shift+slotBits, key)
	if !deleted {
		return s, false
	}
	if l, alone := kid.only(); alone { // pull it up, so that the shape follows from the content
		out.kidBits &^= bit
		out.kids = removed(s.kids, at)
		out.leafBits |= bit
		out.leaves = inserted(s.leaves, bits.OnesCount64(s.leafBits&(bit-1)), l)
		return &out, true
	}
	out.kids = slices.Clone(s.kids)
	out.kids[at] = kid
	return &out, true
}

func (s *slot[V]) delCrowd(key string) (*slot[V], bool) {
	crowd := s.leaves[0].crowd.Delete(key)
	if crowd.Len() == s.leaves[0].crowd.Len() {
		return s, false
	}
	return &slot[V]{leafBits: 1, leaves: []leaf[V]{{crowd: &crowd}}}, true
}

// only returns the node's entry if it holds just one.
func (s *slot[V]) only() (l leaf[V], alone bool) {
	if len(s.leaves) != 1 || len(s.kids) != 0 {
		return l, false
	}
	l = s.leaves[0]
	if l.crowd == nil {
		return l, true
	}
	if l.crowd.Len() != 1 {
		return l, false
	}
	for k, v := range l.crowd.All() {
		l = leaf[V]{key: k, val: v}
	}
	return l, true
}

// Sum returns the hash of a key. It mixes sixteen bytes a round by full multiplication.
func Sum(s string) uint64 {
	const k0, k1, k2 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	h := uint64(len(s)) ^ k2
	for len(b) > 16 {
		h = mix(binary.LittleEndian.Uint64(b)^k0^h, binary.LittleEndian.Uint64(b[8:])^k1)
		b = b[16:]
	}
	var lo, hi uint64
	switch {
	case len(b) >= 8:
		lo, hi = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		lo, hi = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		lo = uint64(b[0]) | uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])<<16
	}
	return mix(lo^k0^h, hi^k1)
}

func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
