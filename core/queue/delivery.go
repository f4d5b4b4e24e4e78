package queue

import "cmp"

// A Holding names one delivery of one message. It stays valid when the holder
// attaches to a later dispatcher.
type Holding struct{ Epoch, Term, Counter uint64 }

// after reports whether a holding of a message is later than another one of it.
func (h Holding) after(x Holding) bool {
	return cmp.Or(cmp.Compare(h.Epoch, x.Epoch), cmp.Compare(h.Term, x.Term), cmp.Compare(h.Counter, x.Counter)) > 0
}

// A Delivery hands a message to a consumer or a getter.
type Delivery struct {
	Consumer    ConsumerID // 0 for a get
	Ref         uint64
	Seq         uint64
	Holding     Holding
	Record      Record // with its present counts
	Redelivered bool
	NoAck       bool
}

// Why says why nothing (more) was handed out.
type Why uint8

// The reasons for a Pause.
const (
	NotPaused    Why = iota
	NoMessage        // nothing is ready
	NoCredit         // no consumer may have more
	NeedPage         // the next record is cold: Install(Pause.Page), then call again
	NeedHorizon      // the next first delivery needs a logged SetHorizon: WantHorizon
	NeedExpiry       // the head has expired: call Expired first
	LimitReached     // max was reached
	Attaching        // not yet open: see Dispatcher.Open
)

// A Pause says why a call stopped.
type Pause struct {
	Why  Why
	Page uint64 // NeedPage
	Seq  uint64 // NeedHorizon: the message that waits
}

// A Verdict is the dispatcher's answer to a return.
type Verdict uint8

// The verdicts.
const (
	Stale  Verdict = iota // another holding: nothing changed
	Return                // log Ledger.Return
	Spend                 // over the delivery limit: log Ledger.Remove(…, Spent)
)

// Outcome collects what must be logged after holders ended, by sequence.
type Outcome struct {
	Returns []Run // for Ledger.Return, with the raise that was given
	Spent   []Run // for Ledger.Remove(…, Spent)
}

// AnyAcquired is the Acquired of a claim that does not say.
const AnyAcquired = 1<<16 - 1

// A Claim is a holding that an attaching node reports.
type Claim struct {
	Seq     uint64
	Holding Holding
	Size    uint32 // Record.Size as delivered
	// Acquired is Record.Acquired as delivered. A message that was given back
	// since has more: then the claim is void. AnyAcquired: that is not known.
	Acquired uint16
	// Session holds the message; Consumer is 0 if the consumer is gone
	// (cancelled, or a get).
	Session  SessionID
	Consumer ConsumerID
}
