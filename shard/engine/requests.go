package engine

import (
	"errors"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Requests answers requests, in order.
func (e *Engine) Requests(rs []shard.Request) {
	for i := range rs {
		r := &rs[i]
		switch r.Kind {
		case shard.ReqSettle:
			e.flushTouched()
			e.Log.Settled(r.Done)
		case shard.ReqSettles:
			e.Settle(r.Settles)
			e.flushTouched()
			if r.Done != nil {
				e.Log.Committed(r.Done)
			}
		case shard.ReqConsume:
			e.consume(r)
		case shard.ReqCancel:
			e.cancel(r.Consumer, r.End)
			r.Done(nil)
		case shard.ReqKick:
			if c := e.consumers[r.Consumer]; c != nil && c.q.Disp != nil && c.q.Disp.Wake(c.id) {
				e.Touch(c.q)
			}
		case shard.ReqGet:
			e.get(r)
		case shard.ReqPurge:
			e.purge(r)
		case shard.ReqCounts:
			e.counts(r)
		case shard.ReqClose:
			e.closeIf(r)
		case shard.ReqReopen:
			e.reopen(r)
		case shard.ReqRun:
			r.Run()
		case shard.ReqLetters:
			e.letters(r)
		case shard.ReqLeft:
			e.left(r)
		}
		*r = shard.Request{}
	}
}

// Refuse answers requests of a shard that does not lead.
func (e *Engine) Refuse(rs []shard.Request) {
	for i := range rs {
		r := &rs[i]
		switch r.Kind {
		case shard.ReqSettle, shard.ReqConsume, shard.ReqReopen:
			r.Done(shard.ErrUnavailable)
		case shard.ReqSettles:
			if r.Done != nil {
				r.Done(shard.ErrUnavailable)
			}
		case shard.ReqCancel:
			e.cancel(r.Consumer, r.End)
			r.Done(nil)
		case shard.ReqGet:
			r.DoneGet(shard.GetResult{}, shard.ErrUnavailable)
		case shard.ReqPurge, shard.ReqClose:
			r.DoneN(0, shard.ErrUnavailable)
		case shard.ReqCounts:
			r.Counts(shard.Counts{}, shard.ErrUnavailable)
		case shard.ReqRun:
			r.Run()
		case shard.ReqLetters:
			r.DoneLetters(shard.LettersResult{}, shard.ErrUnavailable)
		}
		*r = shard.Request{}
	}
}

// find returns the queue a request names, leading it if it can be.
func (e *Engine) find(id shard.QueueID) (*Queue, error) {
	q := e.Queue(id)
	if q == nil {
		q = e.Log.Find(id)
	}
	switch {
	case q == nil || q.Closing():
		return nil, shard.ErrGone
	case !e.lead(q):
		return nil, shard.ErrUnavailable
	}
	return q, nil
}

// consume registers a consumer, behind what was given back before: that is to be
// in its place again.
func (e *Engine) consume(r *shard.Request) {
	q, err := e.find(r.Consumer.Queue)
	if err != nil {
		r.Done(err)
		return
	}
	e.flush(q)
	if !e.served(q, e.whose(r.Consumer)) || q.Returning > 0 || q.Disp.Waiting() {
		q.waits = append(q.waits, *r)
		return
	}
	r.Done(e.register(q, r.Consumer))
}

func (e *Engine) register(q *Queue, sc *shard.Consumer) error {
	c := e.newConsumer(q, sc)
	if err := q.Disp.Add(e.spec(c)); err != nil {
		q.free = append(q.free, c.ref)
		if errors.Is(err, queue.ErrExclusive) {
			return shard.ErrExclusive
		}
		return err
	}
	e.enlist(c)
	return nil
}

// newConsumer returns a consumer that is not registered yet.
func (e *Engine) newConsumer(q *Queue, sc *shard.Consumer) *Consumer {
	e.lastID++
	c := &Consumer{Consumer: sc, q: q, disp: q.Disp, id: e.lastID}
	if n := len(q.free); n > 0 {
		c.ref = q.free[n-1]
		q.free = q.free[:n-1]
	} else {
		q.consumers = append(q.consumers, nil)
		c.ref = uint64(len(q.consumers))
	}
	return c
}

// spec describes a consumer to its queue's dispatcher.
func (e *Engine) spec(c *Consumer) queue.ConsumerSpec {
	of := e.whose(c.Consumer)
	return queue.ConsumerSpec{
		ID: c.id, Session: queue.SessionID{Incarnation: of, Number: c.Session}, Ref: c.ref,
		NoAck: c.NoAck, Exclusive: c.Exclusive, Priority: c.Priority,
		Prefetch: c.Prefetch, Window: c.Window, Shared: c.Shared,
		Granted: c.ID != 0 && c.q.granting == 0 && c.q.Grant == shard.Grant{Node: of.Node, Incarnation: of.Number, Consumer: c.ID},
	}
}

// enlist takes a consumer in that its queue's dispatcher has.
func (e *Engine) enlist(c *Consumer) {
	c.q.consumers[c.ref-1] = c
	c.q.used = e.Now
	e.consumers[c.Consumer] = c
	if c.ID != 0 {
		e.named[consumerKey{e.whose(c.Consumer), c.ID}] = c
	}
	e.Touch(c.q)
}

// delist takes a consumer out.
func (e *Engine) delist(c *Consumer) {
	delete(e.consumers, c.Consumer)
	delete(e.named, consumerKey{e.whose(c.Consumer), c.ID})
	c.q.consumers[c.ref-1] = nil
	c.q.free = append(c.q.free, c.ref)
}

func (e *Engine) cancel(sc *shard.Consumer, end bool) {
	c := e.consumers[sc]
	if c == nil {
		e.forget(sc)
		return
	}
	e.delist(c)
	c.gone = true
	q := c.q
	if q.Disp == nil {
		return
	}
	// What waits for its body was never handed over.
	for _, d := range c.waiting {
		e.Settle([]shard.Settle{{Queue: q.ID, Seq: d.Seq, Holding: d.Holding, Outcome: shard.Release}})
	}
	c.waiting = nil
	switch {
	case !end:
		q.Disp.Cancel(c.id)
	case !q.Settings.Memory:
		e.abandon(c)
	default:
		var out queue.Outcome
		q.Disp.EndConsumer(c.id, queue.RaiseAcquired, &out)
		q.returns = append(q.returns, out.Returns...)
		q.spent = append(q.spent, out.Spent...)
	}
	e.Touch(q)
	q.used = e.Now
	q.left = true
	e.lastGone(q)
}

// abandon gives back what a consumer holds, one by one: it may have to be given
// back to another leader.
func (e *Engine) abandon(c *Consumer) {
	var ss []shard.Settle
	c.q.Disp.HeldBy(c.id, func(seq uint64, h queue.Holding) {
		ss = append(ss, shard.Settle{Queue: c.q.ID, Seq: seq, Holding: h, Outcome: shard.Abandon})
	})
	c.q.Disp.Cancel(c.id)
	if e.Settle(ss); e.whose(c.Consumer) == e.Incarnation && len(ss) > 0 {
		e.Log.Abandoned(ss)
	}
}

// forget drops a consumer that waits to be registered.
func (e *Engine) forget(sc *shard.Consumer) {
	q := e.Queue(sc.Queue)
	if q == nil {
		return
	}
	for i := range q.waits {
		if r := q.waits[i]; r.Kind == shard.ReqConsume && r.Consumer == sc {
			q.waits = slices.Delete(q.waits, i, i+1)
			r.Done(shard.ErrGone)
			return
		}
	}
}

func (e *Engine) get(r *shard.Request) {
	q, err := e.find(r.Queue)
	if err != nil {
		r.DoneGet(shard.GetResult{}, err)
		return
	}
	e.flush(q)
	of := e.asks(r)
	if !e.served(q, of) || q.Returning > 0 {
		q.waits = append(q.waits, *r)
		return
	}
	q.used = e.Now
	e.expire(q)
	d, p := q.Disp.Get(queue.SessionID{Incarnation: of, Number: r.Session}, 0, e.Now)
	switch p.Why {
	case queue.NotPaused:
	case queue.NeedPage, queue.NeedHorizon, queue.NeedExpiry, queue.Attaching:
		e.wait(q, r, p)
		return
	default:
		if !e.behind(r) {
			r.DoneGet(shard.GetResult{Empty: true}, nil)
		}
		return
	}
	e.Touch(q)
	c := &Consumer{q: q, disp: q.Disp, get: r.DoneGet, waiting: []queue.Delivery{d}}
	if e.forward(c); len(c.waiting) > 0 {
		asked := *r
		c.asked, q.fetching = &asked, append(q.fetching, c)
	}
}

// behind has a request wait, once, for what was published before it.
func (e *Engine) behind(r *shard.Request) bool {
	if r.Behind {
		return false
	}
	r.Behind = true
	return e.Log.Behind(*r)
}

// wait keeps a request until q is touched by what it lacks: a page, a horizon,
// the end of attach.
func (e *Engine) wait(q *Queue, r *shard.Request, p queue.Pause) {
	if p.Why == queue.NeedPage {
		e.loadPage(q, p.Page)
	}
	if r.Kind == shard.ReqGet && p.Why == queue.NeedHorizon {
		q.GetWaits = true
		e.Ask(q)
	}
	q.waits = append(q.waits, *r)
}

// retry asks the requests again that wait for something.
func (e *Engine) retry(q *Queue) {
	rs := q.waits
	q.waits, q.GetWaits = nil, false
	e.Requests(rs)
}

// abandon answers what waits for a queue that is gone.
func (q *Queue) abandon(err error) {
	for _, r := range q.waits {
		switch r.Kind {
		case shard.ReqConsume:
			r.Done(err)
		case shard.ReqGet:
			r.DoneGet(shard.GetResult{}, err)
		case shard.ReqCounts:
			r.Counts(shard.Counts{}, err)
		case shard.ReqPurge, shard.ReqClose:
			r.DoneN(r.N, err)
		case shard.ReqLetters:
			r.DoneLetters(shard.LettersResult{}, err)
		}
	}
	q.waits = nil
}

func (e *Engine) purge(r *shard.Request) {
	q, err := e.find(r.Queue)
	if err != nil {
		r.DoneN(r.N, err)
		return
	}
	if e.behind(r) {
		return
	}
	e.flush(q)
	if q.Returning > 0 {
		q.waits = append(q.waits, *r)
		return
	}
	runs, p := q.Disp.Purge(e.runs[:0])
	for _, run := range runs {
		r.N += uint64(run.N)
		e.Log.Remove(q, run, queue.Purged)
	}
	e.runs = runs[:0]
	if p.Why == queue.NeedPage || p.Why == queue.Attaching {
		e.wait(q, r, p)
		return
	}
	n, done := r.N, r.DoneN
	e.Log.Committed(func(err error) { done(n, err) })
}

func (e *Engine) counts(r *shard.Request) {
	q, err := e.find(r.Queue)
	if err != nil {
		r.Counts(shard.Counts{}, err)
		return
	}
	if e.behind(r) {
		return
	}
	e.flush(q)
	if q.Returning > 0 {
		q.waits = append(q.waits, *r)
		return
	}
	if r.Renew {
		q.used = e.Now
		e.Touch(q)
	}
	ready, held := q.Disp.Ready(), q.Disp.Held()
	r.Counts(shard.Counts{
		Ready: ready.Messages, ReadyBytes: ready.Bytes, Unacked: held.Messages,
		Bytes: ready.Bytes + held.Bytes, Consumers: q.Disp.Consumers(),
		Letters: q.Ledger.Outbox().Messages + q.mail.posting + q.mail.lateN,
	}, nil)
}
