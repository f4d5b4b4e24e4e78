package sim

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// Drain implements Drainer: everything goes back, and to one consumer of each
// queue.
func (m *shardMachine) Drain() {
	m.drainEnd = m.env.Now() + 3*time.Second
	for node := uint64(1); node <= maxNodes; node++ {
		x := m.truth.live[[2]uint64{m.env.Group, node}]
		if x == nil || !x.lives() {
			continue
		}
		x.draining = true
		for _, c := range slices.Clone(x.consumers) {
			x.cancel(c)
		}
		x.giveBackRest()
		x.env.Wake()
	}
	wait := time.Second
	if m.truth.clients.All {
		wait = 4 * time.Second
		m.drainEnd += wait
	}
	m.env.After(wait, func() {
		m.drains, m.places = make(map[uint64]*shard.Consumer), make(map[uint64]uint64)
		for q := uint64(1); q <= m.truth.queues(); q++ {
			m.consume(q, 0)
			m.drains[q] = m.consumers[len(m.consumers)-1]
		}
		for _, q := range m.known(m.newest()) {
			m.consume(q, 0)
		}
	})
}

// Drained implements Drainer.
func (m *shardMachine) Drained() bool {
	return m.draining && m.env.Now() >= m.drainEnd && (!m.truth.clients.All || m.settledDown())
}
