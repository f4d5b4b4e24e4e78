// Package archive is the file of a backup: definitions and messages of a node,
// in frames that each carry their own checksum, under one hash of the whole. It
// writes and reads the format, and knows nothing of nodes: node fills archives,
// admin/client checks them and gives them back. It starts no goroutine.
//
//	"WARRENBK"                8 bytes
//	version u32               of the format, 1
//	frames…
//
// A frame:
//
//	kind u8 | 0 u8 | 0 u16 | length u32 | payload | crc u32
//
// The checksum is CRC-32C over everything of the frame before it; all integers
// are little-endian. The frames of an archive are, in this order:
//
//	manifest      once: JSON, see Manifest
//	definitions   any number: pieces of one JSON document, which is complete
//	              where another kind begins
//	queues        for each queue that may hold messages:
//	  queue         JSON, see Queue
//	  messages      any number, see below
//	  gone          any number: sequences among the messages that had left the
//	                queue when its last message was read; they are no part of it
//	  queue end     JSON, see QueueEnd
//	end           once, last: SHA-256 over all bytes before this frame, then
//	              queues, messages and bytes of bodies as u64
//
// Messages stand one behind the other in the order of their delivery, the
// highest priority first, in uvarints:
//
//	sequence | flags | priority | acquired | failed | ttl | length | message
//
// The message is in the broker's own stored form. ttl is what was left of its
// time in milliseconds, if flag 2 is set; flag 1 says that it was, or may have
// been, delivered before. A sequence of gone is the distance to the one before.
package archive

import (
	"errors"
	"fmt"
)

// Version is that of the format.
const Version = 1

// magic begins every archive.
const magic = "WARRENBK"

// Kinds of frames.
const (
	kindManifest = iota + 1
	kindDefinitions
	kindQueue
	kindMessages
	kindGone
	kindQueueEnd
	kindEnd
)

const (
	headSize  = 8
	frameHead = 8
	frameTail = 4
	// pieceSize is about how large a frame becomes; one message may be larger.
	pieceSize = 256 << 10
	// maxFrame bounds a frame: no message is longer.
	maxFrame = 160 << 20
	// MaxDefinitions bounds the definitions.
	MaxDefinitions = 1 << 30
)

// A Manifest says what the archive is a backup of.
type Manifest struct {
	// ID is different for every archive.
	ID string `json:"id"`
	// Node and Version are those of the node that wrote it.
	Node    string `json:"node"`
	Version string `json:"version"`
	// Created is a time as RFC 3339 writes it.
	Created string `json:"created"`
	// Queues is how many queues follow.
	Queues int `json:"queues"`
}

// A Queue names the queue whose messages follow.
type Queue struct {
	VHost string `json:"vhost"`
	Name  string `json:"name"`
	// Schedule says that it is not a queue but a delayed exchange, in which the
	// messages wait: what is left of their time is until they are due.
	Schedule bool `json:"schedule,omitempty"`
}

// What names the queue for people.
func (q Queue) What() string {
	if q.Schedule {
		return fmt.Sprintf("delayed exchange %q in vhost %q", q.Name, q.VHost)
	}
	return fmt.Sprintf("queue %q in vhost %q", q.Name, q.VHost)
}

// A QueueEnd closes a queue.
type QueueEnd struct {
	// Messages were in the queue, without those that are gone; Bytes are the
	// stored length of all that stand here.
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	// Unavailable says why the queue's messages are not in the archive. Empty:
	// they are.
	Unavailable string `json:"unavailable,omitempty"`
}

// A Message is one message of a queue.
type Message struct {
	Seq              uint64
	Priority         uint8
	Redelivered      bool
	Acquired, Failed uint16
	HasTTL           bool
	TTL              uint32 // milliseconds left
	Blob             []byte // as the broker stores it
}

// Totals are the sums of an archive.
type Totals struct {
	Queues, Messages, Bytes uint64
}

// ErrNotArchive says that the file is something else.
var ErrNotArchive = errors.New("this is not a backup of Warren")

// A DamageError says what of an archive is damaged, and where.
type DamageError struct {
	Offset int64  // in the file, where the damaged part begins
	Part   string // what stands there
	What   string // is wrong
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the archive is damaged at byte %d, in %s: %s", e.Offset, e.Part, e.What)
}
