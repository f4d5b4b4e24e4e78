package broker

import (
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// find routes a publication over the view. The route may be cached while the
// view stays, unless it depends on more than exchange and key.
func (p *Publisher) find(view *catalog.View, pub *Publication) (r *route, cacheable bool, err error) {
	m, s := pub.Message, p.s
	x, err := s.target(view, m.Exchange)
	if err != nil {
		return nil, false, err
	}
	if err := s.checkTopic(view, opWrite, x, m.RoutingKey); err != nil {
		return nil, false, err
	}
	for _, key := range pub.Keys {
		if err := s.checkTopic(view, opWrite, x, key); err != nil {
			return nil, false, err
		}
	}
	p.dests = view.Route(&p.router, x, m.RoutingKey, pub.Headers, p.dests[:0])
	for _, key := range pub.Keys {
		p.dests = view.Route(&p.router, x, key, pub.Headers, p.dests)
	}
	r = &route{exchange: x.Name, key: string(m.RoutingKey)}
	if x.Name == "" {
		r.addReplies(s, pub)
	}
	for _, d := range p.dests {
		q := view.QueueByID(d.ID())
		if q == nil {
			continue
		}
		to, err := s.b.shardOf(q)
		if err != nil {
			return nil, false, err
		}
		r.add(to, q, s.b.budgetOf(q))
	}
	return r, byKeyOnly(view, x), nil
}

// target returns the exchange that a publication names, if the session may
// publish to it.
func (s *Session) target(view *catalog.View, exchange []byte) (*catalog.Exchange, error) {
	h := view.VHost(s.vhost)
	if h == nil {
		return nil, &Error{Kind: NotFound, Resource: VHostResource, Name: s.vhost, VHost: s.vhost}
	}
	name := string(exchange)
	if err := s.check(opWrite, ExchangeResource, name); err != nil {
		return nil, err
	}
	x := h.ExchangeBytes(exchange)
	switch {
	case x == nil:
		return nil, &Error{Kind: NotFound, Resource: ExchangeResource, Name: name, VHost: s.vhost}
	case x.Internal:
		return nil, &Error{
			Kind: Reserved, Resource: ExchangeResource, Name: name, VHost: s.vhost,
			Detail: "cannot publish to internal exchange '" + name + "' in vhost '" + s.vhost + "'",
		}
	}
	return x, nil
}

// Check says why the exchange of a message can not be published to, nil if it
// can. Protocols ask it before they find fault with the message itself.
func (p *Publisher) Check(m *message.Message) error {
	_, err := p.s.target(p.s.b.View(), m.Exchange)
	return err
}

// byKeyOnly reports whether x routes by the key alone, wherever it leads.
func byKeyOnly(view *catalog.View, x *catalog.Exchange) bool {
	return x.Type != exchange.Headers && x.Alternate == "" && !view.Bindings(x).HasExchanges()
}

func (r *route) add(to shard.Shard, q *catalog.Queue, of *budget) {
	for i := range r.targets {
		if t := &r.targets[i]; t.to == to {
			t.queues = append(t.queues, q.ID)
			return
		}
	}
	r.targets = append(r.targets, target{to: to, queues: []shard.QueueID{q.ID}, budget: of})
}
