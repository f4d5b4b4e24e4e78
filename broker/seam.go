package broker

import "github.com/warrenmq/warren/shard"

// What protocols see of shards: deliveries come from them and settles go to
// them without another layer in between.
type (
	// A Shard is where a consumer's holdings are settled.
	Shard = shard.Shard
	// A QueueID names a queue for ever.
	QueueID = shard.QueueID
	// A Delivery is a message on its way to a consumer.
	Delivery = shard.Delivery
	// A ShardConsumer is a consumer as a sink is given it.
	ShardConsumer = shard.Consumer
	// A Settle ends a holding.
	Settle = shard.Settle
	// An Outcome is how it ends.
	Outcome = shard.Outcome
)

// Outcomes.
const (
	Accept  = shard.Accept
	Requeue = shard.Requeue
	Reject  = shard.Reject
	Release = shard.Release
	Abandon = shard.Abandon
	Misfit  = shard.Misfit
)
