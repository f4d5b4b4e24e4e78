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

// settingsOf returns those of a queue.
func settingsOf(id uint64) (s shard.Settings) {
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
	return s
}
