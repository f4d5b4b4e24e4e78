//go:build chaos

package cluster

import (
	"os/exec"
	"strings"
	"time"
)

// wholeLimit is how soon after nodes came and went every shard has its replicas.
const wholeLimit = 60 * time.Second

// membership adds a node, or removes one, or puts a new one in the place of one that
// is lost, and kills a leader meanwhile. All shards are whole again soon.
func membership(r *round, d time.Duration) {
	n := len(r.members())
	switch what := r.chance.IntN(3); {
	case n <= 3 && what > 0:
		r.join()
		killLeader(r, d)
	case n <= 3:
		lost := r.lose("lost and replaced:")
		r.join()
		r.forget(lost)
	case what == 0:
		r.part()
		killLeader(r, d)
	default:
		lost := r.lose("lost:")
		r.forget(lost)
		killLeader(r, d)
	}
	r.whole()
}

// whole waits until every shard has its replicas, and fails the test if that takes
// too long.
func (r *round) whole() {
	n, missing := len(r.members()), ""
	for end := time.Now().Add(wholeLimit); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		if missing = r.missing(n); missing == "" {
			return
		}
	}
	r.t.Errorf("the cluster of %d nodes is not whole %s after its members changed: %s", n, wholeLimit, missing)
}

// spare returns a node without which every shard has a majority of whole replicas.
func (r *round) spare() *member {
	m := r.any()
	r.order(m, "rabbitmq-queues", "check_if_node_is_quorum_critical")
	return m
}

// join adds a node.
func (r *round) join() {
	healed := r.hurting("another joins:")
	defer healed()
	r.place().launch()
	r.nodes[len(r.nodes)-1].await()
}

// lose ends a node for good.
func (r *round) lose(what string) *member {
	m := r.spare()
	r.hurting(what, m)
	m.kill()
	r.gone[m.number].Store(true)
	return m
}

// forget tells the others of a node that is lost.
func (r *round) forget(lost *member) {
	r.order(r.any(), "ctl", "forget_cluster_node", lost.name())
}

// part has a node leave in order.
func (r *round) part() {
	m := r.spare()
	r.hurting("leaves:", m)
	r.order(m, "ctl", "stop_app")
	r.order(m, "ctl", "reset")
	m.kill()
	r.gone[m.number].Store(true)
}

// order gives a node an order by one of its tools, until it is carried out: a leader
// may have gone just now.
func (r *round) order(m *member, tool string, words ...string) {
	r.t.Helper()
	var out []byte
	var err error
	for end := time.Now().Add(wholeLimit); time.Now().Before(end); <-time.After(500 * time.Millisecond) {
		args := append([]string{"40", r.binary, tool, "--data", m.data()}, words...)
		if out, err = exec.Command("timeout", args...).CombinedOutput(); err == nil {
			return
		}
	}
	r.t.Errorf("%s at %s: %v: %s", strings.Join(words, " "), m.name(), err, out)
}
