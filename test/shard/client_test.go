package shard_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	rig "github.com/warrenmq/warren/test/shard"
)

// A client uses one life of a node.
type client struct {
	w    *world
	r    *rig.Rig
	errs []error

	held      []found
	consumers map[shard.QueueID][]*shard.Consumer // in the order in which they were asked for
	began     map[*shard.Consumer]bool
	served    map[shard.QueueID][]*shard.Consumer // in the order in which they began
	active    map[shard.QueueID]*shard.Consumer   // who had the last delivery
	settled   time.Duration                       // when everything that was decided had come
	dead      bool                                // what comes now was not to be
}

func newClient(w *world, r *rig.Rig) *client {
	return &client{
		w: w, r: r, consumers: map[shard.QueueID][]*shard.Consumer{}, began: map[*shard.Consumer]bool{},
		served: map[shard.QueueID][]*shard.Consumer{}, active: map[shard.QueueID]*shard.Consumer{},
	}
}

func (c *client) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// Confirmed implements shard.Confirms: tags are message ids.
func (c *client) Confirmed(first uint64, n uint32, refused bool) {
	if c.dead {
		c.failf("message %d confirmed by the dead", first)
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for id := first; id < first+uint64(n); id++ {
		for _, q := range c.w.queues {
			if m := q.message(id); m != nil {
				if m.answered {
					c.failf("message %d confirmed twice", id)
				}
				m.answered, m.taken = true, c.r.Now
				m.confirmed = !refused
				m.refused = refused && m.alone
			}
		}
	}
}

// Unknown implements shard.Confirms.
func (c *client) Unknown(uint64, uint32) {}

// Wake implements shard.Confirms and shard.Sink.
func (c *client) Wake() {}

// Cancelled implements shard.Sink.
func (c *client) Cancelled(sc *shard.Consumer) { c.drop(sc) }

// use returns what notes that a queue was used, if it was.
func (c *client) use(q *wqueue) func(error) {
	at := c.r.Now
	c.w.mu.Lock()
	q.asking = true
	c.w.mu.Unlock()
	return func(err error) {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		if q.asking = true; err == nil {
			q.used = max(q.used, at)
		}
	}
}

// renew declares a queue again.
func (c *client) renew(q *wqueue) {
	used := c.use(q)
	c.r.Shards[q.shard].Renew(q.id, func(_ shard.Counts, err error) { used(err) })
}

func (c *client) get(q *wqueue) {
	used := c.use(q)
	c.r.Shards[q.shard].Get(q.id, 1, func(g shard.GetResult, err error) {
		if used(err); err == nil && !g.Empty {
			c.received(q.id, nil, &g.Delivery)
		}
	})
}

// drop ends a consumer: what it holds goes back, and may have to rest.
func (c *client) drop(sc *shard.Consumer) {
	for _, of := range []map[shard.QueueID][]*shard.Consumer{c.consumers, c.served} {
		if i := slices.Index(of[sc.Queue], sc); i >= 0 {
			of[sc.Queue] = slices.Delete(of[sc.Queue], i, i+1)
		}
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	q := c.w.queueByID(sc.Queue)
	q.used, q.asking = max(q.used, c.r.Now), true
	for _, f := range c.held {
		if f.by == sc {
			q.message(f.id).layDown(c.r.Now + rest(q.set.Retry, queue.RetryReturned, f.d.Acquired+1))
		}
	}
	c.held = slices.DeleteFunc(c.held, func(f found) bool { return f.by == sc })
}

// Deliver implements shard.Sink.
func (c *client) Deliver(sc *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		c.received(sc.Queue, sc, &ds[i])
	}
}

func (c *client) received(id shard.QueueID, by *shard.Consumer, d *shard.Delivery) {
	f, err := parse(id, d)
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	f.by, f.at = by, c.r.Now
	q := c.w.queueByID(id)
	if err := c.granted(q, by); err != nil {
		c.errs = append(c.errs, err)
	}
	m := q.message(f.id)
	if m == nil {
		c.failf("message %d was never published to %s", f.id, q.name)
		return
	}
	if err := c.receivable(q, m, &f); err != nil {
		c.errs = append(c.errs, fmt.Errorf("queue %s: %w", q.name, err))
	}
	// What counts is committed.
	m.delivered, m.failed = true, max(m.failed, f.d.Failed)
	c.held = append(c.held, f)
}

// receivable says why a message must not come now.
func (c *client) receivable(q *wqueue, m *wmessage, f *found) error {
	switch {
	case m.acked:
		return fmt.Errorf("message %d comes again after its acknowledgement", f.id)
	case m.delivered && !f.redelivered:
		return fmt.Errorf("message %d comes again unflagged", f.id)
	case f.at < m.rests-slack:
		return fmt.Errorf("message %d comes at %v and rests until %v", f.id, f.at, m.rests)
	case q.mustExpire(m, c.settled):
		return fmt.Errorf("message %d, confirmed at %v, comes at %v, after its time", f.id, m.taken, f.at)
	case q.mustSpend(m):
		return fmt.Errorf("message %d was given back %d times and comes again", f.id, m.failed)
	case f.d.Failed < m.failed || f.d.Failed > m.asked:
		return fmt.Errorf("message %d was given back %d times, for certain %d times, and counts %d", f.id, m.asked, m.failed, f.d.Failed)
	}
	return nil
}

// granted says why a consumer must not have messages now: a queue that lets one
// have them at a time lets the one that came first, until that goes.
func (c *client) granted(q *wqueue, by *shard.Consumer) error {
	if !q.set.SingleActive || by == nil {
		return nil
	}
	switch i := slices.Index(c.served[q.id], by); {
	case i > 0:
		return fmt.Errorf("queue %s delivers to consumer %d in line", q.name, i+1)
	case i < 0 && c.active[q.id] != by:
		return fmt.Errorf("queue %s delivers to a consumer that went before its turn", q.name)
	}
	c.active[q.id] = by
	return nil
}

// publish sends one message to queues of one shard.
func (c *client) publish(in uint64, qs ...*wqueue) {
	c.w.mu.Lock()
	c.w.next++
	id := c.w.next
	p := shard.Publish{Message: &message.Message{Body: body(id), RoutingKey: []byte("k")}, To: c, Tag: id}
	for _, q := range qs {
		q.msgs = append(q.msgs, &wmessage{id: id, alone: len(qs) == 1, sent: c.r.Now})
		p.Queues = append(p.Queues, q.id)
	}
	c.w.mu.Unlock()
	c.r.Shards[in].Publish([]shard.Publish{p})
}

func (c *client) consume(q *wqueue, prefetch uint32) {
	sc := &shard.Consumer{Queue: q.id, Sink: c, Prefetch: prefetch, Session: 1}
	c.consumers[q.id] = append(c.consumers[q.id], sc)
	used := c.use(q)
	c.r.Shards[q.shard].Consume(sc, func(err error) {
		used(err)
		if c.began[sc] = err == nil; err != nil {
			c.drop(sc)
		} else if slices.Contains(c.consumers[q.id], sc) {
			c.served[q.id] = append(c.served[q.id], sc)
		}
	})
}

// settle ends the i-th of what is held. done says whether to ask for an answer.
func (c *client) settle(i int, o shard.Outcome, done bool) {
	f := c.held[i]
	c.held = slices.Delete(c.held, i, i+1)
	c.w.mu.Lock()
	q := c.w.queueByID(f.queue)
	m := q.message(f.id)
	until := m.settle(q, &f, o, c.r.Now)
	c.w.mu.Unlock()
	var answer func(error)
	if done {
		answer = func(err error) {
			c.w.mu.Lock()
			defer c.w.mu.Unlock()
			switch {
			case err != nil:
			case o == shard.Requeue:
				m.failed, m.sure = max(m.failed, f.d.Failed+1), max(m.sure, until)
			default:
				m.acked = true
			}
		}
	}
	c.r.Shards[q.shard].Settle([]shard.Settle{{Queue: f.queue, Seq: f.d.Seq, Holding: f.d.Holding, Outcome: o}}, answer)
}

// settle notes how a message is being settled, and returns until when it rests.
func (m *wmessage) settle(q *wqueue, f *found, o shard.Outcome, now time.Duration) (until time.Duration) {
	if o != shard.Requeue {
		m.acking, m.gone = true, true
		return 0
	}
	m.asked++
	m.layDown(now + rest(q.set.Retry, queue.RetryFailed, f.d.Failed+1))
	return m.rests
}

func (m *wmessage) layDown(until time.Duration) {
	m.rests, m.mayRest = until, max(m.mayRest, until)
}
