package broker

import (
	"hash/maphash"
	"slices"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A route is where one exchange sends one routing key.
type route struct {
	exchange, key string // of one that is kept
	targets       []target
	replies       []*Reply // such a route is used once
}

// A target is the queues of a route that one shard holds.
type target struct {
	to     shard.Shard
	queues []shard.QueueID
	shard  uint64  // its id; 0 is the memory of the node
	budget *budget // of a queue in memory; of several of one shard there is none
	count  int     // how many queues it has
	row    int     // where its publishes were collected last
	delay  uint32  // for how long the message is to wait: the queues are schedules
}

// A cell of a publisher's cache holds the route of one key. A key has to come
// twice to get in: keys that are used once allocate nothing and drive out
// nothing but what shares their cell.
type cell struct {
	route *route
	seen  uint64 // hash of the key that came last and is not in
}

// routeCells is the size of the cache, a power of two. A collision replaces
// what was there: the cache is bounded whatever keys come.
const routeCells = 64

// keptTargets is up to how many targets and queues a publisher's scratch memory
// is kept for the next call.
const keptTargets = 1 << 12

// A finder is a publisher's memory for routes that it does not keep. What it
// finds is valid until the publishes are handed over.
type finder struct {
	router catalog.Router
	dests  []exchange.Dest
	hits   []hit
	fresh  route
	ids    []shard.QueueID // of the targets found since the last flush

	// What was allowed last.
	view   *catalog.View
	x      *catalog.Exchange
	topics bool // the user has a topic permission on x
}

// A hit is a queue with the target that it belongs to.
type hit struct {
	target int
	id     shard.QueueID
}

// route finds where a publication goes.
func (p *Publisher) route(pub *Publication) (*route, error) {
	view := p.s.b.View()
	if view != p.view {
		p.view = view
		p.tracing = !p.s.system && Tracing(view.VHost(p.s.vhost))
		clear(p.cache)
	}
	m := pub.Message
	if len(pub.Keys) > 0 {
		return p.find(view, pub)
	}
	if len(m.Exchange) == 0 && isReply(m.RoutingKey) {
		return p.reply(view, m)
	}
	if p.cache == nil {
		p.cache = make([]cell, routeCells)
	}
	var h maphash.Hash
	h.SetSeed(p.s.b.seed)
	_, _ = h.Write(m.RoutingKey)
	_, _ = h.Write(m.Exchange)
	sum := h.Sum64()
	c := &p.cache[sum&(routeCells-1)]
	if r := c.route; r != nil && r.key == string(m.RoutingKey) && r.exchange == string(m.Exchange) {
		return r, nil
	}
	r, err := p.find(view, pub)
	if err != nil {
		return nil, err
	}
	switch {
	case !p.finder.router.ByKey():
	case c.seen == sum:
		c.route = r.kept(m)
		return c.route, nil
	default:
		c.seen = sum
	}
	return r, nil
}

// find routes a publication over the view.
func (p *Publisher) find(view *catalog.View, pub *Publication) (*route, error) {
	f, m := &p.finder, pub.Message
	if err := p.admit(view, pub); err != nil {
		return nil, err
	}
	f.dests = view.Route(&f.router, f.x, m.RoutingKey, pub.Headers, f.dests[:0])
	for _, key := range pub.Keys {
		f.dests = view.Route(&f.router, f.x, key, pub.Headers, f.dests)
	}
	r := &f.fresh
	r.replies = r.replies[:0]
	if f.x.Name == "" {
		r.addReplies(p.s, pub)
	}
	return r, p.place(view, r, pub.Headers)
}

// admit checks that the session may publish to the exchange of a publication,
// which is in p.finder.x then, with its keys.
func (p *Publisher) admit(view *catalog.View, pub *Publication) error {
	f, s := &p.finder, p.s
	if f.view != view || f.x.Name != string(pub.Message.Exchange) {
		f.view = nil
		x, err := s.target(view, pub.Message.Exchange)
		if err != nil {
			return err
		}
		f.view, f.x = view, x
		f.topics = x.Type == exchange.Topic && view.TopicPermission(s.ident.User, x) != nil
	}
	if !f.topics {
		return nil
	}
	if err := s.checkTopic(view, opWrite, f.x, pub.Message.RoutingKey); err != nil {
		return err
	}
	for _, key := range pub.Keys {
		if err := s.checkTopic(view, opWrite, f.x, key); err != nil {
			return err
		}
	}
	return nil
}

// place groups the queues that were found by what holds them; schedules stand
// apart.
func (p *Publisher) place(view *catalog.View, r *route, headers exchange.Fields) error {
	f := &p.finder
	r.targets, f.hits = r.targets[:0], f.hits[:0]
	for _, d := range f.dests {
		q := view.QueueByID(d.ID())
		if q == nil {
			continue
		}
		i, delay, in := len(r.targets), uint32(0), q.Shard
		if q.Epoch > 0 {
			in = 0 // it moved, and has yet to follow, perhaps: it goes by itself
		}
		if q.Kind == catalog.Schedule {
			delay = f.router.Delay(headers)
		}
		if in != 0 {
			i = slices.IndexFunc(r.targets, func(t target) bool { return t.shard == in && t.delay == delay })
		}
		if i < 0 || i == len(r.targets) {
			to, err := p.s.b.shardOf(q)
			if err != nil {
				return err
			}
			i = len(r.targets)
			r.targets = append(r.targets, target{to: to, shard: in, budget: p.s.b.budgetOf(q), delay: delay})
		}
		r.targets[i].count++
		f.hits = append(f.hits, hit{i, q.ID})
	}
	// Each target gets a piece of ids, as long as it has queues.
	at := len(f.ids)
	f.ids = slices.Grow(f.ids, len(f.hits))[:at+len(f.hits)]
	for i := range r.targets {
		t := &r.targets[i]
		t.queues = f.ids[at : at : at+t.count]
		at += t.count
	}
	for _, h := range f.hits {
		t := &r.targets[h.target]
		t.queues = append(t.queues, h.id)
	}
	return nil
}

// kept returns a copy of a route that may stay.
func (r *route) kept(m *message.Message) *route {
	out := &route{exchange: string(m.Exchange), key: string(m.RoutingKey), targets: slices.Clone(r.targets)}
	for i := range out.targets {
		out.targets[i].queues = slices.Clone(out.targets[i].queues)
	}
	return out
}

// reset lets go of what was found, once it is handed over.
func (f *finder) reset() {
	f.ids = f.ids[:0]
	if cap(f.ids) > keptTargets || cap(f.fresh.targets) > keptTargets || cap(f.dests) > keptTargets {
		f.ids, f.dests, f.hits, f.fresh.targets = nil, nil, nil, nil
		f.router = catalog.Router{Random: f.router.Random, Node: f.router.Node}
	}
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
	case x.Internal && !s.system:
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
