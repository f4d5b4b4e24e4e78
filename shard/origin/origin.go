// Package origin is a node's own side of a shard, whoever leads it: what its
// sessions asked for and gave, and what became of it. There is one Origin for a
// node and a shard, with one inbox, so that the order of what a session does
// never depends on where the leader is.
//
// Its publishes are numbered batches, kept until they are answered and sent
// again, in order, to whoever leads. While another node leads, it also keeps the
// node's consumers, what they hold, what was settled and is not known to be
// committed, and the requests without an answer: that is what the node attaches
// with to the next leader. While this node leads nothing is kept for a delivery;
// the replica fills the origin when it loses the lead (Hold), and empties it when
// it leads again (Yield).
//
// An Origin has no goroutine and no lock but its inbox's: one turn at a time
// owns it. On a node with a replica of the shard that is the replica's turn,
// leading or not; elsewhere it is the turn of shard/remote. It never sends
// anything: it says what is to be sent.
package origin

import (
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// An Origin is a node's side of one shard.
type Origin struct {
	// In collects the calls of sessions. It may be used by any goroutine.
	In shard.Inbox
	// Wakes are told at the end of a turn, by whoever runs it.
	Wakes *shard.Wakes

	inc queue.Incarnation
	ids atomic.Uint64 // of consumers
	// handed counts how often a replica handed its sessions over.
	handed atomic.Uint64

	number  uint64   // of the batch taken last
	pending []*Batch // taken and not answered, by number
	bytes   int      // of pending
	sent    int      // how many of pending were sent, or proposed, to the leader
	runs    [][]shard.Run
	parking parking

	term      uint64 // of the leader that was attached to last
	consumers map[uint64]*shard.Consumer
	held      map[shard.QueueID]map[uint64]claim
	groups    []group
	groupNo   uint64 // of the group made last
	asked     []asked
	askNo     uint64
}

// maxPending bounds the bytes of batches that are not answered: beyond it
// publishes wait in the inbox, and their publishers with them.
const maxPending = 16 << 20

// New returns the origin of an incarnation.
func New(inc queue.Incarnation) *Origin {
	o := &Origin{
		inc: inc, Wakes: &shard.Wakes{},
		consumers: map[uint64]*shard.Consumer{}, held: map[shard.QueueID]map[uint64]claim{},
	}
	o.In.Parking = shard.DefaultParking
	return o
}

// Incarnation is whose origin it is.
func (o *Origin) Incarnation() queue.Incarnation { return o.inc }

// Name gives a consumer its ID, before anything is done with it. It may be
// called by any goroutine.
func (o *Origin) Name(c *shard.Consumer) {
	if c.ID == 0 {
		c.ID = o.ids.Add(1)
	}
}

// patience is how long requests wait for somebody to lead.
const patience = 10 * time.Second
