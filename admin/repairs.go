package admin

import "context"

// Repairs are what there is to ask and order about replicas that lost what they
// had acknowledged, where no majority of others can make them anew.
type Repairs interface {
	// DamagedShards lists those of this node.
	DamagedShards(ctx context.Context, q DamagedQuery) (DamagedShards, error)
	// GiveUpShards has the queues of such shards begin anew, empty. What is left of
	// them is deleted.
	GiveUpShards(ctx context.Context, o GiveUpShards) (Done, error)
}

// A DamagedQuery asks for all.
type DamagedQuery struct{}

// DamagedShards are shards that this node refuses to open.
type DamagedShards struct {
	Node   string         `json:"node"`
	Shards []DamagedShard `json:"shards"`
}

// A DamagedShard is one of them.
type DamagedShard struct {
	Shard uint64 `json:"shard"`
	// Why says what is damaged.
	Why string `json:"why"`
	// Others are the nodes that have a replica too, and may have all of it.
	Others []string  `json:"others,omitempty"`
	Queues []QueueOf `json:"queues"`
}

// GiveUpShards names shards that this node refuses.
type GiveUpShards struct {
	Shards []uint64 `json:"shards"`
}
