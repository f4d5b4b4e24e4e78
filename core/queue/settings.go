package queue

// A Limit is a bound that may be absent: the zero value is no limit.
type Limit uint64

// AtMost is the limit n, which may be zero.
func AtMost(n uint64) Limit { return Limit(n) + 1 }

// Set reports whether there is a limit, and which.
func (l Limit) Set() (n uint64, ok bool) { return uint64(l) - 1, l != 0 }

// exceeded reports whether n is beyond the limit.
func (l Limit) exceeded(n uint64) bool { return l != 0 && n > uint64(l)-1 }

// Overflow says what a full queue does.
type Overflow uint8

const (
	// DropHead removes ready messages from the head (the default).
	DropHead Overflow = iota
	// RejectPublish refuses publishes while the queue is full.
	RejectPublish
	// PostPublish refuses publishes and puts them into the outbox.
	PostPublish
)

// Settings are the queue's arguments as far as the machine knows them. They
// change by a logged command, the same on every replica.
type Settings struct {
	// Memory is a queue that one node holds: it has no horizon and no cuts.
	// It never changes.
	Memory bool
	// MaxPriority is the highest lane; greater priorities are capped. 0: none.
	MaxPriority uint8
	// MaxLength and MaxBytes bound what is ready.
	MaxLength, MaxBytes Limit
	Overflow            Overflow
	// DeliveryLimit bounds Record.Failed: a return that would exceed it
	// removes the message instead.
	DeliveryLimit Limit
	// Retry has messages that are given back rest.
	Retry Retry
	// SingleActive lets only one consumer have messages at a time.
	SingleActive bool
	// Schedule is a queue whose messages wait until they are due. It never
	// changes.
	Schedule bool
}
