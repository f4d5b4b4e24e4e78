package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
)

// Exchanges implements admin.Exchanges.
func (o operations) Exchanges(ctx context.Context, q admin.VHostQuery) iter.Seq2[admin.Exchange, error] {
	return func(yield func(admin.Exchange, error) bool) {
		h := o.catalog.View().VHost(q.VHost)
		if h == nil {
			return
		}
		standard := admin.Exchange{VHost: h.Name, Type: exchange.Direct.String(), Durable: true}
		if h.Exchange("") == nil && !yield(standard, nil) {
			return
		}
		delayed := o.delayed(ctx, h)
		for x := range h.Exchanges("") {
			d := admin.Exchange{
				Name: x.Name, VHost: h.Name, Type: x.TypeName(), Durable: x.Durable, AutoDelete: x.AutoDelete,
				Internal: x.Internal, Arguments: arguments(x.Args), Policy: policyName(x.Policy),
			}
			if n, ok := delayed[x.Schedule]; ok {
				d.Delayed = &n
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// delayed counts what waits in the delayed exchanges of a vhost that this node
// serves, by schedule.
func (o operations) delayed(ctx context.Context, h *catalog.VHost) map[uint64]int64 {
	v := o.catalog.View()
	var schedules []*catalog.Queue
	for x := range h.Exchanges("") {
		if q := scheduleOf(v, x); q != nil && o.serves(q) {
			schedules = append(schedules, q)
		}
	}
	if len(schedules) == 0 {
		return nil
	}
	infos := o.broker.Load().Look(ctx, schedules, false)
	counts := make(map[uint64]int64, len(schedules))
	for _, q := range schedules {
		counts[q.ID] = int64(infos[q.ID].Ready)
	}
	return counts
}

// Bindings implements admin.Exchanges.
func (o operations) Bindings(_ context.Context, q admin.VHostQuery) iter.Seq2[admin.Binding, error] {
	return func(yield func(admin.Binding, error) bool) {
		v := o.catalog.View()
		h := v.VHost(q.VHost)
		if h == nil {
			return
		}
		for x := range h.Queues("") {
			if !yield(admin.Binding{Destination: x.Name, DestinationKind: "queue", RoutingKey: x.Name, VHost: h.Name}, nil) {
				return
			}
		}
		for x := range h.Exchanges("") {
			for b := range v.Bindings(x).All() {
				d := admin.Binding{Source: x.Name, RoutingKey: b.Key, Arguments: arguments(b.Args), VHost: h.Name}
				d.DestinationKind, d.Destination = destination(v, b.Dest)
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// destination names what a binding leads to.
func destination(v *catalog.View, d exchange.Dest) (kind, name string) {
	if d.Kind() == exchange.Exchange {
		if x := v.ExchangeByID(d.ID()); x != nil {
			name = x.Name
		}
		return "exchange", name
	}
	if q := v.QueueByID(d.ID()); q != nil {
		name = q.Name
	}
	return "queue", name
}
