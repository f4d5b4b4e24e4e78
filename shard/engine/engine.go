// Package engine is what the turn of every shard has in common, whatever log
// feeds it: its queues with their consumers, the answering of requests, the
// dispatch of messages to sinks. It decides through the queues' dispatchers and
// hands every decision that has to be logged to a Log; the shard applies it to
// the ledger once it is committed, at once if the log is the memory of a node.
//
// It owns no goroutine and no lock: one turn at a time uses an Engine.
package engine

import (
	"cmp"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/shard"
)

// A Log takes decisions. Whether they are applied at once or later is its
// affair.
type Log interface {
	Settle(q *Queue, r queue.Run)
	Return(q *Queue, r queue.Run, raise queue.Raise)
	Remove(q *Queue, r queue.Run, why queue.Reason)
	Post(q *Queue, r queue.Run, why queue.Reason)
	Left(q *Queue, r queue.Run)
	// Lead gives q a dispatcher, if this node may dispatch it.
	Lead(q *Queue)
	// Find returns the queue, making it from the catalog if it is known there.
	Find(id shard.QueueID) *Queue
	// Load reads bodies that are not in memory; it calls Loaded in a later turn.
	Load(c *Consumer, bodies []queue.Body)
	// LoadPage brings the records of a cold page, and calls PageLoaded in a
	// later turn.
	LoadPage(q *Queue, page uint64)
	// Behind has the engine asked again once everything published so far is
	// applied; false if it is already.
	Behind(r shard.Request) bool
	// Close and Reopen log that q takes nothing any more, or does again.
	Close(q *Queue)
	Reopen(q *Queue)
	// Ended says that a queue that ended by itself is closed: the catalog has to
	// delete it.
	Ended(q *Queue)
	// Abandoned is told what was given back with a consumer of this node's
	// sessions, as if they had settled it.
	Abandoned(ss []shard.Settle)
	// Settled is Committed for settles of this node's sessions: f is not called
	// with an error, but goes with them to who leads next.
	Settled(f func(error))
	// Serve reports whether it is logged that sessions of an incarnation are
	// delivered to; if not, it is going to be, and Served follows.
	Serve(i queue.Incarnation) bool
	// Committed calls f, in a turn, once all decisions so far are committed, or
	// with an error when that can not be learnt.
	Committed(f func(error))
}

// A Queue is one queue of a shard. Its fields belong to the turn.
type Queue struct {
	ID       shard.QueueID
	Ledger   *queue.Ledger
	Disp     *queue.Dispatcher // nil while this node does not dispatch it
	Settings shard.Settings
	Revision uint64 // of the catalog, when it was made

	consumers []*Consumer // by Ref-1
	fetching  []*Consumer // gets whose bodies are being read
	free      []uint64    // refs not in use
	pages     []uint64    // cold pages asked for
	waits     []shard.Request
	// GetWaits says that a get waits for the horizon to move.
	GetWaits bool
	// Returning is how many returns were logged and not applied.
	Returning int

	// Decided and not yet handed to the log. failed are returns that count
	// against the delivery limit.
	accepts, failed, returns, releases, rejects, spent []queue.Run

	mail mail

	touched bool
	asked   bool
	closing bool  // it was decided that it closes
	left    bool  // a consumer went, and others may attach yet
	due     int64 // when Tick looks at it, 0 if it need not
	used    int64 // when it was last used, for Settings.Expires
	// Closed says that the queue takes nothing any more, Turned that it turned
	// a publish away since: it can not be reopened then. Both are part of the
	// shard's state.
	Closed, Turned bool
	// Grant is the logged right of a consumer to be the only one.
	Grant    shard.Grant
	granting int // grants that were asked for under this leader and are not applied
	// Dirty says that the queue changed since the last cut, Fresh that it was
	// made under the present leader, Logged that the command that made it was
	// applied. They are the shard's.
	Dirty, Fresh, Logged bool
}

