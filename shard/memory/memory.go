// Package memory is a shard of one queue whose log is the memory of this node:
// what is decided is committed at once. It serves the queues that end with their
// node or connection.
//
// A Queue has no goroutine of its own: calls fill its inbox, and whoever finds
// the queue idle drains it. Nothing is called back under a lock.
package memory

import (
	"math"
	"slices"
	"sync/atomic"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
)

// Options of New.
type Options struct {
	ID          shard.QueueID
	Settings    shard.Settings
	Incarnation queue.Incarnation
	// Now returns the time in milliseconds.
	Now func() int64
	// Settings asks the catalog for the queue again after Changed; ok is false
	// if it was deleted.
	Lookup func() (s shard.Settings, ok bool)
	// Memory is told by how many bytes the bodies held in memory changed.
	Memory func(delta int)
	// Mail is told of letters; nil: what dies is gone.
	Mail shard.Mail
	// Ended is told when the queue closed by itself, for the catalog to delete
	// it; it must not block.
	Ended func(shard.QueueID)
	// Expiring is told when the queue begins to need Tick.
	Expiring func(q *Queue)
}

// A Queue is a queue in memory, with the interface of a shard.
type Queue struct {
	o     Options
	in    shard.Inbox
	token commitlog.Token

	// Owned by the turn.
	e        *engine.Engine
	q        *engine.Queue
	index    uint64 // of the batch taken last: bodies are born there
	spans    map[uint64][]span
	held     int // bytes told to o.Memory
	ticking  bool
	fns      []func(error)
	requests []shard.Request
	settles  []shard.Settle
	runs     []shard.Run
	mv       *moving // nil unless the queue moves

	// due is when the next message expires.
	due atomic.Int64
}

// A span is where the messages of one batch are in one lane.
type span struct {
	first uint64
	n     uint32
}

// noBudget: what a memory queue holds can not be read again from elsewhere.
const noBudget = 1 << 62

// New returns an empty queue.
func New(o Options) *Queue {
	m := &Queue{o: o, spans: map[uint64][]span{}}
	m.due.Store(math.MaxInt64)
	m.in.Parking = shard.DefaultParking
	m.e = engine.New(log{m}, o.Incarnation, noBudget, &shard.Wakes{})
	m.e.Residents.Keep = true
	m.e.Mail, m.e.Self = o.Mail, m
	o.Settings.Memory = true
	m.q = &engine.Queue{ID: o.ID, Ledger: queue.NewLedger(o.Settings.Settings), Settings: o.Settings, Fresh: true}
	m.e.Add(m.q)
	m.lead()
	return m
}

func (m *Queue) lead() {
	m.e.Led(m.q, queue.NewDispatcher(m.q.Ledger, queue.Life{Term: m.o.Incarnation.Number}))
}

// run drains the inbox unless somebody is at it.
func (m *Queue) run() {
	if !m.token.Take() {
		return
	}
	for {
		m.turn()
		if !m.token.Release() {
			return
		}
	}
}

// turn enqueues first: a get finds what its channel published before it.
func (m *Queue) turn() {
	m.e.Now = m.o.Now()
	for n, _, _ := m.in.Pending(); n > 0 && m.take(); n-- {
	}
	m.requests, m.settles = m.in.TakeRequests(m.requests[:0], m.settles[:0])
	m.e.Settle(m.settles)
	if m.mv != nil {
		m.requests = m.putOff(m.requests)
	}
	m.e.Requests(m.requests)
	if m.mv != nil {
		m.move()
	} else {
		m.e.Tick()
		m.e.Dispatch()
	}
	m.e.Asked(func(*engine.Queue) {})
	for i, f := range m.fns {
		f(nil)
		m.fns[i] = nil
	}
	m.fns = m.fns[:0]
	m.tidy()
	if at := m.e.Expiring(); at != 0 {
		m.due.Store(at)
		if !m.ticking {
			m.ticking = true
			m.o.Expiring(m)
		}
	} else {
		m.due.Store(math.MaxInt64)
	}
	m.e.Wake()
}

// tidy lets go what is mostly dead and tells how much is held.
func (m *Queue) tidy() {
	m.e.Residents.Thin(m.survivors)
	if m.e.Residents.Bytes() == 0 {
		clear(m.spans)
	} else if len(m.spans) > 2*m.e.Residents.Len()+16 {
		for index := range m.spans {
			if !m.e.Residents.Has(index) {
				delete(m.spans, index)
			}
		}
	}
	if d := m.e.Residents.Bytes() - m.held; d != 0 {
		m.held += d
		m.o.Memory(d)
	}
}

