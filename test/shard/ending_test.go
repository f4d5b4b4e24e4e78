package shard_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
	rig "github.com/warrenmq/warren/test/shard"
)

// end ends a queue as a client does, on random conditions: its shard closes it,
// then the catalog deletes it, or refuses. Half of it may be left to a crash.
func (d *driver) end(q *wqueue) {
	c, s := d.c, d.r.Shards[q.shard]
	cond := shard.Conditions{IfEmpty: d.rng.IntN(3) > 0, IfUnused: d.rng.IntN(3) > 0}
	then := d.rng.IntN(3)
	if qs := d.open(); d.rng.IntN(2) == 0 {
		// What is not yet in the queue counts: it waits while the log is at
		// something else.
		if other := qs[d.rng.IntN(len(qs))]; other.shard == q.shard {
			c.publish(q.shard, other)
		}
		c.publish(q.shard, q)
	}
	d.w.mu.Lock()
	q.deleting = true
	mark := d.w.next
	d.w.mu.Unlock()
	var before []*shard.Consumer
	for _, sc := range c.consumers[q.id] {
		if c.began[sc] {
			before = append(before, sc)
		}
	}
	s.Close(q.id, cond, func(_ uint64, err error) {
		d.w.mu.Lock()
		defer d.w.mu.Unlock()
		if err != nil {
			// It may be closed if nobody knows.
			q.deleting = !errors.Is(err, shard.ErrInUse) && !errors.Is(err, shard.ErrNotEmpty)
			return
		}
		q.closed = true
		for _, m := range q.msgs {
			if cond.IfEmpty && m.id <= mark && m.confirmed && !m.delivered && !q.mayExpire(m, c.r.Now) {
				c.failf("queue %s ended as empty with message %d, which was never delivered", q.name, m.id)
			}
			if cond.IfEmpty && !m.gone && m.rests > c.r.Now && !q.maySpend(m) && !q.mayExpire(m, m.rests) {
				c.failf("queue %s ended as empty with message %d, which rests until %v", q.name, m.id, m.rests)
			}
		}
		for _, sc := range before {
			if cond.IfUnused && slices.Contains(c.consumers[q.id], sc) {
				c.failf("queue %s ended as unused with a consumer", q.name)
			}
		}
	})
	switch then {
	case 0: // the catalog deletes it
		if d.r.Settle(); q.closed {
			d.delete(q)
		}
	case 1: // the catalog refuses
		if d.r.Settle(); q.closed {
			d.reopen(q)
		}
	default: // whoever was at it is gone
	}
}

func (d *driver) reopen(q *wqueue) {
	for range d.rng.IntN(3) {
		d.c.publish(q.shard, q)
		d.r.Part(d.rng.IntN(5))
	}
	turned, at := false, d.r.Now
	d.w.mu.Lock()
	q.reopening, q.asking = true, true
	d.w.mu.Unlock()
	d.r.Shards[q.shard].Reopen(q.id, func(err error) {
		d.w.mu.Lock()
		defer d.w.mu.Unlock()
		if turned = errors.Is(err, shard.ErrGone); err == nil {
			q.deleting, q.closed, q.reopening, q.used, q.asking = false, false, false, at, true
		}
	})
	if d.r.Settle(); turned {
		d.delete(q)
	}
}

// TestRestingIsNotEmpty: a message that was given back and rests is in its queue,
// for whoever ends it if it is empty.
func TestRestingIsNotEmpty(t *testing.T) {
	d := newDriver(1, &world{})
	r, err := rig.NewRig(rig.Options{Log: storagetest.NewMemLog(), State: state.NewMemory(), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	d.begin(r)
	d.n = 3
	d.declare()
	q := d.w.queues[0]
	d.c.publish(q.shard, q)
	d.c.get(q)
	r.Settle()
	d.c.settle(0, shard.Requeue, true)
	r.Settle()
	got := error(nil)
	end := func() error {
		r.Shards[q.shard].Close(q.id, shard.Conditions{IfEmpty: true}, func(_ uint64, err error) { got = err })
		r.Settle()
		return got
	}
	if err := end(); !errors.Is(err, shard.ErrNotEmpty) {
		t.Fatalf("the queue with a message that rests was ended as empty: %v", err)
	}
	for range restMin / 100 {
		r.Tick()
	}
	d.c.get(q)
	r.Settle()
	d.c.settle(0, shard.Accept, false)
	if err := errors.Join(append(d.c.errs, end())...); err != nil {
		t.Fatal(err)
	}
}
