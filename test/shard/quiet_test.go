package shard_test

import (
	"github.com/warrenmq/warren/shard"
)

// quiet holds what queues count against what clients know, while nothing is
// under way.
func (c *client) quiet(qs []*wqueue) {
	for _, q := range qs {
		asked := false
		var counts shard.Counts
		var err error
		c.r.Shards[q.shard].Counts(q.id, func(n shard.Counts, e error) { asked, counts, err = true, n, e })
		switch c.r.Settle(); {
		case c.dead || c.r.Dead():
			return // it ended, perhaps before it was asked
		case !asked:
			c.failf("queue %s: counts are not answered", q.name)
		case err == nil:
			c.counted(q, counts)
		}
	}
}

func (c *client) counted(q *wqueue, n shard.Counts) {
	held := map[*shard.Consumer]uint64{}
	total := uint64(0)
	for _, f := range c.held {
		if f.queue == q.id {
			held[f.by]++
			total++
		}
	}
	if n.Unacked != total {
		c.failf("queue %s counts %d as held, clients have %d", q.name, n.Unacked, total)
	}
	for i, sc := range c.served[q.id] {
		if free := sc.Prefetch == 0 || held[sc] < uint64(sc.Prefetch); free && n.Ready > 0 && (i == 0 || !q.set.SingleActive) {
			c.failf("queue %s has %d ready while a consumer has %d of %d", q.name, n.Ready, held[sc], sc.Prefetch)
		}
	}
	least, most := uint64(0), uint64(0)
	for _, m := range q.msgs {
		switch {
		case m.acked, m.gone, m.refused:
		case q.mustExpire(m, c.settled-late) && !m.delivered, q.mustSpend(m):
		case !m.confirmed, m.acking, m.mayRest != 0 && c.r.Now < m.mayRest+late, q.mayExpire(m, c.settled), q.maySpend(m):
			most++
		default:
			least++
			most++
		}
	}
	if sum := n.Ready + n.Unacked; sum < least || sum > most {
		c.failf("queue %s counts %d ready and %d held, should be %d to %d", q.name, n.Ready, n.Unacked, least, most)
	}
}
