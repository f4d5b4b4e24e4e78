package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A consumerKey names a consumer among those of all nodes.
type consumerKey struct {
	of queue.Incarnation
	id uint64
}

// whose returns the incarnation that a consumer is of.
func (e *Engine) whose(sc *shard.Consumer) queue.Incarnation {
	if sc.Incarnation == (queue.Incarnation{}) {
		return e.Incarnation
	}
	return sc.Incarnation
}

// A report is what an incarnation has told of itself, until its end.
type report struct {
	consumers map[consumerKey]bool
	any       bool // there was something in it
	ended     bool // and it counts as soon as the incarnation is served
}

// Attach takes a chunk of what an incarnation reports; see shard.Attachment.
func (e *Engine) Attach(a *shard.Attachment) (out shard.Attached) {
	if a.Begin || e.reports[a.From] == nil {
		e.Detach(a.From)
		e.reports[a.From] = &report{consumers: map[consumerKey]bool{}}
	}
	r := e.reports[a.From]
	for _, sc := range a.Consumers {
		if !e.attach(a.From, sc) {
			out.Consumers = append(out.Consumers, sc.ID)
			continue
		}
		r.consumers[consumerKey{a.From, sc.ID}], r.any = true, true
	}
	for i := range a.Claims {
		if !e.claim(a.From, &a.Claims[i]) {
			out.Refused = append(out.Refused, a.Claims[i])
			continue
		}
		r.any = true
		step.At(step.AttachClaimed)
	}
	if r.ended = a.End; a.End && (!r.any || e.Log.Serve(a.From)) {
		e.attached(a.From, r)
	}
	return out
}

// Served says that incarnations may be delivered to from now on.
func (e *Engine) Served() {
	for _, from := range slices.SortedFunc(maps.Keys(e.reports), older) {
		if r := e.reports[from]; r.ended && e.Log.Serve(from) {
			e.attached(from, r)
		}
	}
	for i, q := range e.unserved {
		e.Touch(q)
		e.unserved[i] = nil
	}
	e.unserved = e.unserved[:0]
}

func older(a, b queue.Incarnation) int { return cmp.Compare(a.Number, b.Number) }

// served reports whether a session of an incarnation may be delivered to; q is
// looked at again when it may.
func (e *Engine) served(q *Queue, i queue.Incarnation) bool {
	if e.Log.Serve(i) {
		return true
	}
	e.unserved = append(e.unserved, q)
	return false
}

// attach registers a consumer that a node reports, or takes it for the one that
// is here already.
func (e *Engine) attach(from queue.Incarnation, sc *shard.Consumer) bool {
	q := e.Queue(sc.Queue)
	if q == nil {
		q = e.Log.Find(sc.Queue)
	}
	if q == nil || q.Closing() || !e.lead(q) {
		return false
	}
	c, known := e.named[consumerKey{from, sc.ID}]
	if known && c.q == q {
		c = e.again(c, sc)
	} else {
		known = false
		c = e.newConsumer(q, sc)
	}
	if _, err := q.Disp.Attach(from, []queue.ConsumerSpec{e.spec(c)}, nil, false, nil); err != nil {
		if !known {
			q.free = append(q.free, c.ref)
		}
		return false
	}
	e.enlist(c)
	return true
}

// again replaces a consumer by what its node says it is now. What waited for its
// body was never handed over, and is not claimed.
func (e *Engine) again(old *Consumer, sc *shard.Consumer) *Consumer {
	old.gone = true
	delete(e.consumers, old.Consumer)
	return &Consumer{Consumer: sc, q: old.q, disp: old.q.Disp, ref: old.ref, id: old.id}
}

// claim keeps a holding that a node reports.
func (e *Engine) claim(from queue.Incarnation, x *shard.Claim) bool {
	q := e.Queue(x.Queue)
	if q == nil || !e.lead(q) {
		return false
	}
	c := queue.Claim{Seq: x.Seq, Holding: x.Holding, Size: x.Size, Acquired: x.Acquired, Session: queue.SessionID{Incarnation: from, Number: x.Session}}
	if of := e.named[consumerKey{from, x.Consumer}]; of != nil && of.q == q {
		c.Consumer = of.id
	}
	e.claims = append(e.claims[:0], c)
	refused, err := q.Disp.Attach(from, nil, e.claims, false, e.refused[:0])
	e.refused = refused[:0]
	return err == nil && len(refused) == 0
}

// attached ends a report: consumers that are not in it have ended.
func (e *Engine) attached(from queue.Incarnation, r *report) {
	delete(e.reports, from)
	for _, c := range e.of(from) {
		if c.ID != 0 && !r.consumers[consumerKey{from, c.ID}] {
			e.cancel(c.Consumer, false)
		}
	}
	for _, q := range e.Queues() {
		if q.Disp == nil {
			continue
		}
		if _, err := q.Disp.Attach(from, nil, nil, true, nil); err != nil {
			panic(err) // only a consumer can be refused
		}
		e.Touch(q)
		e.lastGone(q)
	}
}

// of lists an incarnation's consumers, in the order of their registration.
func (e *Engine) of(i queue.Incarnation) (cs []*Consumer) {
	for _, c := range e.consumers {
		if e.whose(c.Consumer) == i {
			cs = append(cs, c)
		}
	}
	slices.SortFunc(cs, func(a, b *Consumer) int { return cmp.Compare(a.id, b.id) })
	return cs
}

