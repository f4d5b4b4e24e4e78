package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard/replica"
)

// Status implements admin.Statuses.
func (n *Node) Status(context.Context) (admin.Status, error) {
	v := n.catalog.View()
	st := admin.Status{
		Node: n.o.Name, Version: n.o.Version, Started: n.start, DataDir: n.o.DataDir,
		UptimeSeconds: int64(n.clock.Mono().Seconds()), Addresses: n.Addrs(),
	}
	b := n.broker.Load().Counts()
	st.Counts.Connections = int64(b.Sessions)
	st.Counts.Queues = int64(v.QueueCount())
	for h := range v.VHosts() {
		st.Counts.VHosts++
		for x := range h.Exchanges("") {
			st.Counts.Exchanges++
			st.Counts.Bindings += int64(v.Bindings(x).Len())
		}
	}
	st.Memory = admin.Memory{Used: heap(), Budget: n.o.Memory.Budget, Entries: b.QueueMemory, EntriesLimit: b.MemoryLimit}
	log, kept := n.seglog.Stats(), n.state.Stats()
	st.Disk = admin.Disk{Log: int64(log.Bytes), Segments: int64(log.Segments + log.Free), State: int64(kept.DiskBytes)}
	n.addShards(&st, v)
	n.addLimiting(&st, b)
	n.addListeners(&st)
	return st, nil
}

// Identity implements admin.Statuses.
func (n *Node) Identity(context.Context) (admin.Identity, error) {
	return admin.Identity{Node: n.o.Name, Version: n.o.Version, PID: os.Getpid()}, nil
}

// addShards describes the catalog's group and every shard, the refused ones too.
func (n *Node) addShards(st *admin.Status, v *catalog.View) {
	st.Shards = append(st.Shards, n.groupStatus(cluster.CatalogGroup, "catalog"))
	t := n.shards.Load()
	totals := n.totals(t)
	for s := range v.Shards() {
		sh := n.groupStatus(s.ID, "queues")
		if r := t.open[s.ID]; r != nil {
			x := totals[s.ID]
			sh.Queues, sh.Messages = int64(x.Queues), int64(x.Messages)
			st.Counts.Ready += int64(x.Ready)
			st.Counts.Unacked += int64(x.Unacked)
			st.Counts.Consumers += int64(x.Consumers)
		} else if why := t.refused[s.ID]; why != nil {
			sh.Refused = why.Error()
			for range v.QueuesIn(s.ID) {
				sh.Queues++
			}
		}
		st.Shards = append(st.Shards, sh)
	}
}

// totals asks all shards at once: each answers in its next turn.
func (n *Node) totals(t *shardTable) map[uint64]replica.Totals {
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := map[uint64]replica.Totals{}
	for id, s := range t.open {
		wg.Go(func() {
			x := s.Totals()
			mu.Lock()
			defer mu.Unlock()
			all[id] = x
		})
	}
	wg.Wait()
	return all
}

func (n *Node) groupStatus(id uint64, kind string) admin.Shard {
	s := admin.Shard{ID: id, Kind: kind, LogBytes: n.seglog.GroupBytes(id)}
	v := n.catalog.View()
	if x := v.Shard(id); x != nil {
		s.Replicas = namesOf(v, x.Replicas)
	}
	if g := n.host.Group(id); g != nil {
		gs := g.Status()
		s.Term, s.Commit, s.Applied = gs.Term, gs.Commit, gs.Applied
		s.Leader = strings.Join(namesOf(v, []uint64{gs.Leader}), "")
		if id == cluster.CatalogGroup {
			s.Replicas = namesOf(v, slices.Concat(gs.ConfState.GetVoters(), gs.ConfState.GetLearners()))
		}
	}
	return s
}

// namesOf returns the names of nodes, as far as they are members.
func namesOf(v *catalog.View, ids []uint64) (names []string) {
	for _, id := range ids {
		if m := v.Node(id); m != nil {
			names = append(names, m.Name)
		}
	}
	return names
}

// addLimiting says what holds clients back, the most pressing first.
func (n *Node) addLimiting(st *admin.Status, b broker.Counts) {
	say := func(format string, args ...any) { st.Limiting = append(st.Limiting, fmt.Sprintf(format, args...)) }
	if d := n.member.Load(); d != nil && !d.Serving() {
		st := d.Status()
		text := "no client is served: " + st.Text
		if do := st.Advice(); do != "" {
			text += "; to do: " + do
		}
		say("%s", text)
	}
	if n.shut.Load() {
		if do := n.drainingAdvice(); do != "" {
			say("no client is served: the node is under maintenance; to do: %s", do)
		}
	}
	t := n.shards.Load()
	for _, id := range slices.Sorted(maps.Keys(t.refused)) {
		text := ""
		if s := n.catalog.View().Shard(id); s != nil {
			text = refusedText(s, uint64(n.dir.Node().Node))
		}
		say("shard %d is refused, %s: %v", id, text, t.refused[id])
	}
	if text := n.stateText(); text != "" {
		say("%s", text)
	}
	if du, err := n.o.FS.GetDiskUsage(n.o.DataDir); err == nil {
		st.Disk.Free = int64(du.AvailBytes)
	}
	n.watch.addAlarms(st)
	n.addWaiters(st)
	if b.QueueMemory > b.MemoryLimit {
		say("queues in memory hold %d bytes, more than half of memory.entries (%d): publishers to them wait", b.QueueMemory, b.MemoryLimit)
	}
	if most := int64(n.o.Limits.MaxConnections); st.Counts.Connections >= most*9/10 {
		say("%d of %d connections are open: raise limits.max_connections", st.Counts.Connections, most)
	}
	if few := reconcile.Few(n.catalog.View()); few != "" {
		say("%s", few)
	}
}

// heap is what Go holds of the machine's memory.
func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
