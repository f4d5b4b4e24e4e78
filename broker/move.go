package broker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// A queue in the memory of this node that a policy replicates goes to a shard:
//
//	frozen    it gives out nothing, and nothing of it is held; it takes publishes
//	switched  the catalog says that it is in the shard
//	going     what it has is published there, in order, and what still comes
//
// and every node's front follows as soon as it hears of the switch. Before that
// any failure leaves the queue where it is; after it nothing is left to decide:
// should this node end, what was not yet in the shard is lost, as all that is in
// memory is with its node.

// ErrBusy says that a queue can not move now: consumers hold messages of it.
var ErrBusy = errors.New("broker: messages of the queue are held")

// quietTime is how long a queue gives nothing out so that what is held is settled.
const quietTime = time.Second

// ToMove lists the queues in the memory of this node that a policy replicates.
func (b *Broker) ToMove() (ids []QueueID) {
	for q := range b.View().QueuesOf(b.o.Incarnation) {
		if q.Shard == 0 && q.State == catalog.Open && Replicated(q) {
			ids = append(ids, q.ID)
		}
	}
	return ids
}

// Move moves a queue of ToMove to a shard. ErrBusy says that it may be tried
// again. did, which may be nil, is told the steps that were done.
func (b *Broker) Move(ctx context.Context, id QueueID, did func(string)) error {
	q := b.View().QueueByID(id)
	m := b.MemoryQueue(id)
	if q == nil || m == nil || q.Shard != 0 || !Replicated(q) {
		return nil
	}
	if did == nil {
		did = func(string) {}
	}
	w, _ := WishOf(q)
	shardID, err := b.o.Place(ctx, Placing{VHost: b.View().VHostByID(q.VHost).Name, Name: q.Name, Wish: w, Here: ledHere(q)})
	if err != nil {
		return err
	}
	step.At(step.MovePlaced)
	if !b.freeze(ctx, m) {
		m.Thaw()
		return ErrBusy
	}
	step.At(step.MoveFrozen)
	did("frozen")
	to, err := b.switched(ctx, q, shardID)
	if to == nil {
		m.Thaw()
		return err
	}
	step.At(step.MoveSwitched)
	did("switched")
	m.Go(to)
	step.At(step.MoveGoing)
	did("going")
	b.o.Logger.Info("a queue moves from memory to a shard", "queue", q.Name, "group", shardID)
	return nil
}

// freeze reports whether nothing is held.
func (b *Broker) freeze(ctx context.Context, m *memory.Queue) bool {
	ctx, cancel := context.WithTimeout(ctx, quietTime)
	defer cancel()
	return await(ctx, func(done func(error)) { m.Freeze(func() { done(nil) }) }) == nil
}

// switched has the catalog say where a queue is from now on, and returns that; nil
// if it stays. If the catalog's answer is not known, the catalog is asked what it
// says until it can be.
func (b *Broker) switched(ctx context.Context, q *catalog.Queue, to uint64) (shard.Shard, error) {
	res, err := b.o.Catalog.Do(ctx, &catalog.UpdateQueue{
		ID: q.ID, Epoch: q.Epoch, Raise: true, State: catalog.Open, Shard: to, Node: q.Node, Incarnation: b.o.Incarnation,
	})
	for err != nil {
		// A node that can not reach the others for long ends.
		barred := b.o.Catalog.Barrier(ctx)
		if now := b.View().QueueByID(q.ID); now != nil && now.Epoch > q.Epoch {
			break
		} else if barred == nil {
			return nil, err
		}
		if ctx.Err() != nil { // the node stops, and the queue ends with it
			return nil, err
		}
	}
	if err == nil && res.Code != catalog.Done {
		return nil, errors.New("broker: the catalog says " + res.Code.String())
	}
	return b.o.Shard(to), nil
}

// frontOf returns the front of a queue that is, or was, in memory; nil if nobody
// here has used it.
func (b *Broker) frontOf(id QueueID) *front {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.mu.fronts[id]
}

// inFront returns the front of a queue in memory.
func (b *Broker) inFront(q *catalog.Queue, at shard.Shard, local bool) *front {
	b.mu.Lock()
	f := b.mu.fronts[q.ID]
	if f == nil {
		id := q.ID
		f = newFront(id, at, local, func() bool {
			now := b.View().QueueByID(id)
			return now != nil && now.Shard != 0
		})
		b.mu.fronts[q.ID] = f
	}
	b.mu.Unlock()
	if now := b.View().QueueByID(q.ID); now == nil || now.Shard != 0 {
		b.followed(q.ID) // it moved, or ended, meanwhile
	}
	return f
}

// FollowAll sees to all fronts whose queues have moved: the catalog may have come
// in a snapshot, which does not say what changed.
func (b *Broker) FollowAll() {
	b.mu.RLock()
	fs := slices.Collect(maps.Values(b.mu.fronts))
	b.mu.RUnlock()
	v := b.View()
	for _, f := range fs {
		if q := v.QueueByID(f.id); q == nil || q.Shard != 0 && !f.followed() {
			b.followed(f.id)
		}
	}
}

// followed sees to a front whose queue moved, or is gone. It does not wait.
func (b *Broker) followed(id QueueID) {
	f := b.frontOf(id)
	if f == nil {
		return
	}
	q := b.View().QueueByID(id)
	if q == nil {
		b.mu.Lock()
		delete(b.mu.fronts, id)
		b.mu.Unlock()
		return
	}
	if to := b.o.Shard(q.Shard); q.Shard != 0 && to != nil {
		b.o.Go(func(ctx context.Context) { f.follow(ctx, to) })
	}
}