// Detach says that the stream to an incarnation broke.
func (e *Engine) Detach(i queue.Incarnation) {
	delete(e.reports, i)
	for _, c := range e.of(i) {
		c.gone, c.waiting = true, nil // its sink is not called any more
	}
	for _, q := range e.queues {
		if q.Disp != nil {
			q.Disp.Detach(i)
		}
		e.dropWaits(q, i)
	}
}

// dropWaits refuses what waits for sessions of another incarnation.
func (e *Engine) dropWaits(q *Queue, i queue.Incarnation) {
	q.waits = slices.DeleteFunc(q.waits, func(r shard.Request) bool {
		if !r.Guest || e.asks(&r) != i {
			return false
		}
		e.Refuse([]shard.Request{r})
		return true
	})
}

// EndIncarnation ends all that an incarnation has here.
func (e *Engine) EndIncarnation(i queue.Incarnation) {
	delete(e.reports, i)
	for _, c := range e.of(i) {
		e.delist(c)
		c.gone, c.waiting = true, nil
		c.q.left, c.q.used = true, e.Now
	}
	for _, q := range e.Queues() {
		e.dropWaits(q, i)
		if q.Disp == nil {
			continue
		}
		var out queue.Outcome
		q.Disp.EndIncarnation(i, &out)
		q.returns = append(q.returns, out.Returns...)
		q.spent = append(q.spent, out.Spent...)
		e.Touch(q)
		e.lastGone(q)
	}
}

// Busy reports whether an incarnation has a consumer or a holding here.
func (e *Engine) Busy(i queue.Incarnation) bool {
	for sc := range e.consumers {
		if e.whose(sc) == i {
			return true
		}
	}
	for _, q := range e.queues {
		if q.Disp != nil && q.Disp.Holding(i) || slices.ContainsFunc(q.waits, func(r shard.Request) bool { return e.asks(&r) == i }) {
			return true
		}
	}
	return false
}

// asks returns the incarnation that a request is of.
func (e *Engine) asks(r *shard.Request) queue.Incarnation {
	switch {
	case r.Consumer != nil:
		return e.whose(r.Consumer)
	case r.From != queue.Incarnation{}:
		return r.From
	}
	return e.Incarnation
}

// lastGone ends a queue that is to end when its last consumer has.
func (e *Engine) lastGone(q *Queue) {
	if !q.left || q.Disp.Waiting() {
		return
	}
	q.left = false
	if q.Settings.AutoDelete && q.Disp.Consumers() == 0 && !q.Closing() {
		e.endNow(q)
	}
}

// WantGrant returns a grant that has to be logged before the consumer it is for
// gets anything.
func (e *Engine) WantGrant(q *Queue) (g shard.Grant, ok bool) {
	id, ok := q.Disp.WantGrant()
	if !ok {
		return g, false
	}
	for _, c := range q.consumers {
		if c != nil && c.id == id {
			of := e.whose(c.Consumer)
			q.granting++
			return shard.Grant{Node: of.Node, Incarnation: of.Number, Consumer: c.ID}, true
		}
	}
	return g, false
}

// Granted applies a logged grant. Who it is for has it when no other is on its way
// behind it, or a later leader would give to another what is used here.
func (e *Engine) Granted(q *Queue, g shard.Grant) {
	q.Grant = g
	q.granting = max(0, q.granting-1)
	if q.Disp == nil || q.granting > 0 {
		return
	}
	var id queue.ConsumerID
	if c := e.named[consumerKey{queue.Incarnation{Node: g.Node, Number: g.Incarnation}, g.Consumer}]; c != nil && c.q == q {
		id = c.id
	}
	q.Disp.Granted(id)
	e.Touch(q)
}

// Surrender ends the dispatching of all queues: another node leads from now on.
// What this node's own sessions have is returned, and with it the requests that
// wait, which may be those of others.
func (e *Engine) Surrender() (h origin.Holdings) {
	for _, q := range e.Queues() {
		e.surrender(q, &h)
	}
	e.unserved = nil
	clear(e.reports)
	clear(e.named)
	clear(e.consumers)
	return h
}

func (e *Engine) surrender(q *Queue, h *origin.Holdings) {
	unseen := map[uint64]bool{} // granted, and not handed over
	ids := map[queue.ConsumerID]uint64{}
	for _, c := range q.consumers {
		if c == nil || e.whose(c.Consumer) != e.Incarnation {
			continue
		}
		c.takeBack(unseen)
		if u, ok := c.Shared.(shard.Ungranter); ok && len(c.waiting) > 0 {
			u.Ungrant(len(c.waiting))
		}
		c.gone, c.waiting = true, nil
		ids[c.id] = c.ID
		h.Consumers = append(h.Consumers, c.Consumer)
	}
	for _, c := range q.fetching {
		c.takeBack(unseen)
		h.Requests = append(h.Requests, *c.asked)
		c.get = nil
	}
	h.Requests = append(h.Requests, q.waits...)
	q.consumers, q.free, q.fetching, q.waits = nil, nil, nil, nil
	if q.Disp != nil {
		q.Disp.Holdings(e.Incarnation, func(x queue.Claim) {
			if !unseen[x.Seq] {
				h.Claims = append(h.Claims, shard.Claim{
					Queue: q.ID, Seq: x.Seq, Holding: x.Holding, Size: x.Size, Acquired: x.Acquired, Session: x.Session.Number, Consumer: ids[x.Consumer],
				})
			}
		})
	}
	q.granting = 0
	e.stop(q, shard.ErrUnavailable)
}

// takeBack notes what was granted to a consumer and not handed over.
func (c *Consumer) takeBack(unseen map[uint64]bool) {
	for i := range c.waiting {
		unseen[c.waiting[i].Seq] = true
	}
}
