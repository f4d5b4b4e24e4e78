package transport

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

const (
	tryPause   = time.Second // after a proof that was wrong
	maxWaiting = 64          // tries that wait
	maxOfOne   = 4           // of them from one address
)

// A turnstile lets one proof of the cookie be tried at a time. A wrong one
// closes it for a second, for everybody; few from one address may wait, so that
// who guesses holds up others for seconds, from however many connections.
type turnstile struct {
	clock clock.Clock
	turn  chan struct{} // one token: whose turn it is
	mu    struct {
		sync.Mutex
		waiting map[string]int // tries by address
		all     int
	}
}

func newTurnstile(c clock.Clock) *turnstile {
	t := &turnstile{clock: c, turn: make(chan struct{}, 1)}
	t.mu.waiting = make(map[string]int)
	return t
}

// enter waits for the turn of an address. It returns false if there are too
// many, or ctx ends. done must be called with the outcome.
func (t *turnstile) enter(ctx context.Context, from net.Addr) (done func(right bool), ok bool) {
	host := hostOf(from)
	if !t.queue(host) {
		return nil, false
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		t.leave(host)
		return nil, false
	}
	return func(right bool) {
		if right {
			<-t.turn
			t.leave(host)
			return
		}
		t.clock.AfterFunc(tryPause, func() {
			<-t.turn
			t.leave(host)
		})
	}, true
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

func (t *turnstile) queue(host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.all >= maxWaiting || t.mu.waiting[host] >= maxOfOne {
		return false
	}
	t.mu.all++
	t.mu.waiting[host]++
	return true
}

func (t *turnstile) leave(host string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.all--
	if t.mu.waiting[host]--; t.mu.waiting[host] == 0 {
		delete(t.mu.waiting, host)
	}
}
