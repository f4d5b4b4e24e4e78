package node

import (
	"context"
	"errors"
	"time"

	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
	"github.com/warrenmq/warren/shard/remote"
)

// forwardTime bounds the forwarding of commands before the node has streams.
const forwardTime = 5 * time.Second

// life is the last incarnation of the node; whether it lives n.fenced says.
func (n *Node) life() queue.Incarnation {
	i := n.inc.Load()
	return queue.Incarnation{Node: i.Node, Number: i.Number}
}

func (n *Node) revision() uint64 { return n.catalog.View().Revision() }

// startRemote lets the sessions of this node use shards that other nodes lead, and
// those of other nodes use what is led here.
func (n *Node) startRemote() {
	if !n.clustered() {
		return
	}
	tell := func(c *shard.Consumer) []byte { return n.broker.Load().Tell(c) }
	label := func(of queue.Incarnation, l []byte) any { return n.broker.Load().Label(of, l) }
	h := &remote.Handler{
		Server: remote.NewServer(remote.ServerOptions{
			Incarnation: n.life(), Host: n.hostOf, View: n.revision, Tell: tell, Label: label,
			Propose: n.proposed, Post: func(_ uint64, data []byte) { n.broker.Load().Posted(data) },
			Clock: n.clock, Logger: n.log,
		}),
		Hub: remote.NewHub(remote.HubOptions{
			Incarnation: n.life(), View: n.revision, Tell: tell, Label: label, Clock: n.clock, Logger: n.log,
			Peer: func(uint64, bool) { n.catalog.Resend() },
		}),
	}
	n.memory.Store(memory.NewHost(memory.HostOptions{
		Incarnation: n.life(), Revision: n.revision, Alive: shardCatalog{n}.Alive, Answers: h.Server,
		Queue: func(id shard.QueueID) *memory.Queue { return n.broker.Load().MemoryQueue(id) },
		All:   func() []*memory.Queue { return n.broker.Load().MemoryQueues() },
		Held:  func(resume func()) bool { return n.broker.Load().MemoryHeld(resume) },
	}))
	n.remote.Store(h)
}

// hostOf returns what serves other nodes' sessions here.
func (n *Node) hostOf(t remote.Target) shard.Host {
	if t == remote.Memory {
		if m := n.memory.Load(); m != nil {
			return m
		}
		return nil
	}
	if s := n.shards.Load().open[uint64(t)]; s != nil {
		return s.Host()
	}
	return nil
}

// memoryOf returns the queues in another node's memory.
func (n *Node) memoryOf(of queue.Incarnation) shard.Shard {
	if h := n.remote.Load(); h != nil {
		return h.Hub.Memory(of)
	}
	return nil
}

func (n *Node) post(to uint64, data []byte) bool {
	h := n.remote.Load()
	return h != nil && h.Hub.Post(to, data)
}

// proposed takes commands of the catalog that another node forwarded.
func (n *Node) proposed(from uint64, data []byte) {
	if err := n.catalog.Offer(from, data); err != nil {
		n.log.Warn("what a node forwarded to the catalog can not be read", "peer", from, "err", err)
	}
}

// forward sends commands to the node that leads the catalog: over its stream, or,
// as long as one of the two has no incarnation and so no streams, each by itself.
func (n *Node) forward(leader uint64, data []byte) bool {
	if h := n.remote.Load(); h != nil && h.Hub.Propose(leader, data) {
		return true
	}
	if n.transport == nil {
		return false
	}
	go func() { // ends within its time; the catalog asks again
		ctx, cancel := context.WithTimeout(context.Background(), forwardTime)
		defer cancel()
		s, err := n.transport.Bulk(ctx, leader, append([]byte{bulkPropose}, data...))
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			n.log.Debug("a command could not be forwarded", "peer", leader, "err", err)
		}
	}()
	return true
}

// What a bulk request begins with.
const (
	bulkSnapshot = 1 // see cluster/snapshot
	bulkPropose  = 2 // commands of the catalog
	bulkAbout    = 3 // nothing; see admin.About
	bulkReplica  = 4 // a shard; see admin.Replica
	bulkLost     = 5 // of a node that lost its catalog; see lost.go
)

// Bulk implements transport.BulkHandler.
func (b *bulkAsked) Bulk(s *transport.BulkStream, head []byte) error {
	n := (*Node)(b)
	if len(head) == 0 {
		return errors.New("an empty request")
	}
	switch head[0] {
	case bulkSnapshot:
		return n.sender.Serve(s.Peer(), head[1:], s)
	case bulkPropose:
		return n.catalog.Offer(s.Peer(), append([]byte(nil), head[1:]...))
	case bulkAbout:
		return n.tellAbout(s)
	case bulkReplica:
		return n.tellReplica(s, head[1:])
	case bulkLost:
		return n.lostAsked(s, head[1:])
	}
	return errors.New("a request of a kind that this version does not know")
}

// changed follows the catalog, in its turn.
func (n *Node) changed(v *catalog.View, rs []catalog.Result) {
	if b := n.broker.Load(); b != nil {
		b.Changed(v, rs)
	}
	h := n.remote.Load()
	if h == nil {
		n.keeper.poke()
		return
	}
	h.Server.Viewed()
	h.Hub.Viewed()
	for i := range rs {
		for _, inc := range rs[i].Removed.Incarnations {
			n.clock.AfterFunc(0, func() { n.ended(queue.Incarnation{Node: inc.Node, Number: inc.Number}) })
		}
	}
	n.keeper.poke()
}

// ended lets go what an incarnation had here.
func (n *Node) ended(inc queue.Incarnation) {
	if h := n.remote.Load(); h != nil {
		h.Server.Ended(inc)
		h.Hub.Ended(inc)
	}
	if m := n.memory.Load(); m != nil {
		m.EndIncarnation(inc)
	}
	for _, s := range n.shards.Load().open {
		s.Host().EndIncarnation(inc)
	}
}

// suspect has the catalog end an incarnation that a shard waits for in vain.
func (n *Node) suspect(inc queue.Incarnation) {
	n.log.Warn("a node does not say what it holds, and its life is ended", "incarnation", inc.Number)
	n.clock.AfterFunc(0, func() {
		n.catalog.Start(&catalog.EndIncarnation{Number: inc.Number}, func(catalog.Result, error) {})
	})
}

// shard returns a shard, wherever it is; nil if there is none or it is refused. In
// a cluster it is the same whoever leads, and whether or not this node has a
// replica: sessions keep it.
func (n *Node) shard(id uint64) shard.Shard {
	t := n.shards.Load()
	h := n.remote.Load()
	if h == nil {
		if s := t.open[id]; s != nil {
			return s
		}
		return nil
	}
	s := n.catalog.View().Shard(id)
	if t.open[id] != nil || s != nil && (t.refused[id] == nil || others(s, n.life().Node)) {
		return h.Hub.Shard(id, nil)
	}
	return nil
}
