// Package replica is a shard whose log is a Raft group: it builds entries out of
// the open batch and the leader's decisions, applies what is committed to the
// queues' ledgers, confirms, dispatches, and gives checkpoints their cuts.
//
// The group owns its turn: everything here but the methods of shard.Shard and
// of a cut runs inside commitlog.Machine's methods. It starts no goroutine.
package replica

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/shard/origin"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
)

// A Group is what a replica needs of its Raft group.
type Group interface {
	// Wake has a turn run by the group's goroutine, TryTurn by the caller's.
	Wake()
	TryTurn() bool
	// Compact gives up the log up to index.
	Compact(index uint64)
	// AppendConf encodes the group's configuration, inside a turn.
	AppendConf(dst []byte) []byte
}

// A Catalog is what a replica asks about its queues.
type Catalog interface {
	// Queue returns the settings of a queue that the catalog has for this
	// shard, and the revision it was last changed at.
	Queue(shard uint64, id shard.QueueID) (s shard.Settings, revision uint64, ok bool)
	// Revision is the catalog's revision as this node knows it.
	Revision() uint64
	// Alive reports whether the catalog has not ended an incarnation, as far as
	// this node knows: one that it has not heard of is alive.
	Alive(i queue.Incarnation) bool
}

// Options of Open.
type Options struct {
	Group       uint64
	Incarnation queue.Incarnation // this node's
	Catalog     Catalog
	// Origin is this node's side of the shard, shared with Elsewhere; nil: the
	// shard has one of its own.
	Origin *origin.Origin
	// Elsewhere serves this node's sessions while another node leads; nil: what
	// they ask for waits, and is refused while another leader is known.
	Elsewhere shard.Elsewhere
	// Answers is told what became of other nodes' batches, while this node leads;
	// nil: nobody is.
	Answers shard.Answers
	// OnLead and OnFollow are called when this node begins to lead and ceases to,
	// in a turn; they must not block. May be nil.
	OnLead   func(term uint64)
	OnFollow func()
	// Suspect is called for an incarnation that the shard waits for and that has
	// not attached: the catalog is to end it. It must not block. May be nil.
	Suspect func(queue.Incarnation)
	State   storage.State
	Log     storage.LogStore
	Loader  *Loader
	// Slots say where the shard's state is; nil: in the slot of its number, and
	// it takes no snapshots.
	Slots *slot.Slots
	// Budget bounds the bytes of entries kept in memory for their bodies.
	Budget int
	// HotPages bounds the pages whose records stay in memory after a
	// checkpoint; default 256, about 40 MiB.
	HotPages int
	// Mail is told of letters; nil: what dies is gone.
	Mail shard.Mail
	// Ended is told of queues that are closed and that nobody else has the
	// catalog delete; it must not block.
	Ended func(shard.QueueID)
	// After calls f after a while, for settlements that wait; nil: they are
	// looked at with every turn, a tick's at the latest.
	After func(d time.Duration, f func())
	// Wall returns the wall clock in milliseconds.
	Wall func() int64
	// Mono returns the monotonic clock that turns are told: what came while a turn
	// waited for a processor is not stamped with the time of its beginning, or it
	// would expire early. Nil: no time passes during a turn.
	Mono   func() time.Duration
	Logger *slog.Logger
	// Fatal ends the process: what it is told must not be survived.
	Fatal func(error)
}

// Limits of what is proposed and not yet applied. While one entry is under way
// the next one collects, until it is worth an entry of its own.
const (
	bigBatch    = 256 << 10
	maxInFlight = 4
)

// A Shard is a replica of a shard. See the package comment for who may use what.
type Shard struct {
	o     Options
	group Group
	org   *origin.Origin // owned by the turn but for its inbox

	// inflight is how many entries are proposed and not applied, for callers
	// to know whether a turn will come anyway.
	inflight atomic.Int32

	progress struct{ applied, cut, dirty atomic.Uint64 }
	guests   guests

	// Everything below is owned by the turn.

	e     *engine.Engine
	clock logClock
	// stampDue says that the time is to be logged, whatever else is.
	stampDue bool
	mono     time.Duration // of this turn
	ticked   time.Duration
	term     uint64
	leading  bool
	leader   uint64        // another node that leads, as far as is known
	since    time.Duration // when nobody began to lead
	failed   bool          // Fatal was called: nothing is done any more
	planted  bool          // the entry that is next is dealt with wrongly, to see that this is found
	applied  uint64
	atTerm   uint64 // of the entry applied last
	stamp    int64  // the highest applied: the only time that Apply knows

	streams map[uint64]*stream // by node
	served  map[queue.Incarnation]bool
	serving serving
	early   early
	visits  visits
	// again is a batch that the log dropped, and that is proposed again before any
	// other; againMine says that it is this node's.
	again     *origin.Batch
	againMine bool
	section   shard.Section  // what is decided and not proposed
	into      *shard.Section // what a transaction decides, while it is admitted
	// admitted are the transactions of the entry that is being applied.
	admitted []txAdmitted
	// settledAt is when the section got its first settlement, while it waits
	// for company; else 0.
	settledAt time.Duration
	fns       []committed // to be called when what is decided so far is committed
	open      flight      // what this node's sessions settled and no entry has yet
	flights   []flight    // the same in entries that are not applied
	spares    [][]shard.Settle
	waiting   []waiter        // fns by index
	behind    []behind        // requests by the batch they wait for
	lastIdx   uint64          // proposed last
	recount   []*engine.Queue // whose count of publishes in flight may be off

	requests []shard.Request
	unknown  []shard.Request // for letters, until the view of the catalog is new enough
	settles  []shard.Settle
	quiet    func() // dispatch is stopped; called when nothing is under way
	quieted  bool

	dirty   []*engine.Queue
	dropped []*engine.Queue
	wantCut func(*cut)
	round   uint64
	slot    uint64 // where its state is
	cutting int    // cuts made and not durable yet
	// installing is a snapshot that takes the place of the state when no cut is
	// under way any more.
	installing func()

	control  sync.Mutex // guards controls
	controls []func()
}

