package sim

import (
	"testing"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// The end begins when a leader has taken back what all nodes gave back.
func TestGivenBack(t *testing.T) {
	truth := &queues{live: make(map[[2]uint64]*shardMachine)}
	node := func(n uint64) *shardMachine {
		m := &shardMachine{env: Env{Group: 1, Node: n, Up: func() bool { return true }}, truth: truth, org: origin.New(queue.Incarnation{Node: n, Number: n})}
		truth.live[[2]uint64{1, n}] = m
		return m
	}
	leader, other := node(1), node(2)
	check := func(when string, want bool) {
		t.Helper()
		if got := leader.givenBack(); got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	attach := func(m *shardMachine, term uint64) { m.org.Attached(&shard.Attached{Term: term}, true) }

	attach(leader, 2)
	attach(other, 2)
	check("nobody leads", false)
	leader.term = 3
	attach(leader, 3)
	check("one node is not attached", false)
	attach(other, 3)
	check("all are", true)
	number, _ := other.org.Stray(7, []shard.Delivery{{Seq: 1}})
	check("one gives something back", false)
	other.org.Settled(number)
	check("it is taken", true)
}
