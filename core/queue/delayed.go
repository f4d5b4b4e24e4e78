package queue

import "github.com/warrenmq/warren/internal/heap"

// A queue may give a message that comes back a rest before it is ready again. How
// long follows from the log alone: its settings, the message's counts, the log
// time of the return. What rests is counted as away: it is neither ready nor
// held, and no decision names it.

// RetryWhen says which returns have their message rest.
type RetryWhen uint8

const (
	// RetryFailed is those that count against the delivery limit.
	RetryFailed RetryWhen = 1 << iota
	// RetryReturned is those of holders that went.
	RetryReturned
)

// A Retry is how long a message rests: Min milliseconds the first time, twice
// that the second, and so on up to Max, if that is not 0.
type Retry struct {
	When     RetryWhen
	Min, Max uint32
}

// rest returns how long a message rests whose return raised what e has now.
func (r Retry) rest(raise Raise, e exception) int64 {
	n := e.acquired
	switch failed := raise&RaiseFailed != 0; {
	case raise&RaiseAcquired == 0: // it was never delivered
		return 0
	case failed && r.When&RetryFailed == 0, !failed && r.When&RetryReturned == 0:
		return 0
	case failed:
		n = e.failed
	}
	d := int64(r.Min) * int64(n)
	if r.Max != 0 {
		d = min(d, int64(r.Max))
	}
	return d
}

// rest notes until when a message rests that was given back at a time.
func (l *Ledger) rest(p *page, slot int, raise Raise, now int64) {
	e := p.exception(slot)
	until := int64(0)
	if d := l.settings.Retry.rest(raise, e); d > 0 {
		until = now + d
	}
	if until != e.until {
		p.amend(slot).until = until
	}
}

// A resting message, in a heap by when it is ready again.
type resting struct {
	until int64
	seq   uint64
}

// Before implements heap.Item.
func (a resting) Before(b resting) bool {
	return a.until < b.until || a.until == b.until && a.seq < b.seq
}

// layDown has a message rest. Its size is accounted for as far as it is known.
func (d *Dispatcher) layDown(p *page, at int, until int64) {
	s := d.spares.occupy(p, at)
	if p.has(at) {
		s.size = p.at(at).size
	}
	s.counter = 0
	s.become(laidDown)
	d.away.add(1, uint64(s.size))
	d.restUntil(resting{until, p.first() | uint64(at)})
}

func (d *Dispatcher) restUntil(x resting) { d.resting = heap.Push(d.resting, x) }

// Decline ends a holding whose message did not fit its holder: it rests, and then
// it is ready in its place as if it had not been delivered. Nothing is logged; with
// another dispatcher it is ready at once. ok is false if the holding is stale.
func (d *Dispatcher) Decline(seq uint64, h Holding, until int64) (ok bool) {
	p, at, s := d.holding(seq, h)
	if s == nil {
		return false
	}
	d.release(p, at, s)
	s.counter = uint64(until)
	s.become(laidDown)
	d.away.add(1, uint64(s.size))
	d.restUntil(resting{until, seq})
	return true
}

// Limited reports whether messages are delivered only so often.
func (d *Dispatcher) Limited() bool { return d.l.settings.DeliveryLimit != 0 }

// rise makes ready what has rested long enough.
func (d *Dispatcher) rise(now int64) {
	for len(d.resting) > 0 && d.resting[0].until <= now {
		x := d.rested()
		ln, p, at := d.l.at(x.seq)
		if p == nil {
			continue // it is gone
		}
		s := p.slot(at)
		if s == nil || s.state() != laidDown {
			continue
		}
		if until := int64(s.counter); until == x.until || until == 0 && p.exception(at).until == x.until { // else it rests anew
			d.away.sub(1, uint64(s.size))
			d.requeue(ln, p, at)
		}
	}
}

// rested takes the first of those that rest.
func (d *Dispatcher) rested() (x resting) {
	d.resting, x = heap.Pop(d.resting)
	if len(d.resting) == 0 && cap(d.resting) > maxSpareHeap {
		d.resting = nil
	}
	return x
}

// NextRetry is when a message may be ready again that rests, 0 if none does.
func (d *Dispatcher) NextRetry() int64 {
	if len(d.resting) == 0 {
		return 0
	}
	return d.resting[0].until
}

// Resting is how many messages rest.
func (d *Dispatcher) Resting() int { return len(d.resting) }
