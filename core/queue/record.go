package queue

// PageSize is the number of sequences a page spans.
const PageSize = 4096

const (
	pageShift = 12
	slotMask  = PageSize - 1
	laneShift = 56
)

// A Body names the bytes of a message by their birth: the index of the log
// entry they entered with, and their place in its data. With the shard's id it
// is unique for ever.
type Body struct {
	Index    uint64
	Off, Len uint32
}

// Flags of a Record.
const (
	// Shared says that other queues of the shard refer to the same body.
	Shared uint8 = 1 << iota
)

// A Record is what a queue knows of one message.
type Record struct {
	Body     Body
	Expires  int64  // log time in ms; 0 never. In a schedule: when it is due
	Size     uint32 // what the message counts in the queue's bytes (its payload)
	Priority uint8  // as published; the lane is capped by Settings.MaxPriority
	Flags    uint8
	// Acquired counts the returns of a delivered message, Failed those that
	// count against the delivery limit. Both saturate.
	Acquired, Failed uint16
}

// PriorityOf returns the lane of a sequence.
func PriorityOf(seq uint64) uint8 { return uint8(seq >> laneShift) }

// PageOf returns the id of the page that a sequence lies in. Ids are unique in
// the queue and grow with the sequence.
func PageOf(seq uint64) uint64 { return seq >> pageShift }

// An Amount is a number of messages and their bytes.
type Amount struct{ Messages, Bytes uint64 }

// A Run names messages by what is live in [Seq, Seq+Span), which lies in one
// page: N messages of Bytes in all. It is logged with the counts, so that it
// applies to cold pages, and changes nothing unless exactly N are live.
type Run struct {
	Seq   uint64
	Span  uint32
	N     uint32
	Bytes uint64
}

// AppendRun adds one message to runs, extending the last run if it can.
// Sequences added in ascending order give the shortest result.
func AppendRun(runs []Run, seq uint64, size uint32) []Run {
	if n := len(runs); n > 0 {
		r := &runs[n-1]
		if seq == r.Seq+uint64(r.Span) && PageOf(seq) == PageOf(r.Seq) {
			r.Span++
			r.N++
			r.Bytes += uint64(size)
			return runs
		}
	}
	return append(runs, Run{Seq: seq, Span: 1, N: 1, Bytes: uint64(size)})
}

// Raise says what a return changes about a message.
type Raise uint8

const (
	// RaiseAcquired counts the delivery: the message is redelivered from now on.
	RaiseAcquired Raise = 1 << iota
	// RaiseFailed counts against the delivery limit.
	RaiseFailed
	// ToTail gives the message a new place behind everything enqueued so far;
	// otherwise it keeps its place.
	ToTail
)

// Reason says why the leader removed messages that nobody settled.
type Reason uint8

// The reasons of Ledger.Remove. Their numbers are in the log.
const (
	Expired Reason = iota + 1
	Dropped        // over a length limit
	Purged
	Rejected
	Spent // over the delivery limit
	Due   // the time it waited for has come
	reasons
)

func (r Reason) String() string {
	switch r {
	case Expired:
		return "expired"
	case Dropped:
		return "dropped"
	case Purged:
		return "purged"
	case Rejected:
		return "rejected"
	case Spent:
		return "spent"
	case Due:
		return "due"
	default:
		return "unknown"
	}
}

// Counters are the ledger's accounts since the queue was made:
// Enqueued = Settled + Removed (all reasons) + Total.
type Counters struct {
	Enqueued, Settled, Returned uint64
	Expired, Dropped, Purged    uint64
	Rejected, Spent, Due        uint64
	Cleared, Losses             uint64
}
