package admin

import "context"

// Replicas are what there is to ask and order about who holds queues. A queue lies
// in a shard with others: what is ordered for one is done for all of its shard.
type Replicas interface {
	// QueueReplicas describes the replicas of a queue, its leader's first.
	QueueReplicas(ctx context.Context, q QueueOf) (ReplicaList, error)
	AddReplica(ctx context.Context, o ReplicaOn) (Done, error)
	DeleteReplica(ctx context.Context, o ReplicaOn) (Done, error)
	// GrowQueues adds a replica on a node for all queues that match, ShrinkQueues
	// takes those away that are on a node.
	GrowQueues(ctx context.Context, o GrowQueues) (Grown, error)
	ShrinkQueues(ctx context.Context, o ShrinkQueues) (Grown, error)
	// Rebalance has leads go to the nodes that should have them, and tells how
	// many queues each node leads then.
	Rebalance(ctx context.Context, o Rebalance) (Balance, error)
	// Drain puts the node under maintenance, Revive ends that.
	Drain(ctx context.Context, o Drain) (Done, error)
	Revive(ctx context.Context, o Revive) (Done, error)
}

// A QueueOf names a queue.
type QueueOf struct {
	VHost string `json:"vhost"`
	Queue string `json:"queue"`
}

// A ReplicaOn names a queue and a node.
type ReplicaOn struct {
	QueueOf
	Node string `json:"node"`
}

// A ReplicaList is the replicas of a queue.
type ReplicaList struct {
	Replicas []Replica `json:"replicas"`
}

// A Replica is what one node has of a queue.
type Replica struct {
	Node string `json:"node"`
	// State is leader, follower, learner, candidate, or noproc if the node does
	// not answer.
	State   string `json:"state"`
	Term    uint64 `json:"term,omitempty"`
	Log     uint64 `json:"log,omitempty"` // index of its last entry
	Commit  uint64 `json:"commit,omitempty"`
	Applied uint64 `json:"applied,omitempty"`
	// Snapshot is the index up to which the log was given up.
	Snapshot uint64 `json:"snapshot,omitempty"`
}

// GrowQueues says where replicas are added, and for which queues. Even means those
// only whose number of replicas is even.
type GrowQueues struct {
	Node         string `json:"node"`
	Even         bool   `json:"even,omitempty"`
	VHostPattern string `json:"vhost_pattern,omitempty"`
	QueuePattern string `json:"queue_pattern,omitempty"`
}

// ShrinkQueues says where replicas are taken away.
type ShrinkQueues struct {
	Node string `json:"node"`
}

// Grown tells for each queue what became of it.
type Grown struct {
	Queues []GrownQueue `json:"queues"`
}

// A GrownQueue is a queue of which replicas were added or taken away.
type GrownQueue struct {
	VHost string `json:"vhost"`
	Name  string `json:"name"`
	Size  int    `json:"size"` // replicas then
	Error string `json:"error,omitempty"`
}

// Rebalance says for which queues.
type Rebalance struct {
	VHostPattern string `json:"vhost_pattern,omitempty"`
	QueuePattern string `json:"queue_pattern,omitempty"`
}

// Balance tells how many queues each node leads.
type Balance struct {
	Nodes []NodeLeads `json:"nodes"`
}

// NodeLeads is how many queues a node leads.
type NodeLeads struct {
	Node    string `json:"node"`
	Quorum  int    `json:"quorum"`
	Classic int    `json:"classic"`
}

// Drain is about the node that is asked.
type Drain struct{}

// Revive is about the node that is asked.
type Revive struct{}
