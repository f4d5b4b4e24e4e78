package exchange

import (
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/pmap"
)

// A Router is the scratch memory of routing, for one goroutine at a time. It
// grows to what its tables need and then allocates nothing. The zero Router is
// ready.
type Router struct {
	seen   Marks // what dst holds, once that is too much to look through
	marked bool

	// Random is what random exchanges choose by; its owner sets it for each
	// message.
	Random uint64

	topic   matcher
	headers []message.Field
	picks   []Dest // among which one is chosen
	text    []byte // that is hashed
}

// few is the number of destinations up to which looking through them is
// cheaper than marking them.
const few = 16

// Route appends to dst the destinations to which a message with the routing key
// and headers goes, each that dst does not hold yet, and returns it: so one dst
// may collect over several keys and tables. headers may be nil. Nothing of key
// and headers is kept.
func (t Table) Route(r *Router, key []byte, headers Fields, dst []Dest) []Dest {
	r.marked = false
	switch t.kind {
	case Direct:
		if set, ok := t.keys.GetBytes(key); ok {
			dst = r.addAll(dst, set)
		}
	case Fanout:
		dst = r.addAll(dst, t.all)
	case Topic:
		if t.root != nil {
			dst = r.match(t.root, key, dst)
		}
	case Headers:
		if t.matches.Len() > 0 {
			dst = t.routeHeaders(r, headers, dst)
		}
	case LocalRandom:
		dst = r.addAll(dst, t.all) // whoever knows where queues are chooses
	case ConsistentHash, ModulusHash, Random:
		dst = t.routeOne(r, key, headers, dst)
	}
	return dst
}

// routeOne appends the one destination that is chosen.
func (t Table) routeOne(r *Router, key []byte, headers Fields, dst []Dest) []Dest {
	var d Dest
	switch {
	case len(t.ring) > 0:
		d = choose(t.ring, t.sum(r, key, headers))
	case t.all.Len() > 0:
		r.picks = pmap.AppendKeys(r.picks[:0], t.all)
		by := r.Random
		if t.kind == ModulusHash {
			by = t.sum(r, key, headers)
		}
		d = r.picks[by%uint64(len(r.picks))]
	default:
		return dst
	}
	if r.marked = false; r.fresh(dst, d) {
		dst = append(dst, d)
	}
	return dst
}

func (t Table) routeHeaders(r *Router, headers Fields, dst []Dest) []Dest {
	r.headers = r.headers[:0]
	if headers != nil {
		r.headers = headers.AppendFields(r.headers)
	}
	for _, m := range t.matches.All() {
		if m.match(r.headers) {
			dst = r.addAll(dst, m.dests)
		}
	}
	clear(r.headers) // they alias the message
	return dst
}

// Add appends to dst those of more that it does not hold yet.
func (r *Router) Add(dst, more []Dest) []Dest {
	r.marked = false
	for _, d := range more {
		if r.fresh(dst, d) {
			dst = append(dst, d)
		}
	}
	return dst
}

// addAll appends those of a set that dst does not hold.
func (r *Router) addAll(dst []Dest, set destSet) []Dest {
	start := len(dst)
	dst = pmap.AppendKeys(dst, set)
	if start == 0 {
		return dst
	}
	end := start
	for _, d := range dst[start:] {
		if r.fresh(dst[:end], d) {
			dst[end] = d
			end++
		}
	}
	return dst[:end]
}

// fresh reports whether d is not in dst. It must then be appended.
func (r *Router) fresh(dst []Dest, d Dest) bool {
	if len(dst) <= few {
		for _, have := range dst {
			if have == d {
				return false
			}
		}
		return true
	}
	if !r.marked {
		r.marked = true
		r.seen.Reset()
		for _, have := range dst {
			r.seen.Add(uint64(have))
		}
	}
	return r.seen.Add(uint64(d))
}
