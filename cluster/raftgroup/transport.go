package raftgroup

import "go.etcd.io/raft/v3/raftpb"

// A Message is one Raft message of one group on its way to a peer.
type Message struct {
	Group uint64
	Raft  *raftpb.Message
}

// A Transport carries messages to other nodes. It may lose, double and reorder
// them.
type Transport interface {
	// Send queues the messages for the node, or drops them; it never blocks
	// and never calls back. The slice is the caller's and is reused; the
	// messages are the transport's and must not be changed. Heartbeats and
	// votes must not queue behind appends.
	Send(to uint64, msgs []Message)
}

// noTransport serves nodes without peers.
type noTransport struct{}

func (noTransport) Send(uint64, []Message) {}
