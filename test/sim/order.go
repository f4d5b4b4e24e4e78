package sim

import (
	"slices"

	"github.com/warrenmq/warren/shard"
)

// orders is what a leader's first deliveries are held against. Their order is the
// one they were decided in, which the counters of their holdings tell: what waits
// for its body is sent when more has happened.
type orders struct {
	last   map[simRow]uint64   // what was first delivered last, by its place among all publishes
	anew   map[uint64][]uint64 // by queue: the counters behind which something came back that was not received
	behind map[uint64]bool     // queues that a consumer left: what waited for it comes later
}

// A simRow is what one consumer gets of one publisher between two moments at which
// something came back.
type simRow struct {
	c        *shard.Consumer
	by       uint64
	priority uint8
	part     int
}

func newOrders() orders {
	return orders{last: make(map[simRow]uint64), anew: make(map[uint64][]uint64), behind: make(map[uint64]bool)}
}

// cameBack notes that messages of a queue may be ready again that nobody has seen,
// when counter was given out last: they come behind later ones.
func (o *orders) cameBack(q, counter uint64) {
	if at := o.anew[q]; len(at) == 0 || at[len(at)-1] < counter {
		o.anew[q] = append(at, counter)
	}
}

// takes notes a first delivery. It reports false if it comes behind a later one.
func (o *orders) takes(row simRow, counter, order uint64) bool {
	row.part, _ = slices.BinarySearch(o.anew[row.c.Queue], counter)
	last := o.last[row]
	o.last[row] = max(last, order)
	return order >= last || o.behind[row.c.Queue]
}

// inOrder looks at what this leader sends to a consumer, wherever that is.
func (m *shardMachine) inOrder(c *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		id, msg, x := m.parse(c.Queue, &ds[i])
		if x == nil || ds[i].Redelivered {
			continue
		}
		m.env.Trace("send %d q%d seq=%d to inc%d.%d by=%d order=%d hold=%v", id, c.Queue, ds[i].Seq, c.Incarnation.Number, c.ID, msg.by, msg.order, ds[i].Holding)
		if !m.orders.takes(simRow{c: c, by: msg.by, priority: msg.priority}, ds[i].Holding.Counter, msg.order) && x.from == nil {
			m.env.Fail("message %d comes from queue %d behind a later one", id, c.Queue)
		}
	}
}

// comesLater notes that messages are given back that nobody has seen: they come
// behind later ones.
func (m *shardMachine) comesLater(_ uint64, ss []shard.Settle) {
	for i := range ss {
		if ss[i].Outcome == shard.Release {
			m.orders.behind[ss[i].Queue] = true
		}
	}
}

// reattached notes that a node has attached: what was on its way there and did not
// arrive comes again.
func (m *shardMachine) reattached() {
	m.env.Trace("rows begin anew")
	made := m.truth.all.made[m.env.Group]
	for q := uint64(1); q < firstMayfly+made; q++ {
		if x, ok := m.shard.LastHolding(q); ok {
			m.orders.cameBack(q, x.Counter)
		}
	}
}
