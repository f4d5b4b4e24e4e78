package shard

// An Inspector is a Shard that can be looked into. To look changes nothing: a
// queue that rests goes on resting.
type Inspector interface {
	// Inspect calls done once, in a turn, with what is known of the queues;
	// those that nothing has happened to yet are left out. A shard that is
	// stopping may not call it any more. With consumers, they are listed.
	Inspect(ids []QueueID, consumers bool, done func([]QueueInfo))
}

// QueueInfo is a queue as it is in one turn.
type QueueInfo struct {
	ID QueueID
	Counts
	// Only is the consumer that keeps others out, an exclusive one or the
	// single active one; nil if there is none.
	Only *Consumer
	// SingleActive says that consumers besides Only wait for its end.
	SingleActive bool
	Consumers    []*Consumer
}
