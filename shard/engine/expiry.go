package engine

// expiries is a heap of queues by the time at which their head expires, then by
// id. A queue is in it at its time due; what stands there for another time is
// passed over.
type expiries []expiry

type expiry struct {
	at int64
	q  *Queue
}

func (a expiry) before(b expiry) bool {
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

func (h *expiries) push(x expiry) {
	s := append(*h, x)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !x.before(s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = x
	*h = s
}

func (h *expiries) pop() expiry {
	s := *h
	top, n := s[0], len(s)-1
	x := s[n]
	s[n] = expiry{}
	s = s[:n]
	*h = s
	if n == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && s[down+1].before(s[down]) {
			down++
		}
		if !s[down].before(x) {
			break
		}
		s[i] = s[down]
		i = down
	}
	s[i] = x
	return top
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
