package exchange

import (
	"math/bits"
	"slices"
)

// classifyLong is classify for keys of more words: the positions of class c are
// in masks, and table finds a class by its sum.
func (m *matcher) classifyLong() {
	m.width = len(m.words)/64 + 1
	m.classes, m.masks, m.states = m.classes[:0], m.masks[:0], m.states[:0]
	size := 1 << bits.Len(uint(2*len(m.words)))
	m.table = slices.Grow(m.table[:0], size)[:size]
	clear(m.table)
	for i := range m.words {
		w := &m.words[i]
		slot, found := m.lookup(w.sum, w.text)
		if !found {
			m.classes = append(m.classes, class{text: w.text, sum: w.sum})
			m.table[slot] = uint32(len(m.classes))
			for range m.width {
				m.masks = append(m.masks, 0)
			}
		}
		w.class = int(m.table[slot]) - 1
		m.mask(w.class)[i/64] |= 1 << (i % 64)
	}
}

// lookup returns the place in table of the class with a word, or where it would
// stand.
func (m *matcher) lookup(sum uint64, text string) (slot int, found bool) {
	last := len(m.table) - 1
	for slot = int(sum) & last; m.table[slot] != 0; slot = (slot + 1) & last {
		c := &m.classes[m.table[slot]-1]
		if c.sum == sum && c.text == text {
			return slot, true
		}
	}
	return slot, false
}

func (m *matcher) mask(class int) []uint64 {
	return m.masks[class*m.width : (class+1)*m.width]
}

// state returns the set of positions at a step of the way.
func (m *matcher) state(step int) []uint64 {
	for len(m.states) <= step {
		if len(m.states) < cap(m.states) {
			m.states = m.states[:len(m.states)+1]
		} else {
			m.states = append(m.states, nil)
		}
		s := &m.states[len(m.states)-1]
		*s = slices.Grow((*s)[:0], m.width)[:m.width]
	}
	return m.states[step]
}

// visitLong is visit with the positions in state(step).
func (r *Router) visitLong(n *node, step int, dst []Dest) []Dest {
	m := &r.topic
	at, last := m.state(step), len(m.words)
	atEnd := at[last/64]&(1<<(last%64)) != 0
	if atEnd && n.dests.Len() > 0 {
		dst = r.addAll(dst, n.dests)
	}
	next := m.state(step + 1)
	if n.loop != nil {
		fill(next, at, last)
		dst = r.visitLong(n.loop, step+1, dst)
	}
	at[last/64] &^= 1 << (last % 64)
	if n.star != nil && advance(next, at, nil) {
		dst = r.visitLong(n.star, step+1, dst)
	}
	if n.kid != nil {
		if slot, ok := m.lookup(n.wordSum, n.word); ok && advance(next, at, m.mask(int(m.table[slot])-1)) {
			dst = r.visitLong(n.kid, step+1, dst)
		}
		return dst
	}
	if n.words.Len() == 0 {
		return dst
	}
	for i := range m.classes {
		if !advance(next, at, m.mask(i)) {
			continue
		}
		if kid, ok := n.words.GetSum(m.classes[i].sum, m.classes[i].text); ok {
			dst = r.visitLong(kid, step+1, dst)
		}
	}
	return dst
}

// advance sets next to the positions behind those of at that are in mask, or
// behind all of them if mask is nil. It reports whether there are any.
func advance(next, at, mask []uint64) bool {
	var carry, some uint64
	for i, v := range at {
		if mask != nil {
			v &= mask[i]
		}
		next[i] = v<<1 | carry
		carry = v >> 63
		some |= v
	}
	return some != 0
}

// fill sets next to the positions from the first of at to last.
func fill(next, at []uint64, last int) {
	var ones uint64
	for i, v := range at {
		next[i] = ones
		if ones == 0 && v != 0 {
			next[i] = ^uint64(0) << bits.TrailingZeros64(v)
			ones = ^uint64(0)
		}
	}
	next[last/64] &= 1<<(last%64)<<1 - 1
}
