package remote

import (
	"sync"
	"sync/atomic"
)

// A flow is the byte window of a node's stream: how much of what its consumers
// are sent may be on its way. Consumers that find it full are kicked when half
// of it is free again.
type flow struct {
	sent atomic.Int64 // and not read, or reserved
	mu   struct {
		sync.Mutex
		waiting []*proxy
	}
}

// take reserves n bytes for a consumer; it returns false if the window is full.
func (f *flow) take(p *proxy, n, window int) bool {
	if f.sent.Load() < int64(window) {
		f.sent.Add(int64(n))
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent.Load() < int64(window) { // read meanwhile, and nobody waited
		f.sent.Add(int64(n))
		return true
	}
	if !p.waits {
		p.waits = true
		f.mu.waiting = append(f.mu.waiting, p)
	}
	return false
}

// free says that n bytes are not on their way: they were read, or were reserved
// for nothing. Consumers that waited are kicked.
func (f *flow) free(n int64, window int) {
	if f.sent.Add(-n) <= int64(window/2) {
		f.kick()
	}
}

// became says that reserved bytes became others that were sent; it is called in
// a shard's turn. Those who waited because too much was reserved are kicked
// outside of it.
func (f *flow) became(reserved, sent int, s *Server) {
	if f.sent.Add(int64(sent-reserved)) > int64(s.o.Window/2) || reserved <= sent {
		return
	}
	f.mu.Lock()
	waits := len(f.mu.waiting) > 0
	f.mu.Unlock()
	if waits {
		s.later(f.kick)
	}
}

// kick kicks the consumers that wait.
func (f *flow) kick() {
	f.mu.Lock()
	ps := f.mu.waiting
	f.mu.waiting = nil
	for _, p := range ps {
		p.waits = false
	}
	f.mu.Unlock()
	for _, p := range ps {
		p.g.host.Kick(&p.Consumer)
	}
}
