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

// begin goes on with another life of the node: what is not certain may have come
// to nothing, and who was there has gone.
func (d *driver) begin(r *rig.Rig) {
	d.r, d.c = r, newClient(d.w, r)
	d.w.mu.Lock()
	d.w.clock = r.Clock
	d.w.txs = nil // what was not answered is decided, but nobody was told how
	for _, q := range d.w.queues {
		q.used, q.asked = r.Now, r.Now
		for _, m := range q.msgs {
			m.rests, m.gone = m.sure, false
		}
	}
	d.w.mu.Unlock()
	for _, q := range d.open() {
		if q.set.Expires > 0 {
			d.c.renew(q) // its shard has to know of it, as the broker says
		}
	}
}

// found declares the first queues, of kinds that differ from run to run.
func (d *driver) found() {
	d.n = d.rng.IntN(10)
	for range 2 + d.rng.IntN(4) {
		d.declare()
	}
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
		if q.set.Expires > 0 && d.rng.IntN(2) == 0 {
			d.c.renew(q)
			break
		}
		d.c.get(q)
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
	case op < 91:
		what = "checkpoint"
		d.r.Checkpoint()
	case op < 94:
		what = "tick"
		for range 1 + d.rng.IntN(8) {
			d.r.Tick()
			d.look()
		}
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
		d.look()
		d.c.quiet(d.open())
	}
	if len(d.c.errs) > 0 {
		return d.c.errs[0]
	}
	return nil
}

// look sees what is there when everything is done.
func (d *driver) look() {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.c.settled = d.r.Now
	for _, q := range d.w.queues {
		switch {
		case q.set.Expires == 0 || !q.declared || q.deleted:
		case d.r.Catalog.View().QueueByID(q.id) == nil:
			if !q.deleting && !q.mayEnd(d.r.Now) {
				d.c.failf("queue %s, which was used at %v, ended at %v", q.name, q.used, d.r.Now)
			}
			q.deleting, q.deleted = true, true
		case len(d.c.served[q.id]) > 0:
			q.used, q.asked = d.r.Now, d.r.Now
		case q.asking:
			q.asked = d.r.Now
		case !q.deleting && d.r.Now > q.asked+milliseconds(q.set.Expires)+late:
			d.c.failf("queue %s, which was used at %v, is there at %v", q.name, q.asked, d.r.Now)
		}
		q.asking = false
	}
}

func (d *driver) declare() {
	if len(d.open()) >= 6 {
		return
	}
	d.n++
	name := fmt.Sprintf("q%d", d.n)
	q := &wqueue{name: name, set: settings(name), used: d.r.Now, asking: true, shard: d.r.IDs[d.rng.IntN(len(d.r.IDs))]}
	d.w.mu.Lock()
	d.w.queues = append(d.w.queues, q)
	d.w.mu.Unlock()
	id, err := d.r.Declare(q.name, q.shard)
	d.w.mu.Lock()
	q.id, q.declared = id, err == nil
	d.w.mu.Unlock()
	if q.declared && q.set.Expires > 0 {
		d.c.renew(q)
	}
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
