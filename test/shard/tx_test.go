package shard_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A wtx is a transaction as its client knows it.
type wtx struct {
	published []wplace
	settled   []wplace
	answered  bool
	committed bool
}

// A wplace is a message in a queue.
type wplace struct {
	queue string
	id    uint64
}

// tx publishes to some queues of a shard and settles some of what is held there,
// as one.
func (d *driver) tx(q *wqueue) {
	c, w := d.c, d.w
	x, t := &wtx{}, &shard.Tx{}
	var given []found
	var back []func()
	w.mu.Lock()
	for _, to := range d.open() {
		if to.shard != q.shard || d.rng.IntN(2) == 0 {
			continue
		}
		w.next++
		id := w.next
		to.msgs = append(to.msgs, &wmessage{id: id, alone: true, sent: c.r.Now})
		t.Publishes = append(t.Publishes, shard.Publish{
			Message: &message.Message{Body: body(id), RoutingKey: []byte("k")}, Queues: []shard.QueueID{to.id},
		})
		x.published = append(x.published, wplace{to.name, id})
	}
	for i := len(c.held) - 1; i >= 0; i-- {
		f := c.held[i]
		for _, of := range w.queues {
			if of.id != f.queue || of.shard != q.shard || d.rng.IntN(2) == 0 {
				continue
			}
			outcome := []shard.Outcome{shard.Accept, shard.Reject, shard.Accept, shard.Requeue}[d.rng.IntN(4)]
			t.Settles = append(t.Settles, shard.Settle{Queue: f.queue, Seq: f.d.Seq, Holding: f.d.Holding, Outcome: outcome})
			c.held = slices.Delete(c.held, i, i+1)
			given = append(given, f)
			m := of.message(f.id)
			if until := m.settle(of, &f, outcome, c.r.Now); outcome == shard.Requeue {
				m.rests = 0 // if it is refused, who knows
				back = append(back, func() {
					m.rests, m.sure, m.failed = until, max(m.sure, until), max(m.failed, f.d.Failed+1)
				})
			} else {
				x.settled = append(x.settled, wplace{of.name, f.id})
			}
			break
		}
	}
	w.txs = append(w.txs, x)
	w.mu.Unlock()
	d.r.Shards[q.shard].Tx(t, func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if c.dead {
			c.failf("a transaction is answered by the dead")
		}
		x.answered, x.committed = true, err == nil
		if err != nil && !errors.Is(err, shard.ErrRefused) {
			c.failf("transaction: %v", err)
		}
		for _, p := range x.published {
			m := w.queue(p.queue).message(p.id)
			m.answered, m.confirmed, m.refused, m.taken = true, x.committed, !x.committed, c.r.Now
		}
		for _, p := range x.settled {
			m := w.queue(p.queue).message(p.id)
			m.acking, m.acked, m.gone = x.committed, x.committed, x.committed
		}
		if !x.committed {
			c.hold(given)
			return
		}
		for _, f := range back {
			f()
		}
	})
}

// hold takes back what a transaction would have settled, as far as its
// consumers have not gone and given it back.
func (c *client) hold(given []found) {
	for _, f := range given {
		if f.by == nil || slices.Contains(c.served[f.queue], f.by) {
			c.held = append(c.held, f)
			continue
		}
		q := c.w.queueByID(f.queue)
		m := q.message(f.id)
		m.mayRest = max(m.mayRest, c.r.Now+rest(q.set.Retry, queue.RetryReturned, f.d.Acquired+1))
	}
}

// check holds a transaction that was not answered against what a node has: all
// of it happened, or nothing.
func (x *wtx) check(w *world, got map[string]*contained) error {
	if x.answered {
		return nil // its messages say so themselves
	}
	var yes, no []string
	look := func(ps []wplace, there bool) {
		for _, p := range ps {
			q, in := w.queue(p.queue), got[p.queue]
			if q == nil || in == nil || q.deleting || q.closed || q.fleeting() {
				continue
			}
			has := slices.ContainsFunc(in.fs, func(f found) bool { return f.id == p.id })
			if s := fmt.Sprintf("%s/%d", p.queue, p.id); has == there {
				yes = append(yes, s)
			} else {
				no = append(no, s)
			}
		}
	}
	look(x.published, true)
	look(x.settled, false)
	if len(yes) > 0 && len(no) > 0 {
		return fmt.Errorf("a transaction happened in part: %v and not %v (published %v, settled %v)", yes, no, x.published, x.settled)
	}
	return nil
}
