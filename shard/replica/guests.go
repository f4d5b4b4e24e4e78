package replica

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// guests is the shard as the sessions of other nodes use it. What they ask for
// has an inbox of its own: it ends with this node's lead, for their own nodes
// ask the next leader.
type guests struct {
	s  *Shard
	in shard.Inbox // requests, in order

	term     atomic.Uint64 // in which this node leads, else 0
	revision atomic.Uint64

	mu      sync.Mutex
	batches [][]byte // offered and not looked at; guarded by mu
}

// visits is what a leader knows of other nodes' batches. It belongs to the turn.
type visits struct {
	streams map[queue.Incarnation]*visitor
	queue   []*origin.Batch // offered and not proposed, in order
	tickets uint64          // given to what was ever in queue
	applied uint64          // tickets of what is applied
	mine    bool            // a batch of this node was proposed last
	taken   [][]byte        // scratch
	reqs    []shard.Request
}

// A visitor is an incarnation whose batches are offered.
type visitor struct {
	next   uint64 // number
	gapped bool   // it was told that next is missing
}

// Host returns the shard as sessions of other nodes use it.
func (s *Shard) Host() shard.Host { return &s.guests }

var (
	_ shard.Shard     = (*Shard)(nil)
	_ shard.Host      = (*guests)(nil)
	_ shard.Inspector = (*guests)(nil)
	_ shard.Browser   = (*guests)(nil)
)

// Serving implements shard.Host.
func (g *guests) Serving() (uint64, bool) {
	t := g.term.Load()
	return t, t != 0
}

// Revision implements shard.Host.
func (g *guests) Revision() uint64 { return g.revision.Load() }

// revised notes the catalog's revision that what is applied depends on.
func (s *Shard) revised(r uint64) {
	if r > s.guests.revision.Load() {
		s.guests.revision.Store(r)
	}
}

// Offer implements shard.Host.
func (g *guests) Offer(batch []byte) {
	g.mu.Lock()
	g.batches = append(g.batches, batch)
	g.mu.Unlock()
	g.s.poke(len(batch))
}

func (g *guests) request(r shard.Request) {
	r.Guest = true
	g.in.Add(r)
	g.s.group.TryTurn()
}

// do has f run in a turn; lead says whether this node leads then.
func (g *guests) do(f func(lead bool)) {
	g.request(shard.Request{Kind: shard.ReqRun, Run: func() { f(g.s.leading && !g.s.failed) }})
}

// Attach implements shard.Host.
func (g *guests) Attach(a shard.Attachment, done func(shard.Attached, error)) {
	g.do(func(lead bool) {
		if !lead || !g.s.o.Catalog.Alive(a.From) {
			done(shard.Attached{}, shard.ErrUnavailable)
			return
		}
		step.At(step.AttachCame)
		out := g.s.attach(&a)
		done(out, nil)
	})
}

// Detach implements shard.Host.
func (g *guests) Detach(i queue.Incarnation) {
	g.do(func(lead bool) {
		if lead {
			step.At(step.AttachLost)
			g.s.e.Detach(i)
			g.s.dropBehind(i)
			if v := g.s.visits.streams[i]; v != nil {
				v.gapped = false // whoever comes next has to be told again
			}
		}
	})
}

// EndIncarnation implements shard.Host.
func (g *guests) EndIncarnation(i queue.Incarnation) {
	g.do(func(lead bool) {
		if lead {
			g.s.endIncarnation(i)
		}
	})
}

// Settle implements shard.Host.
func (g *guests) Settle(ss []shard.Settle, done func(error)) {
	g.request(shard.Request{Kind: shard.ReqSettles, Settles: ss, Done: done})
}

// Consume implements shard.Host.
func (g *guests) Consume(c *shard.Consumer, done func(error)) {
	g.request(shard.Request{Kind: shard.ReqConsume, Queue: c.Queue, Consumer: c, From: c.Incarnation, Done: done})
}

// Cancel implements shard.Host.
func (g *guests) Cancel(c *shard.Consumer, end bool, done func(error)) {
	g.request(shard.Request{Kind: shard.ReqCancel, Consumer: c, End: end, From: c.Incarnation, Done: done})
}

// Kick implements shard.Host.
func (g *guests) Kick(c *shard.Consumer) {
	g.request(shard.Request{Kind: shard.ReqKick, Consumer: c, From: c.Incarnation})
}

// GetFor implements shard.Host.
func (g *guests) GetFor(q shard.QueueID, of queue.SessionID, done func(shard.GetResult, error)) {
	g.request(shard.Request{Kind: shard.ReqGet, Queue: q, Session: of.Number, From: of.Incarnation, DoneGet: done})
}

// Purge implements shard.Host.
func (g *guests) Purge(q shard.QueueID, done func(uint64, error)) {
	g.request(shard.Request{Kind: shard.ReqPurge, Queue: q, DoneN: done})
}

// Counts implements shard.Host.
func (g *guests) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	g.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done})
}

// Renew implements shard.Host.
func (g *guests) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	g.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done, Renew: true})
}

// Close implements shard.Host.
func (g *guests) Close(q shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	g.request(shard.Request{Kind: shard.ReqClose, Queue: q, If: c, DoneN: done})
}

