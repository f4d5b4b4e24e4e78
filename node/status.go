package node

import (
	"context"
	"fmt"
	"runtime/metrics"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/core/catalog"
)

// Status implements admin.Operations.
func (n *Node) Status(context.Context) (admin.Status, error) {
	v := n.catalog.View()
	st := admin.Status{
		Node: n.o.Name, Version: n.o.Version, Started: n.start, DataDir: n.o.DataDir,
		UptimeSeconds: int64(n.clock.Now().Sub(n.start).Seconds()), Addresses: n.Addrs(),
	}
	b := n.broker.Counts()
	st.Counts.Connections = int64(b.Sessions)
	st.Counts.Queues = int64(v.QueueCount())
	for h := range v.VHosts() {
		st.Counts.VHosts++
		for x := range h.Exchanges("") {
			st.Counts.Exchanges++
			st.Counts.Bindings += int64(v.Bindings(x).Len())
		}
	}
	st.Memory = admin.Memory{Used: heap(), Budget: n.o.Memory.Budget, Entries: b.QueueMemory, EntriesLimit: n.o.Memory.Entries}
	log := n.seglog.Stats()
	st.Disk = admin.Disk{Log: int64(log.Bytes), Segments: int64(log.Segments + log.Free)}
	if du, err := n.o.FS.GetDiskUsage(n.o.DataDir); err == nil {
		st.Disk.Free = int64(du.AvailBytes)
	}
	for _, g := range n.host.Groups() {
		st.Shards = append(st.Shards, n.shardStatus(g.ID(), v))
	}
	for _, s := range n.shards {
		t := s.Totals()
		st.Counts.Ready += int64(t.Ready)
		st.Counts.Unacked += int64(t.Unacked)
		st.Counts.Consumers += int64(t.Consumers)
	}
	if b.QueueMemory > b.MemoryLimit {
		st.Limiting = append(st.Limiting, fmt.Sprintf("queues in memory hold %d bytes, more than memory.entries allows (%d): publishers to them wait", b.QueueMemory, b.MemoryLimit))
	}
	return st, nil
}

func (n *Node) shardStatus(id uint64, v *catalog.View) admin.Shard {
	s := admin.Shard{ID: id, Kind: "queues", Replicas: []string{n.o.Name}}
	if id == cluster.CatalogGroup {
		s.Kind = "catalog"
	}
	if g := n.host.Group(id); g != nil {
		gs := g.Status()
		s.Term, s.Commit, s.Applied = gs.Term, gs.Commit, gs.Applied
		if gs.Leader != 0 {
			s.Leader = n.o.Name
		}
	}
	if r := n.shards[id]; r != nil {
		t := r.Totals()
		s.Queues, s.Messages = int64(t.Queues), int64(t.Messages)
	}
	return s
}

// heap is what Go holds of the machine's memory.
func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
