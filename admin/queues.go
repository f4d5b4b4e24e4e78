package admin

import (
	"context"
	"encoding/json"
	"iter"
)

// Queues are what there is to ask and order about queues.
type Queues interface {
	// Queues lists the queues of a vhost by name; those of one that does not
	// exist are none.
	Queues(ctx context.Context, q QueueQuery) iter.Seq2[Queue, error]
	// PurgeQueue removes what waits in a queue.
	PurgeQueue(ctx context.Context, o PurgeQueue) (Removed, error)
	// DeleteQueue removes a queue and what is in it.
	DeleteQueue(ctx context.Context, o DeleteQueue) (Removed, error)
}

// QueueQuery says which queues, and how closely to look.
type QueueQuery struct {
	VHost string `json:"vhost"`
	// Live asks the shards, too: Queue.Live is set then.
	Live bool `json:"live,omitempty"`
}

// PurgeQueue names a queue.
type PurgeQueue struct {
	VHost string `json:"vhost"`
	Name  string `json:"name"`
}

// DeleteQueue names a queue, and on what condition it goes.
type DeleteQueue struct {
	VHost    string `json:"vhost"`
	Name     string `json:"name"`
	IfEmpty  bool   `json:"if_empty,omitempty"`
	IfUnused bool   `json:"if_unused,omitempty"`
}

// Removed says how many messages went.
type Removed struct {
	Messages uint64 `json:"messages"`
}

// Queue is a queue as it was declared, and what it holds now.
type Queue struct {
	Name           string     `json:"name"`
	VHost          string     `json:"vhost"`
	Type           string     `json:"type"` // classic, quorum
	Durable        bool       `json:"durable"`
	AutoDelete     bool       `json:"auto_delete"`
	Exclusive      bool       `json:"exclusive"`
	Arguments      []Argument `json:"arguments,omitempty"`
	Policy         string     `json:"policy,omitempty"`
	OperatorPolicy string     `json:"operator_policy,omitempty"`
	// EffectivePolicy is what both mean together, a JSON object.
	EffectivePolicy json.RawMessage `json:"effective_policy,omitempty"`
	// PID names the queue, OwnerPID the connection it ends with.
	PID      string `json:"pid"`
	OwnerPID string `json:"owner_pid,omitempty"`
	// Leader is the node that dispatches it, Members those that hold it.
	Leader  string   `json:"leader,omitempty"`
	Members []string `json:"members"`
	// Online are those of them that run. Mirrors name the queue where it is not
	// led, Synced those of them that have all of it.
	Online  []string `json:"online,omitempty"`
	Mirrors []string `json:"mirrors,omitempty"`
	Synced  []string `json:"synced,omitempty"`
	// Live is nil unless asked for, and while the queue's shard does not answer.
	Live *QueueLive `json:"live,omitempty"`
}

// QueueLive is what a queue holds now.
type QueueLive struct {
	Ready        uint64 `json:"ready"`
	Unacked      uint64 `json:"unacked"`
	ReadyBytes   uint64 `json:"ready_bytes"`
	UnackedBytes uint64 `json:"unacked_bytes"`
	Consumers    int    `json:"consumers"`
	// ExclusivePID and ExclusiveTag name the consumer that keeps others out:
	// an exclusive one, or the single active one.
	ExclusivePID string `json:"exclusive_pid,omitempty"`
	ExclusiveTag string `json:"exclusive_tag,omitempty"`
}
