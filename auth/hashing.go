package auth

import (
	"context"
	"sync"
	"sync/atomic"
)

// slots bounds how many hashes are computed at once and how many callers wait.
type slots struct {
	sem     chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newSlots(workers, queue int) *slots {
	return &slots{sem: make(chan struct{}, workers), queue: int64(queue)}
}

// take waits for a slot. It returns an Error of kind Busy when the queue is
// full, or the context's error.
func (s *slots) take(ctx context.Context) error {
	select {
	case s.sem <- struct{}{}:
		return nil
	default:
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > s.queue {
		return &Error{Kind: Busy}
	}
	select {
	case s.sem <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *slots) give() { <-s.sem }

// fingerprint stands for a user, a revision and a password: an HMAC under a
// key that lives as long as the process.
type fingerprint [32]byte

// flights lets equal attempts share one hash: when a thousand clients of one
// user come back at once, one is checked and the others take its answer.
type flights struct {
	mu struct {
		sync.Mutex
		by     map[fingerprint]*flight
		joined uint64 // attempts that took another's answer
	}
}

func (f *flights) joined() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.joined
}

type flight struct {
	done chan struct{}
	ok   bool  // valid once done is closed, as is err
	err  error // no answer: Busy, or the leader gave up
}

// do returns check's answer, or that of an equal attempt under way. led says
// that it was this caller's.
func (f *flights) do(ctx context.Context, fp fingerprint, check func() (bool, error)) (ok, led bool, err error) {
	f.mu.Lock()
	if other := f.mu.by[fp]; other != nil {
		f.mu.joined++
		f.mu.Unlock()
		select {
		case <-other.done:
			return other.ok, false, other.err
		case <-ctx.Done():
			return false, false, context.Cause(ctx)
		}
	}
	if f.mu.by == nil {
		f.mu.by = make(map[fingerprint]*flight)
	}
	mine := &flight{done: make(chan struct{})}
	f.mu.by[fp] = mine
	f.mu.Unlock()

	mine.ok, mine.err = check()
	f.mu.Lock()
	delete(f.mu.by, fp)
	f.mu.Unlock()
	close(mine.done)
	return mine.ok, true, mine.err
}
