package sim

import (
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Queues of a simulated shard. Runs without Clients.All have the first four.
const (
	plain      = iota + 1
	alsoPlain  // so that messages go to two
	longLived  // has messages that expire long after the run
	small      // refuses what is too much
	oneActive  // gives everything to one consumer
	mortal     // has letters: of what is rejected, and given back too often
	shortLived // has letters: of what expires soon
	priorities // has some
	resting    // has what is given back rest
	dropping   // drops what is too much
	letterBox  // is where letters go; it takes few at a time
)

const (
	someQueues = small
	allQueues  = letterBox

	deliveryLimit = 2
	shortLife     = 1500 // milliseconds
)

// queues is how many there are.
func (q *queues) queues() uint64 {
	if q.clients.All {
		return allQueues
	}
	return someQueues
}

// hasLetters reports whether what dies in a queue goes to the letterBox.
func hasLetters(q uint64) bool { return q == mortal || q == shortLived }

// simCatalog knows all queues.
type simCatalog struct {
	truth *queues
	m     *shardMachine // whose node knows it
}

// Queue implements replica.Catalog.
func (c simCatalog) Queue(_ uint64, id shard.QueueID) (s shard.Settings, revision uint64, ok bool) {
	if c.m.behind() {
		return s, 0, false
	}
	switch id {
	case longLived:
		s.TTL, s.HasTTL = 1<<31, true
	case small:
		s.MaxLength, s.Overflow = queue.AtMost(20), queue.RejectPublish
	case oneActive:
		s.SingleActive = true
	case mortal:
		s.Letters, s.DeliveryLimit = shard.AtLeastOnce, queue.AtMost(deliveryLimit)
	case shortLived:
		s.Letters, s.TTL, s.HasTTL = shard.AtLeastOnce, shortLife, true
	case priorities:
		s.MaxPriority = 3
	case resting:
		s.Retry = queue.Retry{When: queue.RetryFailed | queue.RetryReturned, Min: 50, Max: 400}
	case dropping:
		s.MaxLength = queue.AtMost(8)
	case letterBox:
		s.MaxLength, s.Overflow = queue.AtMost(6), queue.RejectPublish
	}
	return s, 1, id >= 1 && id <= c.truth.queues()
}

// Revision implements replica.Catalog.
func (c simCatalog) Revision() uint64 { return c.m.revision() }

// Alive implements replica.Catalog.
func (c simCatalog) Alive(i queue.Incarnation) bool { return !c.truth.ended[i.Number] }
