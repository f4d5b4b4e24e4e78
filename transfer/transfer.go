// Package transfer moves messages from one ledger to another: today the dead
// letters of queues. A letter stays in its queue's outbox until every queue it
// goes to has it, committed; only then it leaves. Sent again after a failure it
// carries the same origin, by which a queue knows what it has.
//
// It owns no message and decides nothing about queues: shards tell it of letters
// (it is their Mail) and answer what becomes of them (it is their Confirms), from
// inside their turns, where it only takes a note. Everything else is done by
// Step, which one goroutine calls: that of Run, or a test.
package transfer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/shard"
)

// A Router knows where letters go.
type Router interface {
	// Address returns where the letters of a queue go; false if that is
	// nowhere, or the queue is gone.
	Address(q shard.QueueID) (Address, bool)
	// Route appends the queues for a message that is about to be published to
	// the exchange of an address, with its own routing key and more. ok is
	// false if there is no such exchange.
	Route(a *Address, m *message.Message, keys [][]byte, dst []Target) (ts []Target, ok bool)
}

// An Address is where the letters of a queue go.
type Address struct {
	VHost, Queue string // whose letters they are
	Exchange     string
	Key          []byte // in place of the message's own, if HasKey
	HasKey       bool
	// AtMostOnce drops a letter that a target does not take at once.
	AtMostOnce bool
	// Due says that the queue is the schedule of the exchange, and that its
	// letters did not die: they go on as they came.
	Due bool
}

// A Target is a queue that a letter goes to.
type Target struct {
	Queue shard.QueueID
	Name  string
	To    shard.Shard // nil: it can take nothing now
	// Delay is for how many milliseconds the letter is to wait there, if the
	// queue is a schedule; else 0.
	Delay uint32
}

// Options of New.
type Options struct {
	Router Router
	Clock  clock.Clock
	Logger *slog.Logger
}

// Bounds of what is on its way.
const (
	// maxOpen bounds the letters of one queue: what the window of an origin can
	// tell apart.
	maxOpen = queue.OriginWindow
	// maxBytes bounds the bodies of all letters, but for one answer of a shard.
	maxBytes = 16 << 20
)

// A Transfer moves letters; see the package comment.
type Transfer struct {
	o    Options
	log  *slog.Logger
	wake chan struct{}

	mu struct {
		sync.Mutex
		events []event
	}

	// Owned by Step.
	events  []event // spare
	sources map[sourceKey]*source
	asks    []*source // that may be asked for more, in order
	touched []*source // whose letters were done in this step
	parts   map[uint64]part
	tag     uint64 // given last
	rows    []row
	gates   map[shard.QueueID]*gate
	shut    []*gate // of gates, in the order of their making
	bytes   int     // of the letters in hand
	parked  int     // shards that take no more for now
	targets []Target
	drops   drops
	counts  Counts
	// reportAt is when what was dropped may be told again.
	reportAt time.Duration
}

// Counts says what became of letters since the start.
type Counts struct {
	Moved, Dropped, Retried uint64
}

type sourceKey struct {
	from  shard.Outbox
	queue shard.QueueID
}

// A source is a queue whose letters are on their way.
type source struct {
	sourceKey
	asking bool // an answer is due
	more   bool // there may be letters that were not asked for
	listed bool // in asks
	gone   bool // forgotten: answers to its letters count for nothing
	open   int
	done   []ended
}

// An ended letter is where it was to go, or dropped.
type ended struct {
	number uint64
	size   uint32
}

// A letter is a message on its way.
type letter struct {
	src    *source
	number uint64
	size   uint32
	origin *queue.Origin // nil for what a restart forgets anyway
	blob   []byte
	why    queue.Reason
	at     int64

	left    int             // answers that are due
	took    []shard.QueueID // that have it
	waits   *gate           // that it did not get through in this attempt
	freed   bool            // it is the gate's turn to let it through
	once    bool            // nothing is sent again
	refused bool            // a target refused it, or may have
	split   bool            // each queue is asked by itself
	resend  bool            // so in the next attempt, at once
}

// A part is a letter in the queues of one shard.
type part struct {
	l      *letter
	queues []shard.QueueID
	gate   *gate // that it went through, if any
	delay  uint32
}

// A row collects the publishes of one step for one shard.
type row struct {
	to shard.Shard
	ps []shard.Publish
}

// New returns a transfer that has nothing to do.
func New(o Options) *Transfer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Transfer{
		o: o, log: o.Logger, wake: make(chan struct{}, 1),
		sources: map[sourceKey]*source{}, parts: map[uint64]part{}, drops: drops{}, gates: map[shard.QueueID]*gate{},
	}
}

// Run works until ctx ends. What is on its way then is sent again by the next
// life of the node.
func (t *Transfer) Run(ctx context.Context) {
	timer := t.o.Clock.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d := time.Hour
		if at, ok := t.Step(); ok {
			d = max(0, at-t.o.Clock.Mono())
		}
		timer.Reset(d)
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-timer.C():
		}
	}
}

// Step does everything there is to do. It returns when it is to be called next
// if nothing wakes it.
func (t *Transfer) Step() (next time.Duration, ok bool) {
	for {
		t.mu.Lock()
		events := t.mu.events
		t.mu.events = t.events[:0]
		t.mu.Unlock()
		for i := range events {
			t.handle(&events[i])
		}
		clear(events)
		t.events = events[:0]
		now := t.o.Clock.Mono()
		t.free(now)
		t.publish()
		t.leave()
		t.ask()
		if !t.Pending() {
			return t.next(t.report(now))
		}
	}
}

// Pending reports whether shards said anything since the last Step.
func (t *Transfer) Pending() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mu.events) > 0
}

// next is when the next gate is to be tried, or the next report is due.
func (t *Transfer) next(report time.Duration) (time.Duration, bool) {
	at := t.opens()
	if at == 0 || report != 0 && report < at {
		at = report
	}
	return at, at != 0
}

// Idle reports whether nothing is on its way and nothing is to be done.
func (t *Transfer) Idle() bool { return len(t.sources) == 0 && !t.Pending() }

// Counts returns what became of letters so far. It is called where Step is.
func (t *Transfer) Counts() Counts { return t.counts }

// ask asks sources for more, as far as memory goes.
func (t *Transfer) ask() {
	n := 0
	for ; n < len(t.asks) && t.bytes < maxBytes && t.parked == 0; n++ {
		src := t.asks[n]
		src.listed = false
		if src.gone || src.asking || !src.more || src.open >= maxOpen {
			continue
		}
		src.asking = true
		src.from.Letters(src.queue, func(r shard.LettersResult, err error) {
			t.note(event{kind: answered, src: src, letters: r, err: err})
		})
	}
	t.asks = append(t.asks[:0], t.asks[n:]...)
}

// list has a source asked for more.
func (t *Transfer) list(src *source) {
	if !src.listed && src.more && !src.asking && !src.gone {
		src.listed = true
		t.asks = append(t.asks, src)
	}
}

// forget drops a source: its queue is gone, or not served here any more. What
// is open of it is sent again if it ever is.
func (t *Transfer) forget(src *source) {
	src.gone = true
	if t.sources[src.sourceKey] == src {
		delete(t.sources, src.sourceKey)
	}
}

// settleDown forgets a source that has nothing to do.
func (t *Transfer) settleDown(src *source) {
	if !src.more && !src.asking && src.open == 0 {
		t.forget(src)
	}
}
