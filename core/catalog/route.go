package catalog

import "github.com/warrenmq/warren/core/exchange"

// A Router is the scratch memory of View.Route, for one goroutine at a time.
// The zero Router is ready.
type Router struct {
	table   exchange.Router
	visited exchange.Marks
	work    []*Exchange
	found   []exchange.Dest
	reached []exchange.Dest
}

// Route appends to dst the queues to which a message published to x goes, each
// that dst does not hold yet: directly, through exchanges bound to exchanges,
// and, where an exchange matches nothing, through its alternate. headers may be
// nil. It allocates nothing once the Router has grown.
func (v *View) Route(r *Router, x *Exchange, key []byte, headers exchange.Fields, dst []exchange.Dest) []exchange.Dest {
	if x.Name == "" {
		r.reached = v.routeDefault(r.reached[:0], x, key)
		return r.table.Add(dst, r.reached)
	}
	if !x.HasAlternate {
		if t := v.Bindings(x); !t.HasExchanges() {
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
	r.found = v.Bindings(x).Route(&r.table, key, headers, r.found[:0])
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

// routeDefault appends the queue whose name is the key.
func (v *View) routeDefault(dst []exchange.Dest, x *Exchange, key []byte) []exchange.Dest {
	if q := v.VHostByID(x.VHost).QueueBytes(key); q != nil {
		dst = append(dst, exchange.ToQueue(q.ID))
	}
	return dst
}
