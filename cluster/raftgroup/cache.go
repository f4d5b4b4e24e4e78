package raftgroup

import "go.etcd.io/raft/v3/raftpb"

// entryOverhead is what an entry is counted with beside its data.
const entryOverhead = 48

func entrySize(e *raftpb.Entry) uint64 { return uint64(len(e.Data)) + entryOverhead }

// cache holds the newest entries of a group's log in memory, contiguous:
// everything not yet applied, and as many applied entries as the budget allows,
// for followers that are a little behind. Owned by the turn.
type cache struct {
	ents  []*raftpb.Entry // ents[i] has index lo+i
	lo    uint64
	bytes uint64
}

// hi is the index behind the last entry.
func (c *cache) hi() uint64 { return c.lo + uint64(len(c.ents)) }

// append adds entries; what is held at the first one's index and above gives
// way to them.
func (c *cache) append(ents []*raftpb.Entry) {
	at := ents[0].GetIndex()
	switch {
	case len(c.ents) == 0 || at < c.lo || at > c.hi():
		c.reset(at)
	case at < c.hi():
		for i := at - c.lo; i < uint64(len(c.ents)); i++ {
			c.bytes -= entrySize(c.ents[i])
			c.ents[i] = nil
		}
		c.ents = c.ents[:at-c.lo]
	}
	for _, e := range ents {
		c.bytes += entrySize(e)
	}
	c.ents = append(c.ents, ents...)
}

// reset empties the cache; the next entry expected is lo.
func (c *cache) reset(lo uint64) {
	clear(c.ents)
	c.ents, c.lo, c.bytes = c.ents[:0], lo, 0
}

// trim drops applied entries beyond the budget and everything up to compacted.
func (c *cache) trim(applied, compacted, budget uint64) {
	n := 0
	for n < len(c.ents) {
		index := c.lo + uint64(n)
		if index > compacted && (index > applied || c.bytes <= budget) {
			break
		}
		c.bytes -= entrySize(c.ents[n])
		c.ents[n] = nil
		n++
	}
	c.lo += uint64(n)
	c.ents = c.ents[n:]
}

// get returns the entry, or nil if it is not held.
func (c *cache) get(index uint64) *raftpb.Entry {
	if index < c.lo || index >= c.hi() {
		return nil
	}
	return c.ents[index-c.lo]
}

// slice returns the entries [lo, hi) up to maxBytes, but at least one. The
// slice is the caller's. lo must be held.
func (c *cache) slice(lo, hi, maxBytes uint64) []*raftpb.Entry {
	ents := c.ents[lo-c.lo : min(hi, c.hi())-c.lo]
	var size uint64
	n := 0
	for n < len(ents) {
		if size += entrySize(ents[n]); n > 0 && size > maxBytes {
			break
		}
		n++
	}
	out := make([]*raftpb.Entry, n)
	copy(out, ents)
	return out
}
