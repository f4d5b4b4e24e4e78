package checker

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// A Kind of event says what happened. In brackets is which fields count; At and,
// where it is named, Client always do.
type Kind uint8

const (
	// Queue: a queue of the run and its rules, before it is used
	// [Queue, N time to live in ms, ID.Producer 1 + queue of its dead letters, Flag rules].
	Queue Kind = iota + 1
	// Open: a client has a connection [Client, N node].
	Open
	// Routes: what the client publishes goes to these queues [Client, N bits of queues].
	Routes
	// Leave: the client is about to close its connection [Client].
	Leave
	// Closed: it closed in order, which makes every settlement before it certain [Client].
	Closed
	// Shut: its connection broke [Client].
	Shut

	// Send: the message is about to leave [ID].
	Send
	// Confirm: it was confirmed, or the transaction with it committed [ID].
	Confirm
	// Refuse: it was refused, returned or rolled back [ID].
	Refuse
	// Doubt: nobody knows whether the transaction with it and the N-1 that follow
	// was committed [ID, N].
	Doubt

	// Attach: a consumer begins [Client, Queue, Flag Exclusive].
	Attach
	// Detach: it is about to be cancelled [Client, Queue].
	Detach
	// Deliver: a message came [Client, Queue, ID, N 1 + x-delivery-count, Flag Redelivered].
	Deliver
	// Garbage: something came that is no message of anybody [Client, Queue].
	Garbage
	// Ack: the message is about to be settled [Client, Queue, ID].
	Ack
	// Requeue: it is about to be given back [Client, Queue, ID].
	Requeue
	// Reject: it is about to be dropped, or to die [Client, Queue, ID].
	Reject

	// Fault: nodes are about to be hurt, or nothing in particular [N bits of nodes,
	// Flag Slow].
	Fault
	// Heal: nodes are whole again [N bits of nodes].
	Heal
	// Calm: all is healed, and every queue has to confirm from here.
	Calm
	// Counted: a node says at the end how much a queue holds [Queue, N, ID.Producer node].
	Counted

	// Declare: a name is about to be declared [N name].
	Declare
	// Declared: it was [N name].
	Declared
	// Delete: a name is about to be deleted [N name].
	Delete
	// Deleted: it was [N name].
	Deleted
	// Present: somebody saw it [N name].
	Present
	// Missing: somebody was told that it is not there [N name].
	Missing
)

// Flags of events.
const (
	Redelivered = 1 << iota // the delivery was marked
	Exclusive               // the consumer is the only one
	Strict                  // first deliveries of the queue are in order, marked or not
	Single                  // the queue has one active consumer
	Slow                    // what the nodes send to their clients may come late
)

var kindNames = [...]string{
	Queue: "queue", Open: "open", Routes: "routes", Leave: "leave", Closed: "closed", Shut: "shut",
	Send: "send", Confirm: "confirm", Refuse: "refuse", Doubt: "doubt",
	Attach: "attach", Detach: "detach", Deliver: "deliver", Garbage: "garbage", Ack: "ack", Requeue: "requeue", Reject: "reject",
	Fault: "fault", Heal: "heal", Calm: "calm", Counted: "counted",
	Declare: "declare", Declared: "declared", Delete: "delete", Deleted: "deleted", Present: "present", Missing: "missing",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// An Event of a history. What is about to be asked for is told before it leaves,
// what was answered after it came; so an event stands where its cause, or its
// effect, can be.
type Event struct {
	At     time.Duration // since the run began, by one clock for all clients
	Kind   Kind
	Client uint32 // number of a connection, never used again
	Queue  uint8  // below maxQueues
	ID     ID
	N      uint64
	Flag   uint8
}

// Append appends the event as a line of eight columns: microseconds, kind, client,
// queue, producer, number, n, flag.
func (e Event) Append(line []byte) []byte {
	line = strconv.AppendInt(line, e.At.Microseconds(), 10)
	line = append(line, ' ')
	line = append(line, e.Kind.String()...)
	for _, n := range [...]uint64{uint64(e.Client), uint64(e.Queue), uint64(e.ID.Producer), e.ID.Seq, e.N, uint64(e.Flag)} {
		line = append(line, ' ')
		line = strconv.AppendUint(line, n, 10)
	}
	return append(line, '\n')
}

// ParseEvent reads a line of Append, with or without its end.
func ParseEvent(line []byte) (e Event, err error) {
	words := bytes.Fields(line)
	if len(words) != 8 {
		return e, fmt.Errorf("%d columns, want 8: %q", len(words), line)
	}
	for k, name := range kindNames {
		if name != "" && name == string(words[1]) {
			e.Kind = Kind(k)
		}
	}
	if e.Kind == 0 {
		return e, fmt.Errorf("no kind of event: %q", words[1])
	}
	var n [8]uint64
	for i, bits := range [...]int{0: 50, 2: 32, 3: 8, 4: 32, 5: 64, 6: 64, 7: 8} {
		if bits == 0 {
			continue
		}
		if n[i], err = strconv.ParseUint(string(words[i]), 10, bits); err != nil {
			return e, fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	e.At = time.Duration(n[0]) * time.Microsecond
	e.Client, e.Queue, e.N, e.Flag = uint32(n[2]), uint8(n[3]), n[6], uint8(n[7])
	e.ID = ID{Producer: uint32(n[4]), Seq: n[5]}
	return e, nil
}
