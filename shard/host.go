package shard

import (
	"time"

	"github.com/warrenmq/warren/core/queue"
)

// A Host is a shard as the sessions of other nodes use it, at the node that
// leads it: what a server of other nodes' streams drives. The memory of a node
// is one Host for all its queues, a replica is one for its shard.
//
// All methods may be called from any goroutine; what one goroutine calls is
// done in that order. done is called once, in a turn of the shard: it does not
// block and does not call back from there. While the node does not lead,
// requests are answered with ErrUnavailable, and what has no answer is dropped:
// whoever sent it sends it again to the next leader.
type Host interface {
	// Serving returns the term in which this node leads; ok is false if it does
	// not. A node may have to wait yet for others to attach.
	Serving() (term uint64, ok bool)
	// Revision is the catalog's, as far as what was applied here depends on it: a
	// node whose View is older does not yet know what it may be told here.
	Revision() uint64
	// Offer takes a numbered batch of another node's incarnation: the data of an
	// entry without section, whose memory it owns from then on. Batches come in
	// the order of their numbers. The answer goes through the host's Answer.
	Offer(batch []byte)
	// Attach takes a chunk of what an incarnation reports; see Attachment.
	Attach(a Attachment, done func(Attached, error))
	// Detach says that the stream to an incarnation broke: its consumers get
	// nothing until it attaches again, and their sinks are not called any more
	// once Detach was done in a turn.
	Detach(inc queue.Incarnation)
	// EndIncarnation says that the catalog ended an incarnation. What it holds is
	// given back, and what it published and is not in the log never will be.
	EndIncarnation(inc queue.Incarnation)

	// The following are those of Shard, for consumers and sessions of other
	// incarnations. Settle owns ss, and done gets nil once the outcomes are
	// committed. A consumer whose queue ends is Cancelled; one of a shard that
	// this node does not lead any more is dropped without a word.
	Settle(ss []Settle, done func(error))
	Consume(c *Consumer, done func(error))
	Cancel(c *Consumer, end bool, done func(error))
	// Kick asks for dispatch after the consumer's Shared credit was freed: that is
	// how what consumers of other nodes are sent is metered.
	Kick(c *Consumer)
	// GetFor is Get for a session of any incarnation.
	GetFor(q QueueID, s queue.SessionID, done func(GetResult, error))
	Purge(q QueueID, done func(n uint64, err error))
	Counts(q QueueID, done func(Counts, error))
	Renew(q QueueID, done func(Counts, error))
	Close(q QueueID, c Conditions, done func(n uint64, err error))
	Reopen(q QueueID, done func(error))
}

// An Attachment is a chunk of what an incarnation reports to a shard's leader
// when the leader changed or the stream to it broke: its consumers, what it
// holds, and what it settled without having learnt that it is committed: that is
// claimed too, and settled again behind the end of the report. In a report every
// consumer comes before, or in the chunk of, the first claim that names it.
// Chunks are to be bounded by their sender.
//
// The leader delivers to the consumers from the end of the report on. What it
// thought held by the incarnation and is not claimed was never received and is
// ready. Before the end it is not certain of anything.
type Attachment struct {
	From queue.Incarnation
	// Consumers are known again by their Incarnation and ID. Those that the
	// leader has and that are not in the report have ended.
	Consumers []*Consumer
	Claims    []Claim
	// Begin begins a report: what was reported before and not ended is void. End
	// ends it.
	Begin, End bool
}

// A Claim is a holding that an incarnation reports.
type Claim struct {
	Queue   QueueID
	Seq     uint64
	Holding queue.Holding
	Size    uint32 // Delivery.Size
	// Acquired is Delivery.Acquired; what was given back since has more.
	// queue.AnyAcquired: that is not known.
	Acquired uint16
	Session  uint64
	// Consumer is the consumer's ID, 0 if it is gone or there was none.
	Consumer uint64
}

// Attached is the answer to an Attachment.
type Attached struct {
	// Term in which the leader leads. What an older one sends is void from the
	// end of the report on.
	Term uint64
	// Consumers are the IDs of those of the chunk that could not be kept: their
	// queue is gone, or another consumer keeps them out.
	Consumers []uint64
	// Refused are the claims that could not be kept: what they name is gone, or
	// somebody else's.
	Refused []Claim
}

// An Answer says what became of a batch that was offered.
type Answer struct {
	To     queue.Incarnation
	Shard  uint64 // Shard's id, or 0 for the memory of the node
	Number uint64
	What   BatchOutcome
	// Refused are the publishes that at least one queue refused, ascending, if it
	// was taken; valid during the call.
	Refused []uint32
}

// An Ungranter is a Consumer.Shared that takes back what it let the consumer have
// and was not delivered.
type Ungranter interface{ Ungrant(n int) }

// Answers is told what became of batches, in a turn: it does not block and does
// not call back from there.
type Answers interface {
	Answer(a Answer)
	// Wake is called once at the end of a turn that called Answer.
	Wake()
}

// BatchOutcome is what became of a batch.
type BatchOutcome uint8

// Batch outcomes.
const (
	// BatchTook: it is committed, now or before.
	BatchTook BatchOutcome = iota
	// BatchGap: a batch before it is missing. All that are not answered have to
	// be sent again. It is said once until the missing one comes.
	BatchGap
	// BatchEnded: the incarnation ended. What became of the batch can not be
	// learnt.
	BatchEnded
)

// An Elsewhere serves the sessions of a node while another node leads their
// shard. It shares the shard's origin with the replica of the node, if there is
// one, and uses it within the replica's turns only.
type Elsewhere interface {
	// Turn is called in every turn in which this node does not lead; now is
	// monotonic.
	Turn(now time.Duration)
	// Follow says that this node does not lead any more, or that another leader
	// is known; 0 is nobody. The origin holds the node's consumers, claims and
	// whatever is not answered.
	Follow(leader uint64)
	// Lead says that this node leads from now on: the origin is the replica's
	// when it returns. What was received and not handed to a sink is to be given
	// up before.
	Lead()
}
