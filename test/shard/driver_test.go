package shard_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/warrenmq/warren/shard"
	rig "github.com/warrenmq/warren/test/shard"
)

// A driver does random operations, as clients do.
type driver struct {
	rng *rand.Rand
	w   *world
	c   *client
	r   *rig.Rig
	n   int // queues named so far
	// counts says what was done.
	counts map[string]int
}

func newDriver(seed uint64, w *world) *driver {
	return &driver{rng: rand.New(rand.NewPCG(seed, 11)), w: w, counts: map[string]int{}}
}

// begin goes on with another life of the node.
func (d *driver) begin(r *rig.Rig) {
	d.r, d.c = r, newClient(d.w, r)
}

// open returns the queues that are declared and not being deleted.
func (d *driver) open() (qs []*wqueue) {
	for _, q := range d.w.queues {
		if q.declared && !q.deleting {
			qs = append(qs, q)
		}
	}
	return qs
}

func (d *driver) step() error {
	qs := d.open()
	op := d.rng.IntN(100)
	if len(qs) == 0 {
		op = 99
	}
	var q *wqueue
	if len(qs) > 0 {
		q = qs[d.rng.IntN(len(qs))]
	}
	what := ""
	switch {
	case op < 45:
		what = "publish"
		to := []*wqueue{q}
		for _, other := range qs {
			if other != q && other.shard == q.shard && d.rng.IntN(3) == 0 {
				to = append(to, other)
			}
		}
		for range 1 + d.rng.IntN(4) {
			d.c.publish(q.shard, to...)
		}
	case op < 55:
		what = "consume"
		if cs := d.c.consumers[q.id]; len(cs) < 2 {
			d.c.consume(q, uint32(d.rng.IntN(6)))
		} else {
			what = "cancel"
			sc := cs[d.rng.IntN(len(cs))]
			d.c.drop(sc)
			d.r.Shards[q.shard].Cancel(sc, true, func(error) {})
		}
	case op < 58:
		what = "get"
		d.r.Shards[q.shard].Get(q.id, 1, func(g shard.GetResult, err error) {
			if err == nil && !g.Empty {
				d.c.received(q.id, nil, &g.Delivery)
			}
		})
	case op < 82:
		what = "settle"
		for range 1 + d.rng.IntN(3) {
			if n := len(d.c.held); n > 0 {
				o := []shard.Outcome{shard.Accept, shard.Accept, shard.Accept, shard.Reject, shard.Requeue, shard.Requeue}[d.rng.IntN(6)]
				d.c.settle(d.rng.IntN(n), o, d.rng.IntN(2) == 0)
			}
		}
	case op < 86:
		what = "tx"
		d.tx(q)
	case op < 92:
		what = "checkpoint"
		d.r.Checkpoint()
	case op < 94:
		what = "tick"
		d.r.Tick()
	case op < 95 && len(qs) > 2:
		what = "delete"
		d.delete(q)
	case op < 98:
		what = "end"
		d.end(q)
	default:
		what = "declare"
		d.declare()
	}
	d.counts[what]++
	switch d.rng.IntN(4) {
	case 0:
	case 1:
		d.r.Part(d.rng.IntN(5))
	default:
		d.r.Settle()
	}
	if len(d.c.errs) > 0 {
		return d.c.errs[0]
	}
	return nil
}

func (d *driver) declare() {
	if len(d.open()) >= 6 {
		return
	}
	d.n++
	q := &wqueue{name: fmt.Sprintf("q%d", d.n), shard: d.r.IDs[d.rng.IntN(len(d.r.IDs))]}
	d.w.mu.Lock()
	d.w.queues = append(d.w.queues, q)
	d.w.mu.Unlock()
	id, err := d.r.Declare(q.name, q.shard)
	d.w.mu.Lock()
	q.id, q.declared = id, err == nil
	d.w.mu.Unlock()
}

func (d *driver) delete(q *wqueue) {
	d.w.mu.Lock()
	q.deleting = true
	d.w.mu.Unlock()
	err := d.r.Delete(q.name)
	d.w.mu.Lock()
	q.deleted = err == nil
	d.w.mu.Unlock()
}
