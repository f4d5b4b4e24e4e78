package shard

import "github.com/warrenmq/warren/core/queue"

// A Browser is a shard whose queues can be read without taking anything.
type Browser interface {
	// Browse calls done with what comes next. The next call may be made when
	// done was called. done runs in the shard's turn and must not block.
	Browse(b *Browse, done func(BrowsePart))
}

// A Browse reads one queue from its head to its end while the queue works.
type Browse struct {
	Queue QueueID
	// Messages and Bytes bound a part, but for one message that is larger.
	Messages, Bytes int

	// Cursor is the shard's.
	Cursor queue.Browser
}

// A BrowsePart is what one call of Browse found.
type BrowsePart struct {
	// Messages come in the order in which the queue would deliver them, the
	// highest priority first. There may be none before the end.
	Messages []Browsed
	// End says that there is nothing behind what was read, and Gone which of
	// the messages read are not in the queue any more: what was read without
	// them is the queue at this moment, exactly.
	End  bool
	Gone []uint64
	Err  error
}

// A Browsed is one message.
type Browsed struct {
	Blob        []byte // shared and immutable
	Seq         uint64
	Priority    uint8
	Redelivered bool
	Acquired    uint16 // times it was delivered and returned
	Failed      uint16 // those of them that count against the delivery limit
	// TTL is what is left of its time in milliseconds, if HasTTL; zero is up.
	TTL    uint32
	HasTTL bool
}

// Left sets what is left of the message's time.
func (b *Browsed) Left(expires, now int64) {
	if expires == 0 {
		return
	}
	left := min(max(expires-now, 0), int64(^uint32(0)))
	b.TTL, b.HasTTL = uint32(left), true
}
