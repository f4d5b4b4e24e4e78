package listener

import (
	"cmp"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// courtesy is the time a half-open connection has before it may be closed to
// make room: an honest client logs in well within it.
const courtesy = time.Second

// GateOptions are the limits that all listeners of a node share.
type GateOptions struct {
	// MaxConnections bounds the connections of the node. Default: 65,536.
	MaxConnections int
	// MaxHalfOpen bounds the connections that have not logged in. Default: 4,096.
	MaxHalfOpen int
	// Clock is the time. Default: the machine's.
	Clock Clock
}

// A Gate decides which connections a node takes. It counts them, and when there
// are too many half-open ones the peer that holds most of them pays: its oldest
// is closed, or its newest is not let in. So one peer that opens connections and
// says nothing cannot keep the others out.
type Gate struct {
	maxConns, maxHalf int
	clock             Clock
	records           sync.Pool // of *[recordSize]byte, for TLS writes

	conns   atomic.Int64
	refused atomic.Int64 // connections turned away by a limit
	evicted atomic.Int64 // half-open connections closed to make room

	mu struct {
		sync.Mutex
		half  int
		peers map[netip.Prefix]*peer
	}
}

// A peer is one source of half-open connections, oldest first.
type peer struct {
	source       netip.Prefix
	n            int
	oldest, last *budget
}

// halfOpen is a connection's place in its peer's list. Guarded by Gate.mu; nil
// peer means that it is in none.
type halfOpen struct {
	peer       *peer
	prev, next *budget
	since      time.Time
}

// NewGate returns a gate with nobody inside.
func NewGate(o GateOptions) *Gate {
	g := &Gate{
		maxConns: cmp.Or(o.MaxConnections, DefaultMaxConnections),
		maxHalf:  cmp.Or(o.MaxHalfOpen, DefaultMaxHalfOpen),
		clock:    o.Clock,
	}
	if g.clock == nil {
		g.clock = machineClock{}
	}
	g.records.New = func() any { return new([recordSize]byte) }
	g.mu.peers = map[netip.Prefix]*peer{}
	return g
}

// GateStats is what a gate counts.
type GateStats struct {
	Connections, MaxConnections int
	HalfOpen, MaxHalfOpen       int
	Refused, Evicted            int64
}

// Stats may be called from any goroutine.
func (g *Gate) Stats() GateStats {
	g.mu.Lock()
	half := g.mu.half
	g.mu.Unlock()
	return GateStats{
		Connections: int(g.conns.Load()), MaxConnections: g.maxConns,
		HalfOpen: half, MaxHalfOpen: g.maxHalf,
		Refused: g.refused.Load(), Evicted: g.evicted.Load(),
	}
}

// limitError says which limit turned a connection away, and how to raise it.
type limitError struct {
	reason  reason
	setting string
	limit   int
}

func (e *limitError) Error() string {
	return fmt.Sprintf("the limit of %d connections is reached; raise it with --set %s=N", e.limit, e.setting)
}

// enter takes b in, or says why not. An accepted b must leave.
func (g *Gate) enter(b *budget, from netip.Addr) error {
	if n := g.conns.Add(1); n > int64(g.maxConns) {
		g.conns.Add(-1)
		g.refused.Add(1)
		return &limitError{overNode, "limits.max_connections", g.maxConns}
	}
	victim, err := g.link(b, sourceOf(from))
	if err != nil {
		g.conns.Add(-1)
		g.refused.Add(1)
		return err
	}
	if victim != nil {
		g.evicted.Add(1)
		victim.evicted.Store(true)
		_ = victim.Conn.Close() // its own goroutine notices, and reports
	}
	return nil
}

// link puts b into its peer's list. When the gate is full it takes out the one
// that pays for it, and returns it.
func (g *Gate) link(b *budget, source netip.Prefix) (victim *budget, err error) {
	now := g.clock.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.half >= g.maxHalf {
		victim = g.greediest().oldest
		if now.Sub(victim.half.since) < courtesy && victim.half.peer.source == source {
			return nil, &limitError{overHalfOpen, "limits.max_half_open", g.maxHalf}
		}
		g.unlink(victim)
	}
	g.append(b, source, now)
	return victim, nil
}

// append puts b at the end of its source's list. The lock is held.
func (g *Gate) append(b *budget, source netip.Prefix, since time.Time) {
	p := g.mu.peers[source]
	if p == nil {
		p = &peer{source: source}
		g.mu.peers[source] = p
	}
	b.half = halfOpen{peer: p, prev: p.last, since: since}
	if p.last == nil {
		p.oldest = b
	} else {
		p.last.half.next = b
	}
	p.last = b
	p.n++
	g.mu.half++
}

// rehome counts b as one of the client's that a proxy speaks for, so that who
// comes through one proxy is not one source.
func (g *Gate) rehome(b *budget, from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b.half.peer == nil {
		return
	}
	since := b.half.since
	g.unlink(b)
	g.append(b, sourceOf(from), since)
}

// greediest returns the peer with most half-open connections, among equals the
// one whose oldest is older. It looks at no more peers than there may be
// half-open connections, and only when the gate is full.
func (g *Gate) greediest() (most *peer) {
	for _, p := range g.mu.peers {
		if most == nil || p.n > most.n || p.n == most.n && p.oldest.half.since.Before(most.oldest.half.since) {
			most = p
		}
	}
	return most
}

// unlink takes b out of its peer's list, if it is in one.
func (g *Gate) unlink(b *budget) {
	p := b.half.peer
	if p == nil {
		return
	}
	if b.half.prev == nil {
		p.oldest = b.half.next
	} else {
		b.half.prev.half.next = b.half.next
	}
	if b.half.next == nil {
		p.last = b.half.prev
	} else {
		b.half.next.half.prev = b.half.prev
	}
	b.half = halfOpen{}
	g.mu.half--
	if p.n--; p.n == 0 {
		delete(g.mu.peers, p.source)
	}
}

func (g *Gate) loggedIn(b *budget) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlink(b)
}

func (g *Gate) leave(b *budget) {
	g.loggedIn(b)
	g.conns.Add(-1)
}

// sourceOf is the unit of fairness: an IPv4 address, or the /64 that one IPv6
// customer is given whole.
func sourceOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address, as from a pipe: one common source
	}
	return p
}
