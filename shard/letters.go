package shard

import (
	"encoding/binary"
	"fmt"

	"github.com/warrenmq/warren/core/queue"
)

// A LetterRule says what becomes of messages that die in a queue: that expire,
// that are too many, that are rejected or were given back too often.
type LetterRule uint8

// Letter rules.
const (
	// NoLetters: they are gone.
	NoLetters LetterRule = iota
	// AtLeastOnce: they leave the queue when they are where they were to go.
	// While they can not, what else dies waits.
	AtLeastOnce
	// AtMostOnce: they are gone if they can not be moved now.
	AtMostOnce
	letterRules
)

// A Letter is a message in a queue's outbox, on its way to other queues.
type Letter struct {
	Number uint64 // in the order of deaths
	Why    queue.Reason
	At     int64  // log time of its death
	Size   uint32 // what it counts in Outbox.Left
	Blob   []byte // shared and immutable
}

// LettersResult is the answer to Outbox.Letters.
type LettersResult struct {
	Letters []Letter
	// Floor is the number up to which every letter has left.
	Floor uint64
	// Volatile says that the outbox ends with this node: its letters are never
	// sent by a later life of it, and need no origin.
	Volatile bool
}

// An Outbox is the side of a shard that gives letters away.
type Outbox interface {
	// Letters asks for the next letters of a queue, in order; none means that
	// there are no more now: Mail.Posted tells of the next. An error means that
	// the queue is not served here any more.
	Letters(q QueueID, done func(LettersResult, error))
	// Left says that letters are where they were to go; the run names them by
	// their numbers.
	Left(q QueueID, r queue.Run)
}

// Mail is told of letters. It is called within a shard's turn: it does not
// block, and does not call back from there.
type Mail interface {
	// Posted says that a queue has letters that were not asked for.
	Posted(from Outbox, q QueueID)
	// Dropped says that messages that died were dropped, as AtMostOnce says.
	Dropped(q QueueID, n uint64)
}

// An origin in the index of a batch:
//
//	space u64 | id u64 | seq u64 | floor u64
const originSize = 32

func appendOrigin(dst []byte, o *queue.Origin) []byte {
	for _, v := range [...]uint64{o.Space, o.ID, o.Seq, o.Floor} {
		dst = binary.LittleEndian.AppendUint64(dst, v)
	}
	return dst
}

// Origin returns the origin of an item, whose Item.Origin is not 0.
func (e *Entry) Origin(n uint16) queue.Origin {
	b := e.origins[int(n-1)*originSize:][:originSize]
	u := binary.LittleEndian.Uint64
	return queue.Origin{Source: queue.Source{Space: u(b), ID: u(b[8:])}, Seq: u(b[16:]), Floor: u(b[24:])}
}

// Origin returns the origin of an item added.
func (b *Builder) Origin(n uint16) queue.Origin {
	e := Entry{origins: b.origins}
	return e.Origin(n)
}

// splitIndex cuts what stands behind the head of an index into its items and
// origins.
func splitIndex(x []byte, items, origins uint32) (its, ors []byte, err error) {
	size := uint64(items) * itemSize
	if uint64(len(x)) != size+uint64(origins)*originSize {
		return nil, nil, fmt.Errorf("%w: %d items and %d origins in %d bytes", ErrFormat, items, origins, len(x))
	}
	return x[:size], x[size:], nil
}
