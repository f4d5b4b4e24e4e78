package catalog

import (
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// A Router is the scratch memory of View.Route, for one goroutine at a time.
// The zero Router is ready.
type Router struct {
	// Random is the state of what random exchanges choose by. Every Route moves
	// it on; its owner sets the beginning.
	Random uint64
	// Node is where the message is, for exchanges that prefer queues there.
	Node uint64

	table   exchange.Router
	visited exchange.Marks
	work    []*Exchange
	found   []exchange.Dest
	reached []exchange.Dest
	fields  []message.Field
	byKey   bool
}

// Delay returns for how many milliseconds delayed exchanges keep a message with
// these headers, 0 if they do not. headers may be nil.
func (r *Router) Delay(headers exchange.Fields) (ms uint32) {
	if headers == nil {
		return 0
	}
	r.fields = headers.AppendFields(r.fields[:0])
	for _, f := range r.fields {
		if string(f.Name) == message.DelayHeader {
			ms = message.DelayOf(f.Value)
			break
		}
	}
	clear(r.fields)
	if cap(r.fields) > keptFields {
		r.fields = nil
	}
	return ms
}

// keptFields is for how many headers a router keeps room.
const keptFields = 256

// ByKey reports whether every message with the routing key of the last Route
// goes the same way, as long as the view is the same: no exchange on the way
// looked at anything else.
func (r *Router) ByKey() bool { return r.byKey }

// Route appends to dst the queues to which a message published to x goes, each
// that dst does not hold yet: directly, through exchanges bound to exchanges,
// and, where an exchange matches nothing, through its alternate. headers may be
// nil. A delayed exchange leads to its schedule, if the headers ask for it. It
// allocates nothing once the Router has grown.
func (v *View) Route(r *Router, x *Exchange, key []byte, headers exchange.Fields, dst []exchange.Dest) []exchange.Dest {
	r.byKey = true
	r.Random += 0x9e3779b97f4a7c15
	if x.Name == "" {
		r.reached = v.routeDefault(r.reached[:0], x, key)
		return r.table.Add(dst, r.reached)
	}
	if !x.HasAlternate && !x.Delayed && x.Type != exchange.LocalRandom {
		if t := v.Bindings(x); !t.HasExchanges() {
			r.byKey = t.ByKey()
			r.table.Random = exchange.Scatter(r.Random)
			return t.Route(&r.table, key, headers, dst)
		}
	}
	r.visited.Reset()
	r.visited.Add(x.ID)
	r.work, r.reached = append(r.work[:0], x), r.reached[:0]
	for i := 0; i < len(r.work); i++ {
		v.routeOne(r, r.work[i], key, headers)
	}
	clear(r.work)
	return r.table.Add(dst, r.reached)
}

// routeOne adds what one exchange leads to: queues to reached, exchanges to work.
func (v *View) routeOne(r *Router, x *Exchange, key []byte, headers exchange.Fields) {
	if x.Name == "" {
		r.reached = v.routeDefault(r.reached, x, key)
		return
	}
	if x.Delayed {
		r.byKey = false
		if r.Delay(headers) > 0 {
			r.reached = append(r.reached, exchange.ToQueue(x.Schedule))
			return
		}
	}
	t := v.Bindings(x)
	r.byKey = r.byKey && t.ByKey()
	r.table.Random = exchange.Scatter(r.Random ^ x.ID) // each exchange chooses for itself
	r.found = t.Route(&r.table, key, headers, r.found[:0])
	if x.Type == exchange.LocalRandom {
		r.found = v.oneHere(r, r.found)
	}
	for _, d := range r.found {
		if d.Kind() == exchange.Queue {
			r.reached = append(r.reached, d)
		} else if r.visited.Add(d.ID()) {
			r.work = append(r.work, v.ExchangeByID(d.ID()))
		}
	}
	if len(r.found) == 0 && x.HasAlternate {
		h := v.VHostByID(x.VHost)
		if next := h.Exchange(x.Alternate); next != nil && r.visited.Add(next.ID) {
			r.work = append(r.work, next)
		}
	}
}

// oneHere chooses one of those destinations that are on the router's node.
func (v *View) oneHere(r *Router, found []exchange.Dest) []exchange.Dest {
	n := 0
	for _, d := range found {
		if d.Kind() == exchange.Exchange {
			continue // nothing is known of where it leads
		}
		if q := v.QueueByID(d.ID()); q != nil && q.Node == r.Node {
			found[n] = d
			n++
		}
	}
	if n > 1 {
		found[0] = found[r.table.Random%uint64(n)]
		n = 1
	}
	return found[:n]
}

// routeDefault appends the queue whose name is the key.
func (v *View) routeDefault(dst []exchange.Dest, x *Exchange, key []byte) []exchange.Dest {
	if q := v.VHostByID(x.VHost).QueueBytes(key); q != nil {
		dst = append(dst, exchange.ToQueue(q.ID))
	}
	return dst
}
