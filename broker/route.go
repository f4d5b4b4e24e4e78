package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/shard"
)

// find routes a publication over the view. The route may be cached while the
// view stays, unless it depends on more than exchange and key.
func (p *Publisher) find(view *catalog.View, pub *Publication) (r *route, cacheable bool, err error) {
	m, s := pub.Message, p.s
	h := view.VHost(s.vhost)
	if h == nil {
		return nil, false, &Error{Kind: NotFound, Resource: VHostResource, Name: s.vhost, VHost: s.vhost}
	}
	name := string(m.Exchange)
	if err := s.check(opWrite, ExchangeResource, name); err != nil {
		return nil, false, err
	}
	x := h.ExchangeBytes(m.Exchange)
	if x == nil {
		return nil, false, &Error{Kind: NotFound, Resource: ExchangeResource, Name: name, VHost: s.vhost}
	}
	if x.Internal {
		return nil, false, &Error{
			Kind: Reserved, Resource: ExchangeResource, Name: name, VHost: s.vhost,
			Detail: "cannot publish to internal exchange '" + name + "' in vhost '" + s.vhost + "'",
		}
	}
	p.dests = view.Route(&p.router, x, m.RoutingKey, pub.Headers, p.dests[:0])
	for _, key := range pub.Keys {
		p.dests = view.Route(&p.router, x, key, pub.Headers, p.dests)
	}
	r = &route{exchange: name, key: string(m.RoutingKey)}
	for _, d := range p.dests {
		q := view.QueueByID(d.ID())
		if q == nil {
			continue
		}
		to, err := s.b.shardOf(q)
		if err != nil {
			return nil, false, err
		}
		r.add(to, q)
	}
	return r, byKeyOnly(view, x), nil
}

// byKeyOnly reports whether x routes by the key alone, wherever it leads.
func byKeyOnly(view *catalog.View, x *catalog.Exchange) bool {
	return x.Type != exchange.Headers && x.Alternate == "" && !view.Bindings(x).HasExchanges()
}

func (r *route) add(to shard.Shard, q *catalog.Queue) {
	for i := range r.targets {
		if t := &r.targets[i]; t.to == to {
			t.queues = append(t.queues, q.ID)
			return
		}
	}
	r.targets = append(r.targets, target{to: to, queues: []shard.QueueID{q.ID}, memory: q.Shard == 0})
}
