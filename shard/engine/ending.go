package engine

import "github.com/warrenmq/warren/shard"

// An ending goes shard first: the queue closes, which is logged, then the
// catalog deletes it, then the shard drops it. So a conditional ending is
// decided where its condition can be known, in the queue's turn, and nothing
// gets into the queue between the decision and its end.

// Closing reports whether the queue takes nothing any more.
func (q *Queue) Closing() bool { return q.closing || q.Closed }

// end closes a queue; then hears when that is committed.
func (e *Engine) end(q *Queue, then func(error)) {
	q.closing = true
	e.Log.Close(q)
	e.Log.Committed(then)
	e.Touch(q)
}

// endNow ends a queue by itself.
func (e *Engine) endNow(q *Queue) {
	e.end(q, func(err error) {
		if err == nil && e.queues[q.ID] == q {
			e.Log.Ended(q)
		}
	})
}

// closeIf answers a request to end a queue, behind everything that was published
// before it.
func (e *Engine) closeIf(r *shard.Request) {
	q, err := e.find(r.Queue)
	if err != nil {
		r.DoneN(0, err)
		return
	}
	if e.behind(r) {
		return
	}
	e.flush(q)
	if q.Returning > 0 || !q.Disp.Open() {
		e.Ask(q)
		q.waits = append(q.waits, *r)
		return
	}
	e.expire(q)
	n := q.Disp.Ready().Messages
	switch {
	case r.If.IfUnused && q.Disp.Consumers() > 0:
		r.DoneN(0, shard.ErrInUse)
		return
	case r.If.IfEmpty && (n > 0 || q.Disp.InFlight() > 0 || q.Disp.Resting() > 0):
		// What is in flight stands before the end in the log; what rests is on
		// its way back.
		r.DoneN(0, shard.ErrNotEmpty)
		return
	}
	done := r.DoneN
	e.end(q, func(err error) { done(n, err) })
}

// reopen takes the close of a queue back. Publishes that it turned away in the
// meantime were told that it is gone: then it has to be.
func (e *Engine) reopen(r *shard.Request) {
	q := e.Queue(r.Queue)
	switch {
	case q == nil:
		r.Done(shard.ErrGone)
		return
	case !q.Closed:
		r.Done(nil)
		return
	case !e.lead(q):
		r.Done(shard.ErrUnavailable)
		return
	}
	e.Log.Reopen(q)
	done := r.Done
	e.Log.Committed(func(err error) {
		if err == nil && q.Closed {
			err = shard.ErrGone
		}
		done(err)
	})
}

// Reopened applies that a queue goes on, unless it can not.
func (e *Engine) Reopened(q *Queue) {
	if q.Turned {
		return
	}
	q.Closed, q.closing, q.used = false, false, e.Now
	e.Touch(q)
}

// Set changes what holds for a queue. A new time to be used in begins now.
func (e *Engine) Set(q *Queue, s shard.Settings) {
	if s.Expires != q.Settings.Expires {
		q.used = e.Now
	}
	q.Settings = s
	q.Ledger.SetSettings(s.Settings)
	e.Touch(q)
}

// endsAt is when a queue ends that is not used until then, 0 for never.
func (q *Queue) endsAt() int64 {
	if q.Settings.Expires == 0 || q.Disp.Consumers() > 0 {
		return 0
	}
	return q.used + int64(q.Settings.Expires)
}

// unused ends a queue that was not used for too long.
func (e *Engine) unused(q *Queue) bool {
	at := q.endsAt()
	if at == 0 || at > e.Now || len(q.waits) > 0 || !q.Disp.Open() {
		return false
	}
	e.endNow(q)
	return true
}

// sooner returns the lesser of two times of which 0 is never.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