// survivors lists the bodies of a batch whose messages live, or are letters.
func (m *Queue) survivors(index uint64) (out []queue.Body) {
	for _, sp := range m.spans[index] {
		for i := range uint64(sp.n) {
			r, ok := m.q.Ledger.Record(sp.first + i)
			if !ok {
				r, ok = m.q.Ledger.LetterRecord(sp.first + i)
			}
			if ok && r.Body.Index == index {
				out = append(out, r.Body)
			}
		}
	}
	return out
}

// take enqueues one batch and confirms it.
func (m *Queue) take() bool {
	b, runs, resume := m.in.TakeBatch(m.runs)
	m.runs = nil
	for _, f := range resume {
		f()
	}
	if b == nil {
		return false
	}
	m.e.Now = m.o.Now() // what is in it may have come after the turn began
	refused := m.enqueue(b)
	shard.Confirm(runs, refused)
	for i := range runs {
		if runs[i].To != nil {
			m.e.WakeLater(runs[i].To)
		}
	}
	clear(runs)
	m.runs = runs[:0]
	return true
}

// enqueue returns the publishes that were refused. One item is one publish: the
// shard has one queue.
func (m *Queue) enqueue(b *shard.Builder) (refused []uint32) {
	if m.e.Queue(m.o.ID) == nil {
		return nil // it was never routed here
	}
	if m.q.Closing() {
		m.q.Turned = true
		return nil // the same
	}
	live, used := int32(0), 0
	m.index++
	var spans []span
	for i := range b.Items() {
		it := b.Item(i)
		verdict := m.e.Admit(m.q, &it, nil)
		if verdict != engine.Enter && !(verdict == engine.RefuseDie && it.Origin != 0) {
			refused = append(refused, uint32(i))
		}
		if verdict == engine.Refuse {
			continue
		}
		seq := m.q.Ledger.Enqueue(queue.Record{
			Body: queue.Body{Index: m.index, Off: it.Off, Len: it.Len},
			Size: it.Size, Priority: it.Priority, Expires: m.expiry(&it), Acquired: it.Acquired, Failed: it.Failed,
		})
		if verdict == engine.RefuseDie {
			m.e.PostRun(m.q, queue.Run{Seq: seq, Span: 1, N: 1, Bytes: uint64(it.Size)}, queue.Dropped, m.e.Now)
		}
		spans = extend(spans, seq)
		live++
		used += int(it.Len)
	}
	if live > 0 {
		m.e.Residents.Add(m.index, b.Bodies(), live, used)
		m.spans[m.index] = spans
		m.e.Touch(m.q)
	}
	return refused
}

// extend adds a sequence to the span of its lane.
func extend(spans []span, seq uint64) []span {
	for i := range spans {
		if s := &spans[i]; s.first+uint64(s.n) == seq {
			s.n++
			return spans
		}
	}
	return append(spans, span{seq, 1})
}

func (m *Queue) expiry(it *shard.Item) int64 {
	ttl, has := m.q.Settings.Expiry(it)
	if !has {
		return 0
	}
	return m.e.Now + int64(ttl)
}

// Tick expires what is due. It reports whether it has to be called again: from
// the first message with a TTL on, until the queue is deleted.
func (m *Queue) Tick() bool {
	if m.due.Load() <= m.o.Now() {
		m.run()
	}
	return true
}

// log applies decisions at once.
type log struct{ m *Queue }

func (l log) Settle(q *engine.Queue, r queue.Run) {
	l.m.e.SettleRun(q, r)
}

func (l log) Return(q *engine.Queue, r queue.Run, raise queue.Raise) {
	q.Ledger.Return(r, raise, l.m.e.Now)
	l.m.e.Touch(q)
}

func (l log) Remove(q *engine.Queue, r queue.Run, why queue.Reason) {
	l.m.e.RemoveRun(q, r, why)
}

func (l log) Post(q *engine.Queue, r queue.Run, why queue.Reason) {
	l.m.e.PostRun(q, r, why, l.m.e.Now)
}

func (l log) Left(q *engine.Queue, r queue.Run) {
	l.m.e.LeftRun(q, r)
	l.m.e.Touch(q)
}

func (l log) Lead(*engine.Queue)                  {}
func (l log) Find(shard.QueueID) *engine.Queue    { return nil }
func (l log) Load(*engine.Consumer, []queue.Body) { panic("memory: a body is not in memory") }
func (l log) LoadPage(*engine.Queue, uint64)      { panic("memory: a page is not in memory") }
func (l log) Close(q *engine.Queue)               { q.Closed = true }
func (l log) Reopen(q *engine.Queue)              { l.m.e.Reopened(q) }
func (l log) Ended(*engine.Queue)                 { l.m.o.Ended(l.m.o.ID) }
func (l log) Behind(shard.Request) bool           { return false }
func (l log) Abandoned([]shard.Settle)            {}
func (l log) Serve(queue.Incarnation) bool        { return true }
func (l log) Committed(f func(error))             { l.m.fns = append(l.m.fns, f) }
func (l log) Settled(f func(error))               { l.m.fns = append(l.m.fns, f) }