// A committed is told when what is decided is committed. One with keep goes with
// settles of this node's sessions, which outlive this node's lead.
type committed struct {
	f    func(error)
	keep bool
}

type waiter struct {
	index uint64
	committed
}

// A behind request waits until this node's batches are answered up to a number,
// or those of others up to a ticket.
type behind struct {
	number, ticket uint64
	r              shard.Request
}

// A flight is what this node's sessions settled and is in an entry that may not
// be applied: should another node lead before, it has to be offered to that one.
type flight struct {
	index   uint64
	settles []shard.Settle
}

// A stream is what a shard remembers of one node's batches.
type stream struct {
	ended uint64 // the highest incarnation that ended
	inc   uint64
	last  uint64 // number applied last
	floor uint64
	// refused items of batches at or above the floor.
	exceptions map[uint64][]uint32
}

// Bind gives the shard its group, before its first turn.
func (s *Shard) Bind(g Group) { s.group = g }

// ID returns the shard's id, which is its group's.
func (s *Shard) ID() uint64 { return s.o.Group }

// Publish implements shard.Shard.
func (s *Shard) Publish(ps []shard.Publish) bool {
	size, ok := s.org.In.Publish(ps)
	s.poke(size)
	return ok
}

// Ready implements shard.Shard.
func (s *Shard) Ready(f func()) { s.org.In.Ready(f) }

// Settle implements shard.Shard.
func (s *Shard) Settle(ss []shard.Settle, done func(error)) {
	s.org.In.Settle(ss, done)
	s.poke(0)
}

// poke runs a turn unless one is due anyway and can wait: while an entry is
// under way, its end runs one.
//
// No wake-up is lost: the caller has put its work into the inbox before it
// looks at inflight, and the turn that makes inflight zero looks into the inbox
// after that (finish). One of the two sees the other.
func (s *Shard) poke(size int) {
	if s.inflight.Load() == 0 || size >= bigBatch {
		s.group.TryTurn()
	}
}

func (s *Shard) request(r shard.Request) {
	s.org.In.Add(r)
	s.group.TryTurn()
}

// Consume implements shard.Shard.
func (s *Shard) Consume(c *shard.Consumer, done func(error)) {
	s.org.Name(c)
	s.request(shard.Request{Kind: shard.ReqConsume, Queue: c.Queue, Consumer: c, Done: done})
}

// Cancel implements shard.Shard.
func (s *Shard) Cancel(c *shard.Consumer, end bool, done func(error)) {
	s.request(shard.Request{Kind: shard.ReqCancel, Consumer: c, End: end, Done: done})
}

// Kick implements shard.Shard.
func (s *Shard) Kick(c *shard.Consumer) {
	s.request(shard.Request{Kind: shard.ReqKick, Consumer: c})
}

// Get implements shard.Shard.
func (s *Shard) Get(q shard.QueueID, session uint64, done func(shard.GetResult, error)) {
	s.request(shard.Request{Kind: shard.ReqGet, Queue: q, Session: session, DoneGet: done})
}

// Purge implements shard.Shard.
func (s *Shard) Purge(q shard.QueueID, done func(uint64, error)) {
	s.request(shard.Request{Kind: shard.ReqPurge, Queue: q, DoneN: done})
}

// Counts implements shard.Shard.
func (s *Shard) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	s.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done})
}

// Letters implements shard.Outbox.
func (s *Shard) Letters(q shard.QueueID, done func(shard.LettersResult, error)) {
	s.request(shard.Request{Kind: shard.ReqLetters, Queue: q, DoneLetters: done})
}

// Left implements shard.Outbox.
func (s *Shard) Left(q shard.QueueID, r queue.Run) {
	s.request(shard.Request{Kind: shard.ReqLeft, Queue: q, Letters: r})
}

// Renew implements shard.Shard.
func (s *Shard) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	s.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done, Renew: true})
}

// Close implements shard.Shard.
func (s *Shard) Close(q shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	s.request(shard.Request{Kind: shard.ReqClose, Queue: q, If: c, DoneN: done})
}

// Reopen implements shard.Shard.
func (s *Shard) Reopen(q shard.QueueID, done func(error)) {
	s.request(shard.Request{Kind: shard.ReqReopen, Queue: q, Done: done})
}

// Changed implements shard.Shard.
func (s *Shard) Changed(q shard.QueueID) {
	// From the catalog's turn: not in it.
	s.Run(func() { s.changed(q) })
}

// Totals are the sums over a shard's queues, as of its last turn.
type Totals struct {
	Queues, Messages, Ready, Unacked, Consumers uint64
}

// Totals returns the sums. Those that only a leader knows are zero elsewhere.
func (s *Shard) Totals() Totals {
	ch := make(chan Totals, 1)
	s.Run(func() {
		var t Totals
		for _, q := range s.e.Queues() {
			t.Queues++
			t.Messages += q.Ledger.Total().Messages
			if q.Disp != nil {
				if !q.Settings.Schedule {
					t.Ready += q.Disp.Ready().Messages
				}
				t.Unacked += q.Disp.Held().Messages
				t.Consumers += uint64(q.Disp.Consumers())
			}
		}
		ch <- t
	})
	select {
	case t := <-ch:
		return t
	case <-time.After(time.Second):
		return Totals{}
	}
}