// Reopen implements shard.Host.
func (g *guests) Reopen(q shard.QueueID, done func(error)) {
	g.request(shard.Request{Kind: shard.ReqReopen, Queue: q, Done: done})
}

// Inspect implements shard.Inspector.
func (g *guests) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	g.do(func(bool) { done(g.s.e.Inspect(ids, consumers)) })
}

// Browse implements shard.Browser.
func (g *guests) Browse(b *shard.Browse, done func(shard.BrowsePart)) { g.s.BrowseHere(b, done) }

// take takes what was offered and asked since the last turn.
func (g *guests) take() {
	v := &g.s.visits
	g.mu.Lock()
	v.taken, g.batches = g.batches, v.taken[:0]
	g.mu.Unlock()
	v.reqs, _ = g.in.TakeRequests(v.reqs[:0], nil)
}

// visitors does what other nodes want, while this node leads.
func (s *Shard) visitors() {
	s.guests.take()
	v := &s.visits
	for i, data := range v.taken {
		s.offered(data)
		v.taken[i] = nil
	}
	for i := range v.reqs {
		// What a session asked for whose incarnation has ended since comes late.
		if from := v.reqs[i].From; from != (queue.Incarnation{}) && !s.o.Catalog.Alive(from) {
			s.e.Refuse(v.reqs[i : i+1])
			v.reqs[i] = shard.Request{Kind: shard.ReqKick}
		}
		if s.awaiting() {
			s.postponeGuest(&v.reqs[i])
		}
	}
	s.e.Requests(v.reqs)
}

// dropBehind refuses what waits for batches and was asked by an incarnation whose
// stream broke, or that ended: it asks again, or is not there to be answered, and
// a message that a get takes now would be nobody's.
func (s *Shard) dropBehind(i queue.Incarnation) {
	s.behind = slices.DeleteFunc(s.behind, func(b behind) bool {
		if b.r.From != i {
			return false
		}
		s.e.Refuse([]shard.Request{b.r})
		return true
	})
}

// turnAway refuses what other nodes want: this node does not lead.
func (s *Shard) turnAway() {
	s.guests.take()
	v := &s.visits
	clear(v.taken)
	s.e.Refuse(v.reqs)
}

// offered looks at a batch that another node offers.
func (s *Shard) offered(data []byte) {
	b, err := origin.Offered(data)
	if err != nil {
		s.o.Logger.Warn("a batch of another node is malformed", "group", s.o.Group, "err", err)
		return
	}
	inc := queue.Incarnation{Node: b.ID.Node, Number: b.ID.Incarnation}
	st := s.known(inc.Node)
	if !s.o.Catalog.Alive(inc) || inc.Number <= st.ended || inc.Number < st.inc {
		s.tell(&b.ID, nil, shard.BatchEnded)
		return
	}
	last := st.lastOf(inc)
	v := s.visitor(inc)
	switch n := b.ID.Number; {
	case n <= last:
		s.tell(&b.ID, st.exceptions[n], shard.BatchTook)
	case n < v.next: // under way, and answered when it is applied
	case n > v.next:
		if !v.gapped {
			v.gapped = true
			s.tell(&b.ID, nil, shard.BatchGap)
		}
	default:
		v.next, v.gapped = n+1, false
		s.visits.queue = append(s.visits.queue, b)
		s.visits.tickets++
	}
}

// known returns the stream of a node, an empty one if there is none: what is
// not logged does not make one.
func (s *Shard) known(node uint64) *stream {
	if st := s.streams[node]; st != nil {
		return st
	}
	return &stream{}
}

// lastOf is the number applied last of an incarnation's batches.
func (st *stream) lastOf(i queue.Incarnation) uint64 {
	if st.inc != i.Number {
		return 0
	}
	return st.last
}

func (s *Shard) visitor(i queue.Incarnation) *visitor {
	v := s.visits.streams[i]
	if v == nil {
		v = &visitor{next: s.known(i.Node).lastOf(i) + 1}
		if s.visits.streams == nil {
			s.visits.streams = map[queue.Incarnation]*visitor{}
		}
		s.visits.streams[i] = v
	}
	return v
}

// tell answers another node's batch.
func (s *Shard) tell(id *shard.BatchID, refused []uint32, what shard.BatchOutcome) {
	if s.o.Answers == nil {
		return
	}
	s.o.Answers.Answer(shard.Answer{
		To: queue.Incarnation{Node: id.Node, Number: id.Incarnation}, Shard: s.o.Group, Number: id.Number, What: what, Refused: refused,
	})
	s.org.Wakes.Later(s.o.Answers)
}

// visit returns the batch of another node to be proposed next, if this node's
// view of the catalog is as new as the one it was routed on.
func (s *Shard) visit() *origin.Batch {
	if q := s.visits.queue; len(q) > 0 && q[0].ID.Revision <= s.o.Catalog.Revision() {
		return q[0]
	}
	return nil
}

// guestApplied answers a batch of another node that was applied.
func (s *Shard) guestApplied(ent *commitlog.Entry, id *shard.BatchID, refused []uint32, what outcome) {
	if !s.leading {
		return
	}
	if ent.Term == s.term {
		s.visits.applied++
	}
	if what == gap {
		delete(s.visits.streams, queue.Incarnation{Node: id.Node, Number: id.Incarnation})
	}
	s.tell(id, refused, what.said())
}
