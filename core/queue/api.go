package queue

import "iter"

// --- Ledger: commands ---

// A Ledger is the replicated content of one queue.
type Ledger struct{}

// NewLedger returns an empty queue.
func NewLedger(s Settings) *Ledger { panic("") }

// Enqueue adds a message at the tail of its lane and returns its sequence.
func (l *Ledger) Enqueue(r Record) (seq uint64) { panic("") }

// Settle removes what a consumer acknowledged. It returns how many messages
// went: r.N, or 0 if the run does not name exactly what is there.
func (l *Ledger) Settle(r Run) (n uint32) { panic("") }

// Remove is Settle for what the leader took away.
func (l *Ledger) Remove(r Run, why Reason) (n uint32) { panic("") }

// Return gives messages back; they keep their place unless raise says ToTail.
func (l *Ledger) Return(r Run, raise Raise) (n uint32) { panic("") }

// Clear removes everything, held or not: the queue is deleted.
func (l *Ledger) Clear() { panic("") }

// SetHorizon allows first deliveries up to seq. It never goes back.
func (l *Ledger) SetHorizon(priority uint8, seq uint64) bool { panic("") }

// Lost marks everything a leader may have delivered as redelivered.
func (l *Ledger) Lost() bool { panic("") }

// SetSettings replaces the queue's arguments. Memory stays as it was.
func (l *Ledger) SetSettings(s Settings) { panic("") }

// --- Ledger: questions ---

func (l *Ledger) Settings() Settings             { panic("") }
func (l *Ledger) Total() Amount                  { panic("") }
func (l *Ledger) Counters() Counters             { panic("") }
func (l *Ledger) NextSeq(priority uint8) uint64  { panic("") }
func (l *Ledger) Horizon(priority uint8) uint64  { panic("") }
func (l *Ledger) LostMark(priority uint8) uint64 { panic("") }
func (l *Ledger) Live(seq uint64) bool           { panic("") }
func (l *Ledger) Redelivered(seq uint64) bool    { panic("") }

// Record returns a message with its present counts. hot is false when its page
// is cold or the message is gone (Live tells which).
func (l *Ledger) Record(seq uint64) (r Record, hot bool) { panic("") }

// Browse returns the first live message after seq in delivery order (0 starts).
func (l *Ledger) Browse(after uint64) (seq uint64, ok bool) { panic("") }

// Digest is equal on replicas of equal content, whatever is hot or cold.
func (l *Ledger) Digest() uint64 { panic("") }

// --- Ledger: pages ---

// PageInfo describes one page.
type PageInfo struct {
	ID    uint64
	Live  Amount
	Hot   bool // all records are in memory
	Clean bool // all records are in the last durable checkpoint: Evict takes it
}

// Pages yields the pages in order of their ids.
func (l *Ledger) Pages() iter.Seq[PageInfo] { panic("") }

// HotPages counts the pages with records in memory.
func (l *Ledger) HotPages() int { panic("") }

// Evict lets the records of a clean page go.
func (l *Ledger) Evict(page uint64) bool { panic("") }

// Install brings back the records of a page from its checkpointed value.
func (l *Ledger) Install(page uint64, records []byte) error { panic("") }

// Trim gives back the memory an idle queue keeps for its next messages.
func (l *Ledger) Trim() { panic("") }

// --- Ledger: checkpoint ---

// OpenLedger restores a queue from its record; OpenPage follows for each page in
// order of ids, then Opened. Records stay cold.
func OpenLedger(s Settings, record []byte) (*Ledger, error) { panic("") }

// OpenPage restores the header of a page.
func (l *Ledger) OpenPage(id uint64, header []byte) error { panic("") }

// Opened checks that the pages add up to the queue record.
func (l *Ledger) Opened() error { panic("") }

// Cut records what changed since the last cut; cheap, no encoding. out is reused.
func (l *Ledger) Cut(round uint64, out *Cut) { panic("") }

// Saved says that the cut is durable: its pages may be evicted.
func (l *Ledger) Saved(c *Cut) { panic("") }

// Abort says that the cut will never be: the next one includes it.
func (l *Ledger) Abort(c *Cut) { panic("") }

// A Cut is a picture of what changed in one ledger. Its methods may be used by
// one other goroutine until Saved or Abort. Write it as: delete the keys of
// Gone, then set those of Pages and the queue record, in one batch.
type Cut struct {
	Round uint64
	Pages []PageCut
	Gone  []GonePage
}

// Changed reports whether the queue record or any page changed.
func (c *Cut) Changed() bool { panic("") }

// AppendQueue encodes the queue record.
func (c *Cut) AppendQueue(dst []byte) []byte { panic("") }

// A PageCut is a page that changed.
type PageCut struct {
	ID uint64
}

// AppendHeader encodes the page's header.
func (p *PageCut) AppendHeader(dst []byte) []byte { panic("") }

// HasRecords reports whether the records value must be written too.
func (p *PageCut) HasRecords() bool { panic("") }

// NeedsStored reports whether AppendRecords or AppendDead need the page's
// records value of the last checkpoint (part of the page is cold).
func (p *PageCut) NeedsStored() bool { panic("") }

// AppendRecords encodes the live records; stored is needed if NeedsStored.
func (p *PageCut) AppendRecords(dst, stored []byte) ([]byte, error) { panic("") }

// A BodyRef is a body that a message of the queue refers to.
type BodyRef struct {
	Seq   uint64
	Body  Body
	Flags uint8
}

// AppendNew lists the bodies of live messages that no earlier cut listed: they
// must be copied out of the log.
func (p *PageCut) AppendNew(dst []BodyRef) []BodyRef { panic("") }

