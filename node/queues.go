package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard"
)

// queuesPerLook is how many queues are described at a time, so that a list of
// them all never stands in memory.
const queuesPerLook = 1000

// Queues implements admin.Queues.
func (o operations) Queues(ctx context.Context, q admin.QueueQuery) iter.Seq2[admin.Queue, error] {
	return func(yield func(admin.Queue, error) bool) {
		h := o.catalog.View().VHost(q.VHost)
		if h == nil {
			return
		}
		some := make([]*catalog.Queue, 0, queuesPerLook)
		for x := range h.Queues("") {
			if some = append(some, x); len(some) < queuesPerLook {
				continue
			}
			if !o.describe(ctx, h, some, q.Live, yield) {
				return
			}
			some = some[:0]
		}
		o.describe(ctx, h, some, q.Live, yield)
	}
}

// describe yields some queues; false says to stop.
func (o operations) describe(ctx context.Context, h *catalog.VHost, qs []*catalog.Queue, live bool, yield func(admin.Queue, error) bool) bool {
	var infos map[uint64]shard.QueueInfo
	if live && len(qs) > 0 {
		infos = o.broker.Load().Look(ctx, qs, false)
	}
	if err := ctx.Err(); err != nil {
		yield(admin.Queue{}, err)
		return false
	}
	for _, q := range qs {
		d := o.queue(h, q)
		if live && o.serves(q) {
			d.Live = o.live(infos[q.ID]) // nothing has happened to one that is not there
		}
		if !yield(d, nil) {
			return false
		}
	}
	return true
}

// serves reports whether this node answers for a queue.
func (o operations) serves(q *catalog.Queue) bool {
	return q.Shard != 0 && o.shards.Load().open[q.Shard] != nil || q.Shard == 0 && q.Incarnation == o.life().Number
}

func (o operations) queue(h *catalog.VHost, q *catalog.Queue) admin.Queue {
	d := admin.Queue{
		Name: q.Name, VHost: h.Name, Type: "classic", Durable: q.Durable, AutoDelete: q.AutoDelete, Exclusive: q.Exclusive,
		Arguments: arguments(q.Args), Policy: policyName(q.Policy), OperatorPolicy: policyName(q.OperatorPolicy),
		EffectivePolicy: effective(q.Policy, q.OperatorPolicy),
	}
	if q.Kind == catalog.Quorum {
		d.Type = "quorum"
	}
	o.hold(&d, q)
	if q.Exclusive {
		d.OwnerPID = o.pid(q.Owner.Number, 0)
	}
	return d
}

func (o operations) live(in shard.QueueInfo) *admin.QueueLive {
	l := &admin.QueueLive{
		Ready: in.Ready, Unacked: in.Unacked, ReadyBytes: in.ReadyBytes, UnackedBytes: in.Bytes - in.ReadyBytes,
		Consumers: in.Counts.Consumers,
	}
	if in.Only != nil {
		if x, ok := in.Only.User.(broker.Labelled); ok {
			label := x.Label()
			l.ExclusivePID, l.ExclusiveTag = o.pid(label.Session, uint64(label.Channel)), label.Tag
		}
	}
	return l
}

// PurgeQueue implements admin.Queues.
func (o operations) PurgeQueue(ctx context.Context, p admin.PurgeQueue) (admin.Removed, error) {
	n, err := o.broker.Load().PurgeQueue(ctx, p.VHost, p.Name)
	return admin.Removed{Messages: n}, told(err)
}

// DeleteQueue implements admin.Queues.
func (o operations) DeleteQueue(ctx context.Context, d admin.DeleteQueue) (admin.Removed, error) {
	n, err := o.broker.Load().RemoveQueue(ctx, d.VHost, d.Name, broker.DeleteOptions{IfUnused: d.IfUnused, IfEmpty: d.IfEmpty})
	return admin.Removed{Messages: n}, told(err)
}
