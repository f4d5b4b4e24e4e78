package member

import (
	"math"
	"sync/atomic"
	"time"
)

// A Lease says until when a node may serve. It is read on every client's read
// and write; only its Machine gives it more time.
//
// Once it was seen to have run out it is over, and nothing brings it back but
// the next incarnation: a reader that finds the time passed says so to the
// Machine by the same word, so that no answer on its way can extend it behind
// that reader's back.
type Lease struct {
	until atomic.Int64 // Mono of this node, or one of these
}

const (
	leaseNone    = 0  // of this incarnation no majority has answered yet
	leaseOver    = -1 // it had one and lost it, or gave it up
	leaseForever = math.MaxInt64
)

// Valid reports whether the node may serve at the time now of its Mono.
func (l *Lease) Valid(now time.Duration) bool {
	until := l.until.Load()
	if int64(now) < until {
		return true
	}
	if until > 0 {
		l.until.CompareAndSwap(until, leaseOver)
	}
	return false
}

// set moves the end to until. It returns false if the lease is over.
func (l *Lease) set(now time.Duration, until int64) bool {
	for {
		was := l.until.Load()
		switch {
		case was == leaseOver:
			return false
		case was == leaseNone && until <= int64(now):
			return true
		case was > 0 && (int64(now) >= was || until <= int64(now)):
			until = leaseOver
		}
		if l.until.CompareAndSwap(was, until) {
			return until != leaseOver
		}
	}
}

// begin gives a new incarnation an empty lease.
func (l *Lease) begin() { l.until.Store(leaseNone) }

// end gives the lease up.
func (l *Lease) end() { l.until.Store(leaseOver) }

func (l *Lease) over() bool { return l.until.Load() == leaseOver }

// held reports whether a majority answered and the lease was not lost, at some
// time up to now.
func (l *Lease) held() bool { return l.until.Load() > 0 }
