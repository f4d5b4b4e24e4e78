package broker

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
)

// A Waiter is a publisher that is held.
type Waiter struct {
	User, VHost string
	Peer        netip.AddrPort
	Why         string
}

// waiters are the publishers that are held, and why. They are noted when that
// begins and ends, never for a message.
type waiters struct {
	mu    sync.Mutex
	whose map[*Publisher]string
}

func (w *waiters) note(p *Publisher, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if why == "" {
		delete(w.whose, p)
		return
	}
	if w.whose == nil {
		w.whose = map[*Publisher]string{}
	}
	w.whose[p] = why
}

// Waiting returns the publishers that are held, ordered by user and address.
func (b *Broker) Waiting() []Waiter {
	w := &b.waiters
	w.mu.Lock()
	all := make([]Waiter, 0, len(w.whose))
	for p, why := range w.whose {
		all = append(all, Waiter{p.s.ident.User, p.s.vhost, p.s.info.Peer, why})
	}
	w.mu.Unlock()
	slices.SortFunc(all, func(a, b Waiter) int {
		return cmp.Or(cmp.Compare(a.User, b.User), a.Peer.Compare(b.Peer), cmp.Compare(a.Why, b.Why))
	})
	return all
}
