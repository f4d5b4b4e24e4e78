package queue

import "errors"

// Errors of Dispatcher.Add.
var (
	ErrExclusive = errors.New("queue: in exclusive use")
	ErrConsumer  = errors.New("queue: consumer is already there")
)

// An Incarnation is one life of a node's process.
type Incarnation struct{ Node, Number uint64 }

// A SessionID names what holds messages together: an AMQP channel, a
// connection, an MQTT session.
type SessionID struct {
	Incarnation Incarnation
	Number      uint64
}

// A ConsumerID is given by the caller; no two consumers of a dispatcher have
// the same at a time.
type ConsumerID uint64

// Credit is a limit that consumers of several queues share, such as a channel's
// prefetch. Take is asked once a message is there for the consumer; on false
// the consumer rests until Dispatcher.Wake.
type Credit interface{ Take() bool }

// ConsumerSpec describes a consumer.
type ConsumerSpec struct {
	ID      ConsumerID
	Session SessionID
	// Ref comes back in every Delivery, so that the caller looks nothing up.
	Ref       uint64
	NoAck     bool // Prefetch does not bind it, Window does
	Exclusive bool
	Priority  int32
	Prefetch  uint32 // messages held at most; 0 is unlimited
	// Window is the number of bytes held beyond which nothing more is
	// delivered; 0 is unlimited.
	Window uint32
	// Metered consumers get one message per credit given by SetCredit.
	Metered bool
	Credit  uint32 // the first credit of a metered consumer
	Shared  Credit // may be nil
	// Granted says that the consumer's grant is logged (see Life.Grants).
	Granted bool
}
