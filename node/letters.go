package node

import (
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol/amqp091"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/transfer"
)

// letterRouter tells transfer where dead letters go: as the catalog is when they
// are sent. It is used by one goroutine.
type letterRouter struct {
	n      *Node
	router catalog.Router
	dests  []exchange.Dest
}

// Address implements transfer.Router.
func (r *letterRouter) Address(id shard.QueueID) (a transfer.Address, ok bool) {
	v := r.n.catalog.View()
	q := v.QueueByID(id)
	if q == nil {
		return a, false
	}
	a.Queue = q.Name
	if h := v.VHostByID(q.VHost); h != nil {
		a.VHost = h.Name
	}
	if q.Kind == catalog.Schedule {
		a.Exchange, a.Due = q.Name, true // what is due is routed as the exchange is now
		return a, a.VHost != ""
	}
	l := broker.LettersOf(q)
	a.Exchange, a.Key, a.HasKey = l.Exchange, []byte(l.Key), l.HasKey
	a.AtMostOnce = l.Rule == shard.AtMostOnce
	return a, l.Rule != shard.NoLetters
}

// Route implements transfer.Router.
func (r *letterRouter) Route(a *transfer.Address, m *message.Message, keys [][]byte, dst []transfer.Target) ([]transfer.Target, bool) {
	v, b := r.n.catalog.View(), r.n.broker.Load()
	x := v.Exchange(a.VHost, a.Exchange)
	if x == nil {
		return dst, false
	}
	fields := headersOf(m)
	r.router.Node = r.n.life().Node
	r.dests = v.Route(&r.router, x, m.RoutingKey, fields, r.dests[:0])
	for _, k := range keys {
		r.dests = v.Route(&r.router, x, k, fields, r.dests)
	}
	for _, d := range r.dests {
		q := v.QueueByID(d.ID())
		if q == nil {
			continue
		}
		t := transfer.Target{Queue: q.ID, Name: q.Name}
		if q.Kind == catalog.Schedule {
			t.Delay = r.router.Delay(fields)
		}
		if to, err := b.ShardOf(q); err == nil && (q.Shard != 0 || !b.MemoryFull()) {
			t.To = to
		}
		dst = append(dst, t)
	}
	return dst, true
}

// headersOf gives the headers of a stored message to a headers exchange.
func headersOf(m *message.Message) exchange.Fields {
	if m.Protocol == message.AMQP091 {
		return amqp091.Headers(m)
	}
	return changed{m}
}

// changed gives the headers of a message of no protocol: first those that the
// broker changed.
type changed struct{ m *message.Message }

// AppendFields implements exchange.Fields.
func (c changed) AppendFields(dst []message.Field) []message.Field {
	added, _ := c.m.Overlaid(message.OverlayHeaders)
	return message.Table(c.m.Properties).AppendFields(message.Table(added).AppendFields(dst))
}
