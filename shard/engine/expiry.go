package engine

import "github.com/warrenmq/warren/internal/heap"

// expiries is a heap of queues by the time at which their head expires, then by
// id. A queue is in it at its time due; what stands there for another time is
// passed over.
type expiries []expiry

type expiry struct {
	at int64
	q  *Queue
}

// Before implements heap.Item.
func (a expiry) Before(b expiry) bool {
	return a.at < b.at || a.at == b.at && a.q.ID < b.q.ID
}

// next returns the earliest time, 0 if there is none.
func (h *expiries) next() int64 {
	for len(*h) > 0 {
		if x := (*h)[0]; x.q.due == x.at {
			return x.at
		}
		h.pop()
	}
	return 0
}

func (h *expiries) push(x expiry) { *h = heap.Push(*h, x) }

func (h *expiries) pop() (x expiry) {
	*h, x = heap.Pop(*h)
	return x
}

// expireAt has Tick look at q at the time, 0 for never.
func (e *Engine) expireAt(q *Queue, at int64) {
	if at != 0 && at != q.due {
		e.expiring.push(expiry{at, q})
	}
	q.due = at
}

// Tick has the queues dispatched whose heads are due; e.Now is set.
func (e *Engine) Tick() {
	for {
		at := e.expiring.next()
		if at == 0 || at > e.Now {
			return
		}
		q := e.expiring.pop().q
		q.due = 0
		if q.Disp != nil {
			e.Touch(q)
		}
	}
}
