package engine

import "github.com/warrenmq/warren/core/queue"

// Still reports whether nothing of a queue is held, rests or is decided about, and
// nobody waits: all that is in it is ready.
func (q *Queue) Still() bool {
	return q.Disp != nil && !q.Closing() && !q.Disp.Waiting() && q.Returning == 0 &&
		q.Disp.Held().Messages == 0 && q.Disp.Ready().Messages == q.Ledger.Total().Messages &&
		len(q.waits)+len(q.fetching) == 0 && q.mail.lateN == 0
}

// Take hands out the next message of a queue in memory to a session, in the order
// in which consumers would have it, with its body. ok is false if there is none.
func (e *Engine) Take(q *Queue, s queue.SessionID) (d queue.Delivery, blob []byte, ok bool) {
	for {
		d, p := q.Disp.Get(s, 0, e.Now)
		switch p.Why {
		case queue.NotPaused:
			return d, e.Residents.Body(d.Record.Body), true
		case queue.NeedExpiry:
			if e.expire(q) {
				e.offer(q)
				continue
			}
		}
		return queue.Delivery{}, nil, false
	}
}