// A Consumer is a consumer of a queue as the engine sees it.
type Consumer struct {
	*shard.Consumer
	q       *Queue
	disp    *queue.Dispatcher // whose deliveries wait
	ref     uint64
	id      queue.ConsumerID
	gone    bool
	get     func(shard.GetResult, error) // for a get that waits for its body
	asked   *shard.Request               // the same
	post    *posting                     // for letters that wait for theirs
	waiting []queue.Delivery             // in order; the first of them miss their bodies
}

// An Engine is the common state of a shard's turn.
type Engine struct {
	Log         Log
	Incarnation queue.Incarnation
	Residents   Residents
	// Mail is told of letters, which Self gives away; nil: nothing is posted.
	Mail shard.Mail
	Self shard.Outbox
	// Now is log time in milliseconds, set by the shard before it calls.
	Now int64

	queues    map[shard.QueueID]*Queue
	consumers map[*shard.Consumer]*Consumer
	named     map[consumerKey]*Consumer // those of them that have an ID
	reports   map[queue.Incarnation]*report
	unserved  []*Queue // in which somebody waits to be served
	claims    []queue.Claim
	refused   []queue.Claim
	lastID    queue.ConsumerID
	last      *Queue // looked up last

	touched    []*Queue
	deliveries []queue.Delivery
	out        []shard.Delivery
	runs       []queue.Run
	wakes      *shard.Wakes // the end of the turn's
	expiring   expiries
	bodies     []bodyRun
	asked      []*Queue
}

// New returns an engine without queues. wakes are told at the end of a turn, by
// Wake.
func New(log Log, inc queue.Incarnation, budget int, wakes *shard.Wakes) *Engine {
	return &Engine{
		Log: log, Incarnation: inc, Residents: Residents{Budget: budget},
		queues: map[shard.QueueID]*Queue{}, consumers: map[*shard.Consumer]*Consumer{},
		named: map[consumerKey]*Consumer{}, reports: map[queue.Incarnation]*report{}, wakes: wakes,
	}
}

// Add adds a queue.
func (e *Engine) Add(q *Queue) { e.queues[q.ID] = q }

// Queue returns a queue, nil if it is not here.
func (e *Engine) Queue(id shard.QueueID) *Queue {
	if e.last != nil && e.last.ID == id {
		return e.last
	}
	q := e.queues[id]
	if q != nil {
		e.last = q
	}
	return q
}

// Len returns the number of queues.
func (e *Engine) Len() int { return len(e.queues) }

// Queues returns all queues, in the order of their ids: what is decided for
// each of them must not depend on chance.
func (e *Engine) Queues() []*Queue {
	qs := make([]*Queue, 0, len(e.queues))
	for _, q := range e.queues {
		qs = append(qs, q)
	}
	slices.SortFunc(qs, func(a, b *Queue) int { return cmp.Compare(a.ID, b.ID) })
	return qs
}

// All returns all queues in no order.
func (e *Engine) All() map[shard.QueueID]*Queue { return e.queues }

// Drop takes a queue out, cancels its consumers and lets its bodies go. The
// caller clears the ledger.
func (e *Engine) Drop(q *Queue) {
	e.unlead(q, shard.ErrGone)
	for p := range q.Ledger.Pages() {
		if e.Residents.Bytes() == 0 {
			break
		}
		if p.Hot && p.Live.Messages > 0 {
			e.release(e.bodiesOf(q, queue.Run{Seq: p.ID * queue.PageSize, Span: queue.PageSize}))
		}
	}
	e.release(e.lettersOf(q, 0, ^uint64(0)))
	e.Remove(q)
}

// Remove takes a queue out that has nothing in it.
func (e *Engine) Remove(q *Queue) {
	delete(e.queues, q.ID)
	if e.last == q {
		e.last = nil
	}
}

