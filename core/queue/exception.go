package queue

import (
	"cmp"
	"math"
	"slices"
)

// An exception is what happened to a message after its birth. Exceptions of a
// page are sorted by slot. Those of messages that are gone stay until the page
// goes, and count for nothing.
type exception struct {
	slot             uint16
	acquired, failed uint16
	order            uint64 // 0: the sequence itself
	until            int64  // log time before which it is not ready; 0: it is
}

func bySlot(e exception, slot uint16) int { return cmp.Compare(e.slot, slot) }

// exception returns what is known of a slot; most pages know nothing.
func (p *page) exception(slot int) exception {
	if len(p.except) == 0 {
		return exception{}
	}
	if i, ok := slices.BinarySearchFunc(p.except, uint16(slot), bySlot); ok {
		return p.except[i]
	}
	return exception{}
}

// amend returns the slot's exception for a change, making it if need be.
// Returns come mostly in ascending order, so the insertion is mostly an append.
func (p *page) amend(slot int) *exception {
	if p.exceptShared {
		p.except = slices.Clone(p.except)
		p.exceptShared = false
	}
	i, ok := slices.BinarySearchFunc(p.except, uint16(slot), bySlot)
	if !ok {
		p.except = slices.Insert(p.except, i, exception{slot: uint16(slot)})
	}
	return &p.except[i]
}

// order returns the slot's order key: its place among all messages of the lane
// is (key, sequence).
func (p *page) order(slot int) uint64 {
	if e := p.exception(slot); e.order != 0 {
		return e.order
	}
	return p.first() | uint64(slot)
}

func saturate(n uint16) uint16 {
	if n == math.MaxUint16 {
		return n
	}
	return n + 1
}
