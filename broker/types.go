package broker

import "github.com/warrenmq/warren/shard"

// What passes between a protocol and the shards through the broker. A protocol
// names it here: it does not know the floor below.
type (
	// A Delivery is a message on its way to one consumer.
	Delivery = shard.Delivery
	// A Settlement ends a holding.
	Settlement = shard.Settle
	// An Outcome is how a delivery is settled.
	Outcome = shard.Outcome
	// A Holder is where deliveries come from and are settled.
	Holder = shard.Shard
	// A Receiver is a consumer as a ConsumerSink is told of it.
	Receiver = shard.Consumer
	// Confirms is told what became of publications.
	Confirms = shard.Confirms
	// A QueueID names a queue for ever.
	QueueID = shard.QueueID
)

// Outcomes; see shard.Outcome.
const (
	Accept  = shard.Accept
	Requeue = shard.Requeue
	Reject  = shard.Reject
	Release = shard.Release
)
