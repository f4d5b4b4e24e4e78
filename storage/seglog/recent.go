package seglog

import "github.com/warrenmq/warren/storage"

// maxRecent bounds how many entries the cache remembers, however small.
const maxRecent = 1 << 16

// A recentData holds the data of a group's newest entries: [first, first+n).
type recentData struct {
	first uint64
	ring  ring[recentEntry]
}

type recentEntry struct {
	data []byte
	kind uint8
}

// A recentCache bounds what all groups' recentData hold together. What was
// written first is let go first. The order may name entries that are gone, or
// were replaced; that costs a cached entry, never a wrong one.
type recentCache struct {
	max   int64
	bytes int64
	order ring[recentKey]
}

type recentKey struct {
	g     *group
	index uint64
}

func (c *recentCache) add(g *group, e *storage.Entry) {
	if c.max <= 0 {
		return
	}
	r := &g.recent
	if r.ring.n == 0 || e.Index != r.first+uint64(r.ring.n) {
		c.cutBack(g, 0)
		r.first = e.Index
	}
	r.ring.push(recentEntry{data: e.Data, kind: e.Kind})
	c.bytes += int64(len(e.Data))
	c.order.push(recentKey{g: g, index: e.Index})
	for c.order.n > 0 && (c.bytes > c.max || c.order.n > maxRecent) {
		k := *c.order.at(0)
		c.order.popFront()
		if k.g.recent.first == k.index {
			c.cutFront(k.g, k.index)
		}
	}
}

// cutFront lets go of entries up to and including index.
func (c *recentCache) cutFront(g *group, index uint64) {
	for r := &g.recent; r.ring.n > 0 && r.first <= index; r.first++ {
		c.bytes -= int64(len(r.ring.at(0).data))
		r.ring.popFront()
	}
}

// cutBack lets go of the entries at index and above.
func (c *recentCache) cutBack(g *group, index uint64) {
	for r := &g.recent; r.ring.n > 0 && r.first+uint64(r.ring.n) > index; {
		c.bytes -= int64(len(r.ring.at(r.ring.n - 1).data))
		r.ring.popBack()
	}
}

// get returns the entry at index, without its term, if it is held.
func (r *recentData) get(index uint64) (storage.Entry, bool) {
	if r.ring.n == 0 || index < r.first || index >= r.first+uint64(r.ring.n) {
		return storage.Entry{}, false
	}
	e := r.ring.at(int(index - r.first))
	return storage.Entry{Index: index, Kind: e.kind, Data: e.data}, true
}