// AppendDead lists the bodies that an earlier cut listed and whose messages
// have died since.
func (p *PageCut) AppendDead(dst []BodyRef, stored []byte) ([]BodyRef, error) { panic("") }

// A GonePage was in the last checkpoint and has no live message any more.
type GonePage struct {
	ID uint64
}

// AppendDead lists the bodies of the page, read from its stored records value.
func (g *GonePage) AppendDead(dst []BodyRef, stored []byte) ([]BodyRef, error) { panic("") }

// ValueRound returns the round in which a queue record, header or records value
// was written, without decoding the rest.
func ValueRound(value []byte) (uint64, error) { panic("") }

// --- Dispatcher ---

// A Dispatcher decides who gets what. See the package comment.
type Dispatcher struct{}

// Life identifies a dispatcher and says whom it waits for.
type Life struct {
	Epoch, Term uint64
	Waits       []Incarnation
}

// NewDispatcher stands over l from now on; an earlier one is detached.
func NewDispatcher(l *Ledger, life Life) *Dispatcher { panic("") }

// Close detaches the dispatcher from its ledger (leadership was lost).
func (d *Dispatcher) Close() { panic("") }

// Attach takes a chunk of what a node reports, consumers first; end closes its
// report. Claims that cannot be kept (gone, or held) are appended to refused.
func (d *Dispatcher) Attach(from Incarnation, consumers []ConsumerSpec, claims []Claim, end bool, refused []Claim) ([]Claim, error) {
	panic("")
}

// EndIncarnation ends all sessions of an incarnation (raising acquired), and
// the waiting for it.
func (d *Dispatcher) EndIncarnation(i Incarnation, out *Outcome) { panic("") }

// WantLost reports that all have attached or ended, that some ended, and that a
// Lost must be logged before anything is dispatched.
func (d *Dispatcher) WantLost() bool { panic("") }

// Open reports whether messages may be dispatched.
func (d *Dispatcher) Open() bool { panic("") }

// Add registers a consumer.
func (d *Dispatcher) Add(c ConsumerSpec) error { panic("") }

// Cancel removes a consumer; what it holds stays with its session.
func (d *Dispatcher) Cancel(id ConsumerID) bool { panic("") }

// EndConsumer removes a consumer and returns what it holds.
func (d *Dispatcher) EndConsumer(id ConsumerID, raise Raise, out *Outcome) bool { panic("") }

// EndSession removes a session's consumers and returns what it holds.
func (d *Dispatcher) EndSession(s SessionID, raise Raise, out *Outcome) { panic("") }

// SetCredit gives a metered consumer its credit.
func (d *Dispatcher) SetCredit(id ConsumerID, credit uint32) bool { panic("") }

// Wake says that a consumer's shared credit may be taken again.
func (d *Dispatcher) Wake(id ConsumerID) bool { panic("") }

// Consumers counts the consumers.
func (d *Dispatcher) Consumers() int { panic("") }

// Active returns the single active consumer.
func (d *Dispatcher) Active() (ConsumerID, bool) { panic("") }

// Ready is what may be delivered; Held is delivered and not settled.
func (d *Dispatcher) Ready() Amount { panic("") }
func (d *Dispatcher) Held() Amount  { panic("") }

// Dispatch hands up to max messages to consumers, appending to out.
func (d *Dispatcher) Dispatch(now int64, max int, out []Delivery) ([]Delivery, Pause) { panic("") }

// Get hands the next message to a session without a consumer.
func (d *Dispatcher) Get(s SessionID, ref uint64, now int64) (Delivery, Pause) { panic("") }

// Settle ends a holding: credit is free at once, and the caller logs
// Ledger.Settle, or Remove(…, Rejected). ok is false if the holding is stale.
func (d *Dispatcher) Settle(seq uint64, h Holding) (size uint32, ok bool) { panic("") }

// Return ends a holding that is given back.
func (d *Dispatcher) Return(seq uint64, h Holding, raise Raise) (size uint32, v Verdict) { panic("") }

// Expired names expired messages at the head, for Remove(…, Expired).
// Call it after Dispatch, so that a TTL of 0 reaches a waiting consumer.
func (d *Dispatcher) Expired(now int64, max int, out []Run) ([]Run, Pause) { panic("") }

// NextExpiry is when the head expires (0: never, or unknown while cold).
func (d *Dispatcher) NextExpiry() int64 { panic("") }

// Overflow names what is ready beyond the limits, for Remove(…, Dropped). From
// the call on it is neither counted nor delivered.
func (d *Dispatcher) Overflow(max int, out []Run) ([]Run, Pause) { panic("") }

// Purge names everything ready, for Remove(…, Purged).
func (d *Dispatcher) Purge(out []Run) ([]Run, Pause) { panic("") }

// Admit accounts for a publish that is about to be proposed; false says that
// the queue is full and rejects it (nothing is accounted then).
func (d *Dispatcher) Admit(priority uint8, size uint32) bool { panic("") }

// Withdraw takes back what Admit accounted and will not be applied.
func (d *Dispatcher) Withdraw(priority uint8, size uint32) { panic("") }

// ClearInFlight forgets publishes and horizons in flight: nothing proposed is
// unapplied any more.
func (d *Dispatcher) ClearInFlight() { panic("") }

// WantHorizon asks for a logged SetHorizon, covering messages in flight. Call it
// until ok is false whenever a section is built.
func (d *Dispatcher) WantHorizon() (priority uint8, seq uint64, ok bool) { panic("") }

// ReadAhead appends the ids of cold pages that will be dispatched next.
func (d *Dispatcher) ReadAhead(max int, out []uint64) []uint64 { panic("") }
