package engine

import "github.com/warrenmq/warren/shard"

// TxCurrent reports whether everything that a transaction settles is held now.
// What was held in a queue that is gone is nobody's any more, and counts for
// nothing.
func (e *Engine) TxCurrent(ss []shard.Settle) bool {
	for i := range ss {
		s := &ss[i]
		q := e.Queue(s.Queue)
		if q == nil {
			continue
		}
		if q.Disp == nil || !q.Disp.Holds(s.Seq, s.Holding) {
			return false
		}
	}
	return true
}

// TxAdmit decides about a publish of a transaction: what does not fit refuses
// the whole, it does not go to an outbox.
func (e *Engine) TxAdmit(q *Queue, it *shard.Item) bool {
	return !q.clogged() && q.Disp.Admit(it.Priority, it.Size)
}

// TxSettle settles what a transaction settles, and hands all of it to the log.
func (e *Engine) TxSettle(ss []shard.Settle) {
	e.Settle(ss)
	for i := range ss {
		if q := e.Queue(ss[i].Queue); q != nil {
			e.flush(q)
		}
	}
}

// Flush hands everything decided to the log.
func (e *Engine) Flush() { e.flushTouched() }