// unlead ends the dispatching of a queue that is gone: its consumers are
// cancelled.
func (e *Engine) unlead(q *Queue, err error) {
	for _, c := range q.consumers {
		if c == nil {
			continue
		}
		delete(e.consumers, c.Consumer)
		delete(e.named, consumerKey{e.whose(c.Consumer), c.ID})
		if c.gone {
			continue // nobody is there now
		}
		c.gone = true
		c.waiting = nil
		c.Sink.Cancelled(c.Consumer)
		e.WakeLater(c.Sink)
	}
	q.consumers, q.free = nil, nil
	e.stop(q, err)
}

// stop ends the dispatching of a queue without consumers: what waits is answered
// with err, and what was decided and not logged is void.
func (e *Engine) stop(q *Queue, err error) {
	q.abandon(err)
	q.accepts, q.failed, q.returns = q.accepts[:0], q.failed[:0], q.returns[:0]
	q.releases, q.rejects, q.spent = q.releases[:0], q.rejects[:0], q.spent[:0]
	q.due, q.closing, q.GetWaits, q.Returning, q.left = 0, false, false, 0, false
	q.mail = mail{}
	if q.Disp != nil {
		q.Disp.Close()
		q.Disp = nil
	}
}

// A bodyRun is n bodies of one entry, one behind the other.
type bodyRun struct {
	index uint64
	n     int32
	bytes int
}

// bodiesOf lists the bodies of a run, as far as its records are in memory.
func (e *Engine) bodiesOf(q *Queue, r queue.Run) []bodyRun {
	out := e.bodies[:0]
	for i := range uint64(r.Span) {
		if rec, hot := q.Ledger.Record(r.Seq + i); hot {
			out = addBody(out, rec.Body)
		}
	}
	e.bodies = out[:0]
	return out
}

func addBody(out []bodyRun, b queue.Body) []bodyRun {
	if n := len(out); n > 0 && out[n-1].index == b.Index {
		out[n-1].n++
		out[n-1].bytes += int(b.Len)
		return out
	}
	return append(out, bodyRun{b.Index, 1, int(b.Len)})
}

func (e *Engine) release(bs []bodyRun) {
	for _, b := range bs {
		e.Residents.Release(b.index, b.n, b.bytes)
	}
}

// SettleRun applies a logged settle, and lets the bodies go.
func (e *Engine) SettleRun(q *Queue, r queue.Run) {
	bs := e.bodiesOf(q, r)
	if q.Ledger.Settle(r) > 0 {
		e.release(bs)
	}
}

// RemoveRun applies a logged removal, and lets the bodies go.
func (e *Engine) RemoveRun(q *Queue, r queue.Run, why queue.Reason) {
	bs := e.bodiesOf(q, r)
	if q.Ledger.Remove(r, why) > 0 {
		e.release(bs)
	}
}

// Touch has the queue dispatched before the turn ends.
func (e *Engine) Touch(q *Queue) {
	if !q.touched {
		q.touched = true
		e.touched = append(e.touched, q)
	}
}

// Ask has the queue's dispatcher asked, when the next section is built, for what
// it wants logged.
func (e *Engine) Ask(q *Queue) {
	if !q.asked {
		q.asked = true
		e.asked = append(e.asked, q)
	}
}

// Asked calls f with every queue of Ask, and forgets them.
func (e *Engine) Asked(f func(q *Queue)) {
	for i, q := range e.asked {
		e.asked[i], q.asked = nil, false
		f(q)
	}
	e.asked = e.asked[:0]
}

// Asking reports whether there is a queue to ask.
func (e *Engine) Asking() bool { return len(e.asked) > 0 }

// Led gives a queue its dispatcher.
func (e *Engine) Led(q *Queue, d *queue.Dispatcher) {
	q.Disp = d
	q.used = e.Now
	if x, ok := q.Ledger.NextLetter(0); ok && plant.Is(plant.LettersDropped) {
		q.mail.handed = x.Number
	}
	e.Touch(q)
}

