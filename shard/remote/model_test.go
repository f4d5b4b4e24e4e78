package remote

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A model is three nodes whose leader moves, whose streams break and whose
// processes die, and sessions that publish and consume on all of them.
type model struct {
	*rig
	r          *rand.Rand
	publishers []*publisher
	consumers  []*consumer
	life       uint64 // number of the incarnation registered last
	names      int
	revision   uint64
}

const modelNodes = 3

func newModel(t testing.TB, seed int64) *model {
	m := &model{rig: newRig(t, modelNodes), r: rand.New(rand.NewSource(seed)), life: modelNodes, revision: 1}
	m.mesh()
	m.hosts[0].lead(true)
	for i := range modelNodes {
		m.join(i)
	}
	return m
}

// join gives a node sessions.
func (m *model) join(n int) {
	m.names++
	p := m.publisher(n, fmt.Sprintf("p%d", m.names))
	p.pad = m.r.Intn(30)
	m.publishers = append(m.publishers, p)
	m.consumers = append(m.consumers, m.join1(n))
}

func (m *model) join1(n int) *consumer {
	limit := 1 << 20
	if m.r.Intn(3) == 0 {
		limit = 1 + m.r.Intn(5)
	}
	return m.h.consume(m.client(n), theQueue, 1, uint32(m.r.Intn(2)*(1+m.r.Intn(10))), limit)
}

// crash ends a node's process and begins another.
func (m *model) crash(n int) {
	k := m.nodes[n]
	old := k.inc
	for _, p := range m.pipes {
		if !p.told && (p.from == k || p.to == k) {
			p.closed, p.told = true, true
			if p.from != k {
				p.from.hub.Closed(p.up, errBroken)
			}
			if p.to != k {
				p.to.server.Closed(p.down, errBroken)
			}
		}
	}
	for i := 0; i < len(m.consumers); {
		if m.consumers[i].to == shard.Shard(m.client(n)) {
			m.consumers[i].die()
			m.consumers = append(m.consumers[:i], m.consumers[i+1:]...)
			continue
		}
		i++
	}
	for i := 0; i < len(m.publishers); {
		if m.publishers[i].to == shard.Shard(m.client(n)) {
			m.publishers = append(m.publishers[:i], m.publishers[i+1:]...)
			continue
		}
		i++
	}
	if m.l.leader == m.hosts[n] {
		m.hosts[n].follow(m.r.Intn(2) == 0)
	}
	m.life++
	k.start(m.life)
	m.hosts[n] = &fakeHost{n: k, t: theShard, l: m.l}
	k.hosts[theShard] = m.hosts[n]
	if m.l.leader == nil {
		m.hosts[m.r.Intn(modelNodes)].lead(true)
	}
	m.l.leader.EndIncarnation(old) // the catalog's order
	m.join(n)
}

// step does one random thing.
func (m *model) step() {
	switch x := m.r.Intn(100); {
	case x < 45:
		m.random(m.r)
	case x < 60:
		p := m.publishers[m.r.Intn(len(m.publishers))]
		p.publish(theQueue, 1+m.r.Intn(4))
	case x < 75:
		m.act(m.consumers[m.r.Intn(len(m.consumers))])
	case x < 82:
		if m.l.leader != nil {
			m.l.leader.commit()
		}
	case x < 85:
		m.clock.Advance(time.Duration(m.r.Intn(30)) * time.Millisecond)
	case x < 88:
		m.hosts[m.r.Intn(modelNodes)].lead(m.r.Intn(2) == 0)
	case x < 92:
		if p := m.pipes[m.r.Intn(len(m.pipes))]; !p.told {
			p.tell(m.r.Intn(2) == 0)
		}
	case x < 96:
		m.dial(m.nodes[m.r.Intn(modelNodes)], m.nodes[m.r.Intn(modelNodes)])
	case x < 98:
		m.look(m.r.Intn(modelNodes))
	case x < 99:
		m.consumers = append(m.consumers, m.join1(m.r.Intn(modelNodes)))
	default:
		m.crash(m.r.Intn(modelNodes))
	}
}

// look has the catalog change, or a node see it.
func (m *model) look(n int) {
	k := m.nodes[n]
	if m.revision++; m.r.Intn(2) == 0 {
		k.view = m.revision
	}
	k.server.Viewed()
	k.hub.Viewed()
}

// act has a consumer do something.
func (m *model) act(k *consumer) {
	if k.ended || k.dead {
		return
	}
	switch x := m.r.Intn(20); {
	case x == 0:
		k.room = m.r.Intn(4)
	case x == 1:
		k.room = 1 << 30
		k.kick()
	case x == 2 && k.started:
		k.ended = true // nothing may come from now on
		k.cancel(true)
	case len(k.held) > 0:
		o := []shard.Outcome{shard.Accept, shard.Accept, shard.Accept, shard.Requeue, shard.Release}[m.r.Intn(5)]
		k.settle(m.r.Intn(len(k.held)), o)
	}
}

// heal ends all trouble and has everything consumed.
func (m *model) heal() {
	m.mesh()
	for _, n := range m.nodes {
		n.view = m.revision
		n.server.Viewed()
		n.hub.Viewed()
	}
	if m.l.leader == nil {
		m.hosts[0].lead(true)
	}
	m.still()
	m.mesh()
	for _, k := range m.consumers {
		k.room, k.limit = 1<<30, 1<<20
		k.kick()
	}
	for range 200 {
		m.still()
		for _, k := range m.consumers {
			for len(k.held) > 0 && !k.ended {
				k.settle(0, shard.Accept)
			}
		}
		m.still()
		if len(m.l.queues[theQueue]) == 0 {
			return
		}
	}
}

func (m *model) check() {
	for body, f := range m.h.msgs {
		n := m.l.applied[body]
		switch {
		case n > 1:
			m.t.Errorf("%q was enqueued %d times", body, n)
		case f.confirmed == 1 && !f.refused && n != 1:
			m.t.Errorf("%q was confirmed and enqueued %d times", body, n)
		case n == 1 && !f.consumed:
			m.t.Errorf("%q was enqueued and not consumed", body)
		}
	}
	for _, p := range m.publishers {
		for i := 1; i <= p.n; i++ {
			if f := m.h.of(p.body(uint64(i))); f.confirmed != 1 {
				m.t.Errorf("%q was confirmed %d times", p.body(uint64(i)), f.confirmed)
			}
		}
	}
	if n := len(m.l.queues[theQueue]); n > 0 {
		m.t.Errorf("%d messages are left", n)
	}
	for i, n := range m.nodes {
		for _, a := range n.hub.Shard(uint64(theShard), origin.New(n.inc)).Origin().Report(1 << 40) {
			if len(a.Claims) > 0 {
				m.t.Errorf("node %d claims %d messages that nobody holds", i+1, len(a.Claims))
			}
		}
	}
}

// Whatever happens: what is confirmed is there once and in order, what is held
// by somebody who lives goes to nobody else, and what was seen is flagged.
func TestModel(t *testing.T) {
	for seed := range racing.Less(200) {
		runModel(t, int64(seed), 400)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runModel(t testing.TB, seed int64, steps int) {
	m := newModel(t, seed)
	for range steps {
		m.step()
		if t.Failed() {
			return
		}
	}
	m.heal()
	m.check()
}
