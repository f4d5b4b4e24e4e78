package queue

import "math/bits"

const bitmapWords = PageSize / 64

// A bitmap has a bit per slot of a page.
type bitmap [bitmapWords]uint64

func (b *bitmap) get(slot int) bool { return b[slot>>6]>>(slot&63)&1 != 0 }
func (b *bitmap) set(slot int)      { b[slot>>6] |= 1 << (slot & 63) }
func (b *bitmap) unset(slot int)    { b[slot>>6] &^= 1 << (slot & 63) }

// next returns the first set slot at or after slot, or PageSize.
func (b *bitmap) next(slot int) int {
	if slot >= PageSize {
		return PageSize
	}
	w := slot >> 6
	if x := b[w] >> (slot & 63); x != 0 {
		return slot + bits.TrailingZeros64(x)
	}
	for w++; w < bitmapWords; w++ {
		if b[w] != 0 {
			return w<<6 + bits.TrailingZeros64(b[w])
		}
	}
	return PageSize
}

// nextIn returns the first set slot in [slot, hi), or hi.
func (b *bitmap) nextIn(slot, hi int) int {
	for slot < hi {
		if x := b[slot>>6] >> (slot & 63); x != 0 {
			return min(slot+bits.TrailingZeros64(x), hi)
		}
		slot = slot&^63 + 64
	}
	return hi
}

// mask returns the bits of word w that lie in [lo, hi).
func mask(w, lo, hi int) uint64 {
	m := ^uint64(0)
	if first := w << 6; lo > first {
		m &= ^uint64(0) << (lo - first)
	}
	if end := w<<6 + 64; hi < end {
		m &= ^uint64(0) >> (end - hi)
	}
	return m
}

// count returns the number of set slots in [lo, hi).
func (b *bitmap) count(lo, hi int) (n int) {
	if lo >= hi {
		return 0
	}
	for w := lo >> 6; w <= (hi-1)>>6; w++ {
		n += bits.OnesCount64(b[w] & mask(w, lo, hi))
	}
	return n
}

// clear unsets the slots in [lo, hi).
func (b *bitmap) clear(lo, hi int) {
	if lo >= hi {
		return
	}
	for w := lo >> 6; w <= (hi-1)>>6; w++ {
		b[w] &^= mask(w, lo, hi)
	}
}

// minus returns the bits of b that o lacks.
func (b *bitmap) minus(o *bitmap) (r bitmap) {
	for w := range b {
		r[w] = b[w] &^ o[w]
	}
	return r
}
