package transport

import "time"

// broken is a connection that the other side ended, since when no dial has
// succeeded. The zero value is none.
type broken struct {
	addr string
	when time.Duration
}

// breakOf returns the break of a connection that ended with err.
func breakOf(addr string, err error, now time.Duration) broken {
	if !brokenByPeer(err) {
		return broken{}
	}
	return broken{addr: addr, when: now}
}

// at returns the break if it is of a connection to that address.
func (b *broken) at(addr string) *broken {
	if b.addr == "" || b.addr != addr {
		return nil
	}
	return b
}

// stillConnected reports whether a connection with the peer stands, dialled by
// either side. p.mu is held.
func (p *peer) stillConnected() bool {
	for _, class := range [...]Class{ClassRaft, ClassData} {
		if p.mu.up[class] || p.mu.accepted[class] != nil {
			return true
		}
	}
	return false
}
