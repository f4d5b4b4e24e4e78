package auth

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// firstDelay follows the first failed login of a user from a network; it
	// doubles with each further one up to lastDelay.
	firstDelay = 250 * time.Millisecond
	lastDelay  = 4 * time.Second
	// longestWait is how long an attempt is held back. Who would have to wait
	// longer, because others of the same network wait already, is refused.
	longestWait = 8 * time.Second
	// forgiven is when failures are forgotten.
	forgiven = 10 * time.Minute
	// throttleSize is how many (user, network) are remembered; beyond, the one
	// that may go on first is forgotten.
	throttleSize = 4096
)

// source names who fails: a user, hashed so that its length does not matter,
// and the peer's network, a /24 or a /64.
type source struct {
	user [16]byte
	net  netip.Prefix
}

type failures struct {
	count int
	next  time.Duration // when the next attempt may be checked
}

// throttle slows repeated failures down.
type throttle struct {
	mu struct {
		sync.Mutex
		by map[source]*failures
	}
}

func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	if err != nil { // no address: all such peers share one network
		return netip.Prefix{}
	}
	return p
}

func delay(count int) time.Duration {
	d := firstDelay
	for i := 1; i < count && d < lastDelay; i++ {
		d *= 2
	}
	return min(d, lastDelay)
}

// admit returns how long an attempt must wait, and takes that place in the
// queue; false if it is too long.
func (t *throttle) admit(s source, now time.Duration) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.mu.by[s]
	if f == nil {
		return 0, true
	}
	if now-f.next > forgiven {
		delete(t.mu.by, s)
		return 0, true
	}
	at := max(now, f.next)
	if at-now > longestWait {
		return 0, false
	}
	f.next = at + delay(f.count)
	return at - now, true
}

// failed notes a failed login.
func (t *throttle) failed(s source, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.mu.by[s]
	if f == nil {
		if t.mu.by == nil {
			t.mu.by = make(map[source]*failures)
		}
		if len(t.mu.by) >= throttleSize {
			t.evictLocked(now)
		}
		f = &failures{}
		t.mu.by[s] = f
	}
	f.count++
	f.next = max(f.next, now+delay(f.count))
}

// succeeded forgets the failures.
func (t *throttle) succeeded(s source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.by, s)
}

// evictLocked drops what is forgiven, or else the least of the others.
func (t *throttle) evictLocked(now time.Duration) {
	var first source
	var least *failures
	for s, f := range t.mu.by {
		if now-f.next > forgiven {
			delete(t.mu.by, s)
			continue
		}
		if least == nil || f.next < least.next {
			first, least = s, f
		}
	}
	if len(t.mu.by) >= throttleSize {
		delete(t.mu.by, first)
	}
}

func (t *throttle) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mu.by)
}
