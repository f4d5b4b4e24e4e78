// Package shard is a handle on many queues of one log: publish into them,
// consume from them, settle. It declares what its users see (Shard), what they
// must implement (Sink, Confirms), and the format of a log entry. The
// implementations are shard/replica (a Raft group) and shard/memory (the memory
// of one node); shard/remote is one that another node leads.
//
// Calls go down and never block on the log; what happened comes up through the
// Sink and Confirms that were handed down, from inside the shard's turn. A Sink
// appends to its own queue and returns: it never blocks and never calls back
// into the shard from there.
package shard

import (
	"errors"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
)

// Errors that a request is answered with.
var (
	// ErrGone says that the queue was deleted.
	ErrGone = errors.New("shard: queue is gone")
	// ErrUnavailable says that the shard has no leader or is stopping.
	ErrUnavailable = errors.New("shard: unavailable")
	// ErrExclusive says that an exclusive consumer holds the queue, or that an
	// exclusive consumer was asked for while others consume.
	ErrExclusive = errors.New("shard: exclusive consumer")
	// ErrInUse and ErrNotEmpty say that the condition of a Close does not hold.
	ErrInUse    = errors.New("shard: queue is in use")
	ErrNotEmpty = errors.New("shard: queue is not empty")
)

// QueueID names a queue for ever; ids come from the catalog and are not reused.
type QueueID = uint64

// A Publish is one message for one or more queues of one shard.
type Publish struct {
	// Message is encoded into the open batch: the only copy of its body.
	Message  *message.Message
	Queues   []QueueID
	TTL      uint32 // milliseconds
	HasTTL   bool
	Priority uint8
	// Acquired and Failed count deliveries that the message had elsewhere; see
	// Item. A publish of a client has none.
	Acquired, Failed uint16
	// Origin makes the publish recognisable when it is sent again; nil: it is
	// not. A queue that has it already answers as if it took it now.
	Origin *queue.Origin
	// To is told what became of it, by its Tag; may be nil. Publishes with
	// consecutive tags are confirmed in one call.
	To  Confirms
	Tag uint64
}

// Confirms is told what became of publishes that were given with it.
type Confirms interface {
	// Confirmed says that the publishes with tags first..first+n-1 are
	// committed in every queue of this shard they were given for, or that at
	// least one queue refused each of them.
	Confirmed(first uint64, n uint32, refused bool)
	// Unknown says that the outcome of the publishes can not be learnt.
	Unknown(first uint64, n uint32)
	// Wake is called once at the end of a turn that called the others.
	Wake()
}

// A Delivery is a message on its way to one consumer.
type Delivery struct {
	Blob        []byte // shared and immutable
	Seq         uint64
	Holding     queue.Holding
	Redelivered bool
	// Acquired is how often it was delivered and given back before, Failed how
	// often of these because a consumer could not do it.
	Acquired, Failed uint16
	// Size is what the message counts in its queue: a Claim has to name it.
	Size uint32
}

// Sink receives what the shard sends to a consumer. See the package comment
// for what it may do.
type Sink interface {
	// Deliver hands over messages in order; ds is valid during the call.
	Deliver(c *Consumer, ds []Delivery)
	// Cancelled says that the shard ended the consumer: its queue is gone, or
	// the shard is.
	Cancelled(c *Consumer)
	// Wake is called once at the end of a turn that called the others.
	Wake()
}

// A Consumer takes messages from one queue. Its fields are set before Consume
// and not changed afterwards.
type Consumer struct {
	Queue     QueueID
	Sink      Sink
	NoAck     bool
	Exclusive bool
	Priority  int32
	Prefetch  uint32 // unsettled messages at most, 0 for no limit
	Window    uint32 // bytes unsettled at most
	Shared    queue.Credit
	Session   uint64 // number of the session that holds what is delivered
	// Incarnation is whose session it is; zero: this node's.
	Incarnation queue.Incarnation
	// ID names the consumer among those of its incarnation for this shard. What
	// is given to a Shard gets one from there; what is given to a Host has one.
	ID uint64
	// User is the caller's own; the shard does not look at it.
	User any
}