func (m *Queue) request(r shard.Request) {
	m.in.Add(r)
	m.run()
}

// ID implements shard.Shard: the queue's own.
func (m *Queue) ID() uint64 { return m.o.ID }

// Publish implements shard.Shard.
func (m *Queue) Publish(ps []shard.Publish) bool {
	_, ok := m.in.Publish(ps)
	m.run()
	return ok
}

// Tx implements shard.Shard.
func (m *Queue) Tx(t *shard.Tx, done func(error)) {
	b := shard.NewBuilder(0, len(t.Publishes))
	for i := range t.Publishes {
		b.Add(&t.Publishes[i])
	}
	settles := slices.Clone(t.Settles)
	m.request(shard.Request{Kind: shard.ReqRun, Run: func() {
		if m.e.Queue(m.o.ID) != nil && (!m.e.TxCurrent(settles) || !m.fits(b)) {
			done(shard.ErrRefused)
			return
		}
		m.enqueue(b)
		m.e.Settle(settles)
		m.fns = append(m.fns, done)
	}})
}

// fits reports whether the queue takes all of a batch.
func (m *Queue) fits(b *shard.Builder) bool {
	n := 0
	for ; n < b.Items(); n++ {
		if it := b.Item(n); !m.e.TxAdmit(m.q, &it) {
			break
		}
	}
	for i := range n {
		it := b.Item(i)
		m.q.Disp.Withdraw(it.Priority, it.Size)
	}
	return n == b.Items()
}

// Ready implements shard.Shard.
func (m *Queue) Ready(f func()) { m.in.Ready(f) }

// Settle implements shard.Shard.
func (m *Queue) Settle(ss []shard.Settle, done func(error)) {
	m.in.Settle(ss, done)
	m.run()
}

// Consume implements shard.Shard.
func (m *Queue) Consume(c *shard.Consumer, done func(error)) {
	m.request(shard.Request{Kind: shard.ReqConsume, Queue: c.Queue, Consumer: c, Done: done})
}

// Cancel implements shard.Shard.
func (m *Queue) Cancel(c *shard.Consumer, end bool, done func(error)) {
	m.request(shard.Request{Kind: shard.ReqCancel, Consumer: c, End: end, Done: done})
}

// Kick implements shard.Shard.
func (m *Queue) Kick(c *shard.Consumer) { m.request(shard.Request{Kind: shard.ReqKick, Consumer: c}) }

// Get implements shard.Shard.
func (m *Queue) Get(q shard.QueueID, session uint64, done func(shard.GetResult, error)) {
	m.request(shard.Request{Kind: shard.ReqGet, Queue: q, Session: session, DoneGet: done})
}

// Purge implements shard.Shard.
func (m *Queue) Purge(q shard.QueueID, done func(uint64, error)) {
	m.request(shard.Request{Kind: shard.ReqPurge, Queue: q, DoneN: done})
}

// Counts implements shard.Shard.
func (m *Queue) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	m.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done})
}

// Letters implements shard.Outbox.
func (m *Queue) Letters(q shard.QueueID, done func(shard.LettersResult, error)) {
	m.request(shard.Request{Kind: shard.ReqLetters, Queue: q, DoneLetters: done})
}

// Left implements shard.Outbox.
func (m *Queue) Left(q shard.QueueID, r queue.Run) {
	m.request(shard.Request{Kind: shard.ReqLeft, Queue: q, Letters: r})
}

// Renew implements shard.Shard.
func (m *Queue) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	m.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done, Renew: true})
}

// Close implements shard.Shard.
func (m *Queue) Close(q shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	m.request(shard.Request{Kind: shard.ReqClose, Queue: q, If: c, DoneN: done})
}

// Reopen implements shard.Shard.
func (m *Queue) Reopen(q shard.QueueID, done func(error)) {
	m.request(shard.Request{Kind: shard.ReqReopen, Queue: q, Done: done})
}

// Changed implements shard.Shard.
func (m *Queue) Changed(shard.QueueID) {
	m.request(shard.Request{Kind: shard.ReqRun, Run: func() {
		if m.e.Queue(m.o.ID) == nil {
			return
		}
		s, ok := m.o.Lookup()
		if !ok {
			m.e.Drop(m.q)
			m.q.Ledger.Clear()
			return
		}
		s.Memory = true
		m.e.Set(m.q, s)
		if m.mv != nil && m.mv.to != nil {
			m.stay()
		}
	}})
}
