package config

import (
	"cmp"
	"strings"

	"github.com/warrenmq/warren/node"
)

// derive gives every size that nobody set what fits the machine. It is the only
// place where they are decided.
//
// The budget is 40 % of the memory there is: Go's collector lets a heap grow to
// about twice what is live. Go's limit is a little less than twice the budget,
// so that the collector works harder just before it, and leaves 30 % of the
// memory to the program itself, the page cache and everybody else. Half of the
// budget is for message bodies; the rest above Pebble's shares is for what they
// are filed under: queue pages, the log's index, connections.
func (c *Config) derive() {
	const mib = 1 << 20
	m, o := c.machine, &c.Node
	set := func(key string, missing bool, origin string, do func()) {
		if missing {
			do()
			c.origins[key] = origin
		}
	}
	unset := func(key string) bool { return c.origins[key] == "" }

	set("name", unset("name"), "default", func() { o.Name = "warren@" + cmp.Or(m.Host, "localhost") })

	if c.origins["name"] == nodeNameVariable && !strings.Contains(o.Name, "@") {
		o.Name += "@" + cmp.Or(m.Host, "localhost") // as its users write it
	}

	memory, of := m.memory()
	set("memory.budget", unset("memory.budget"), "derived from "+of, func() {
		o.Memory.Budget = roundDown(max(memory*2/5, 128*mib), mib)
	})
	budget := o.Memory.Budget
	const fromBudget = "derived from memory.budget"
	o.Memory.Machine = memory
	set("memory.high_watermark", unset("memory.high_watermark"), fromBudget, func() { o.Memory.HighWatermark = roundDown(budget/4*5, mib) })
	set("memory.entries", unset("memory.entries"), fromBudget, func() { o.Memory.Entries = roundDown(budget/2, mib) })
	set("memory.memtable", unset("memory.memtable"), fromBudget, func() {
		o.Memory.Memtable = clamp(roundDown(budget/16, mib), 4*mib, 64*mib)
	})
	set("memory.cache", unset("memory.cache"), fromBudget, func() {
		o.Memory.Cache = clamp(roundDown(budget/8, mib), 8*mib, 512*mib)
	})
	set("log.segment_size", unset("log.segment_size"), "derived from the free disk space", func() {
		o.SegmentBytes = 64 * mib
		if m.DiskFree > 0 {
			o.SegmentBytes = clamp(roundDown(m.DiskFree/32, mib), mib, 64*mib)
		}
	})
	set("disk.free_limit", unset("disk.free_limit"), "derived from log.segment_size", func() {
		o.DiskFreeLimit = min(256*mib, 4*o.SegmentBytes) + 2*o.SegmentBytes + o.Memory.Memtable
	})
	set("shards", unset("shards"), "derived from the number of CPUs", func() { o.Shards = clamp(m.CPUs, node.DefaultShards, 16) })
	set("limits.max_connections", unset("limits.max_connections"), "derived from the limit of open files", func() {
		o.Limits.MaxConnections = 65536
		if m.OpenFiles > 0 {
			// A tenth, but at least 64, stays for segments, sorted files and peers.
			o.Limits.MaxConnections = int(clamp(m.OpenFiles-max(m.OpenFiles/10, 64), 16, 65536))
		}
	})
}

// GoMemoryLimit is what Go's soft memory limit should be: 7/4 of the budget. A
// process goes beyond the limit by what is allocated while a collection runs.
func (c *Config) GoMemoryLimit() int64 { return c.Node.Memory.Budget / 4 * 7 }

func roundDown(n, to int64) int64 { return n - n%to }

func clamp[T cmp.Ordered](v, least, most T) T { return max(least, min(v, most)) }