// Outcome is how a delivery is settled.
type Outcome uint8

// Outcomes.
const (
	// Accept removes the message.
	Accept Outcome = iota
	// Requeue puts it back in its place, as delivered before. It counts against
	// the queue's delivery limit.
	Requeue
	// Reject removes it as unwanted: it is dead-lettered if the queue says so.
	Reject
	// Release puts it back as never delivered: it did not leave this node.
	Release
	// Abandon puts it back in its place, as delivered before: its holder went
	// and said nothing of it.
	Abandon
	// Misfit is for a message that can not be sent to this consumer: it rests for
	// a while, and is offered again as never delivered, to whose turn it is then.
	// Where messages are delivered only so often it is a Requeue: it dies there.
	Misfit
)

// A Settle ends a holding.
type Settle struct {
	Queue   QueueID
	Seq     uint64
	Holding queue.Holding
	Outcome Outcome
	// Size and Acquired are the shard's own: what the message counts, and how
	// often it had been given back.
	Acquired uint16
	Size     uint32
}

// Counts is what a queue holds now.
type Counts struct {
	Ready, Unacked    uint64
	ReadyBytes, Bytes uint64
	Consumers         int
	// Letters died here and are on their way; no other count has them.
	Letters uint64
}

// GetResult is the answer to a Get.
type GetResult struct {
	Delivery
	Empty     bool
	Remaining uint64 // ready messages left
}

// Conditions of a Close. Delivered messages do not count.
type Conditions struct{ IfEmpty, IfUnused bool }

// Shard is a handle on the queues of one log. All methods may be called from
// any goroutine.
type Shard interface {
	// Publish appends messages to the open batch, in order; it copies what it
	// needs. It reports false when more than the parking limit waits: the
	// caller must then stop reading until Ready.
	Publish(ps []Publish) bool
	// Tx publishes and settles as one. done gets nil once all of it is committed,
	// ErrRefused if nothing of it happened, ErrUnknown if that can not be learnt.
	Tx(t *Tx, done func(error))
	// Ready calls f once when publishes are taken again.
	Ready(f func())
	// Settle ends holdings; those that are stale change nothing. done, which
	// may be nil, is called once the outcomes are committed.
	Settle(ss []Settle, done func(error))
	// Consume registers a consumer; done is called in the turn with nil or the
	// reason why not. Deliveries may begin before done returns but not before
	// it was called.
	Consume(c *Consumer, done func(error))
	// Cancel ends a consumer: after done no delivery is made to it. What it
	// holds stays held until it is settled, unless end is set: then all of it
	// goes back to its place.
	Cancel(c *Consumer, end bool, done func(error))
	// Kick asks for dispatch after the consumer's Shared credit was freed.
	Kick(c *Consumer)
	// Get takes one message without a consumer; it is held by the session.
	Get(q QueueID, session uint64, done func(GetResult, error))
	// Purge removes every ready message; done gets their number once that is
	// committed.
	Purge(q QueueID, done func(n uint64, err error))
	// Counts asks for the counts of a queue.
	Counts(q QueueID, done func(Counts, error))
	// Renew is Counts for whoever declares the queue: one that ends when it is
	// not used counts its time from now on.
	Renew(q QueueID, done func(Counts, error))
	// Close ends a queue that is empty or unused, if that is asked for: from
	// then on it takes no publish and no consumer and delivers nothing. done
	// gets the number of its ready messages once that is committed; the catalog
	// deletes the queue then, or the caller has to Reopen it.
	Close(q QueueID, c Conditions, done func(n uint64, err error))
	// Reopen takes a Close back. done gets ErrGone if the queue turned a publish
	// away meanwhile: then it has to end.
	Reopen(q QueueID, done func(error))
	// Changed says that the catalog changed or deleted the queue.
	Changed(q QueueID)
}