// Expiring returns when the next message of any queue expires, 0 if none does.
func (e *Engine) Expiring() int64 { return e.expiring.next() }

// WakeLater wakes a sink once at the end of the turn.
func (e *Engine) WakeLater(w shard.Waker) { e.wakes.Later(w) }

// Wake wakes what WakeLater collected. It is the last thing of a turn.
func (e *Engine) Wake() { e.wakes.Wake() }

func (e *Engine) lead(q *Queue) bool {
	if q.Disp == nil {
		e.Log.Lead(q)
	}
	return q.Disp != nil
}

// Settle ends holdings. It notes in ss what each of them counts, and takes the
// queue out of those that are stale.
func (e *Engine) Settle(ss []shard.Settle) {
	for i := range ss {
		s := &ss[i]
		q := e.Queue(s.Queue)
		if q == nil || q.Disp == nil {
			s.Queue = 0
			continue // its deliveries are void
		}
		switch s.Outcome {
		case shard.Accept:
			size, ok := q.Disp.Settle(s.Seq, s.Holding)
			if s.Size, s.Acquired = size, queue.AnyAcquired; ok {
				q.accepts = queue.AppendRun(q.accepts, s.Seq, size)
			} else {
				s.Queue = 0
			}
		case shard.Reject:
			size, ok := q.Disp.Settle(s.Seq, s.Holding)
			if s.Size, s.Acquired = size, queue.AnyAcquired; ok {
				q.rejects = queue.AppendRun(q.rejects, s.Seq, size)
			} else {
				s.Queue = 0
			}
		case shard.Requeue:
			q.giveBack(s, queue.RaiseAcquired|queue.RaiseFailed, &q.failed)
		case shard.Release:
			q.giveBack(s, 0, &q.releases)
		case shard.Abandon:
			q.giveBack(s, queue.RaiseAcquired, &q.returns)
		case shard.Misfit:
			e.misfit(q, s)
		}
		e.Touch(q)
	}
}

// misfitRest is how long a message rests that its consumer could not be sent, in
// milliseconds: whoever is offered it in vain is not kept busy with it.
const misfitRest = 30_000

func (e *Engine) misfit(q *Queue, s *shard.Settle) {
	if q.Disp.Limited() {
		q.giveBack(s, queue.RaiseAcquired|queue.RaiseFailed, &q.failed)
		return
	}
	q.Disp.Decline(s.Seq, s.Holding, e.Now+misfitRest)
}

func (q *Queue) giveBack(s *shard.Settle, raise queue.Raise, runs *[]queue.Run) {
	s.Acquired = q.Disp.Acquired(s.Seq) // should it have to be claimed
	size, v := q.Disp.Return(s.Seq, s.Holding, raise)
	s.Size = size
	switch v {
	case queue.Return:
		*runs = queue.AppendRun(*runs, s.Seq, size)
	case queue.Spend:
		q.spent = queue.AppendRun(q.spent, s.Seq, size)
	case queue.Stale:
		s.Queue = 0
	}
}

// flush hands the decisions collected for q to the log.
func (e *Engine) flush(q *Queue) {
	for _, r := range q.accepts {
		e.Log.Settle(q, r)
	}
	for _, r := range q.failed {
		e.Log.Return(q, r, queue.RaiseAcquired|queue.RaiseFailed)
	}
	for _, r := range q.returns {
		e.Log.Return(q, r, queue.RaiseAcquired)
	}
	for _, r := range q.releases {
		e.Log.Return(q, r, 0)
	}
	for _, r := range q.rejects {
		e.die(q, r, queue.Rejected)
	}
	for _, r := range q.spent {
		e.die(q, r, queue.Spent)
	}
	q.accepts, q.failed, q.returns = q.accepts[:0], q.failed[:0], q.returns[:0]
	q.releases, q.rejects, q.spent = q.releases[:0], q.rejects[:0], q.spent[:0]
}
