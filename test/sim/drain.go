package sim

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// Drain implements Drainer: everything goes back, and then to one consumer of each
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
	var begin func()
	begin = func() {
		if again := 100 * time.Millisecond; m.truth.clients.All && !m.givenBack() {
			m.drainEnd += again
			m.env.After(again, begin)
			return
		}
		m.drains, m.places = make(map[uint64]*shard.Consumer), make(map[uint64]uint64)
		for q := uint64(1); q <= m.truth.queues(); q++ {
			m.consume(q, 0)
			m.drains[q] = m.consumers[len(m.consumers)-1]
		}
		for _, q := range m.known(m.newest()) {
			m.consume(q, 0)
		}
	}
	m.env.After(wait, begin)
}

// givenBack reports whether whoever leads has taken back all that clients gave back,
// which can take several elections: what comes back later comes behind later ones.
func (m *shardMachine) givenBack() bool {
	var term uint64
	var live []*shardMachine
	for node := uint64(1); node <= maxNodes; node++ {
		if x := m.truth.live[[2]uint64{m.env.Group, node}]; x != nil && x.lives() {
			live = append(live, x)
			term = max(term, x.term)
		}
	}
	back := term != 0
	for _, x := range live {
		back = back && x.org.Term() == term
		x.org.Unsettled(func(uint64, []shard.Settle) { back = false })
	}
	return back
}

// Drained implements Drainer.
func (m *shardMachine) Drained() bool {
	return m.draining && m.env.Now() >= m.drainEnd && (!m.truth.clients.All || m.settledDown())
}
