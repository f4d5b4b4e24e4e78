package cli

import (
	"math/bits"
	"slices"
)

// A bitset is a set of small numbers. The zero value is empty.
type bitset []uint64

func (b bitset) has(n int) bool { return n>>6 < len(b) && b[n>>6]&(1<<(n&63)) != 0 }

// set puts n in, and reports whether it was new.
func (b *bitset) set(n int) bool {
	for n>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	w := &(*b)[n>>6]
	was := *w&(1<<(n&63)) != 0
	*w |= 1 << (n & 63)
	return !was
}

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// missing returns how many of b are not in other.
func (b bitset) missing(other bitset) (n int) {
	for i, w := range b {
		if i < len(other) {
			w &^= other[i]
		}
		n += bits.OnesCount64(w)
	}
	return n
}

func (b bitset) clone() bitset { return slices.Clone(b) }
