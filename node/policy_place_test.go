package node

import (
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
)

// voters are how many nodes vote on a queue's shard, as its leader has it.
func voters(rs []*running, q *catalog.Queue) int {
	for _, r := range rs {
		if g := r.host.Group(q.Shard); g != nil && g.Status().Leading {
			return len(g.Status().ConfState.GetVoters())
		}
	}
	return 0
}

// listed is a queue as a node lists it.
func listed(t *testing.T, r *running, name string) (found admin.Queue) {
	t.Helper()
	for q, err := range (operations{r.Node}).Queues(t.Context(), admin.QueueQuery{VHost: "/"}) {
		if err != nil {
			t.Fatal(err)
		}
		if q.Name == name {
			found = q
		}
	}
	return found
}

// The recipe's policy, on a cluster that grows: queues that were there get a
// replica on every node while they serve, a queue in memory declared under it
// survives its node, and one that was there before moves, and is named.
// (estate R16).
func TestMirrorAll(t *testing.T) {
	rs := startCluster(t, 3)
	ch := rs[0].channel()
	declare(t, ch, "before")
	publish(t, ch, "before", 0, 20)
	if _, err := ch.QueueDeclare("memory", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	set, err := rs[1].SetPolicy(t.Context(), admin.NewPolicy{Policy: admin.Policy{
		VHost: "/", Name: "HA", Pattern: `^(?!amq\.).*`, Definition: []byte(`{"ha-mode": "all"}`),
	}})
	said := strings.Join(set.Said, "\n")
	if err != nil || !strings.Contains(said, "ha-mode=all: replicated on all nodes") || !strings.Contains(said, "nothing of it is held: memory (1)") {
		t.Fatalf("%q, %v", said, err)
	}
	if _, err := ch.QueueDeclare("mirrored", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	publish(t, ch, "mirrored", 0, 20)
	rs = append(rs, start(t, clusterOptions(t, t.TempDir(), 4, rs[0].Addrs()["cluster"])))
	for _, name := range []string{"before", "mirrored"} {
		rs[0].eventually(name+" on four nodes", 30*time.Second, func() bool { return voters(rs, rs[0].catalog.View().Queue("/", name)) == 4 })
	}
	rs[1].eventually("they are listed so", 20*time.Second, func() bool {
		q := listed(t, rs[1], "mirrored")
		return len(q.Members) == 4 && len(q.Online) == 4 && len(q.Mirrors) == 3 && len(q.Synced) == 3 && !slices.Contains(q.Mirrors, q.PID)
	})
	rs[0].stop() // at which all of it was declared
	rs[1].eventually("the node that stopped is not online", 20*time.Second, func() bool {
		q := listed(t, rs[1], "mirrored")
		return len(q.Members) == 4 && len(q.Online) == 3 && !slices.Contains(q.Online, rs[0].o.Name)
	})
	ch = rs[3].channel()
	for _, name := range []string{"before", "mirrored"} {
		drainAll(t, ch, name, 20)
	}
	if _, err := rs[1].ClearPolicy(t.Context(), admin.PolicyOf{VHost: "/", Name: "HA"}); err != nil {
		t.Fatal(err)
	}
	rs[1].eventually("shards as they were made", 30*time.Second, func() bool {
		v := rs[1].catalog.View()
		s := v.Shard(v.Queue("/", "before").Shard)
		return wishOf(s).String() == "auto" && len(s.Replicas) == 3
	})
}

// What a new queue asks for it gets, in a shard that is made for it. (estate R16).
func TestPlacedAsAsked(t *testing.T) {
	rs := startCluster(t, 3)
	ch := rs[0].channel()
	for _, c := range []struct {
		name  string
		args  amqp.Table
		wish  string
		nodes int
	}{
		{"one", amqp.Table{"x-queue-type": "quorum", "x-quorum-initial-group-size": 1}, "exactly 1", 1},
		{"three", amqp.Table{"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}, "auto", 3},
		{"many", amqp.Table{"x-replicas": "all"}, "all", 3},
		{"local", amqp.Table{"x-queue-leader-locator": "client-local"}, "auto", 3},
	} {
		if _, err := ch.QueueDeclare(c.name, true, false, false, false, c.args); err != nil {
			t.Fatal(err)
		}
		publish(t, ch, c.name, 0, 3)
		v := rs[0].catalog.View()
		s := v.Shard(v.Queue("/", c.name).Shard)
		if wishOf(s).String() != c.wish || len(s.Replicas) != c.nodes {
			t.Errorf("%s is in a shard for %q on %v", c.name, wishOf(s), s.Replicas)
		}
		if c.name == "local" && s.Leader != rs[0].life().Node {
			t.Errorf("%s should be led by %x", c.name, s.Leader)
		}
	}
	// A queue of another type is the queue that is there.
	if _, err := ch.QueueDeclare("local", true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-queue-leader-locator": "client-local"}); err != nil {
		t.Fatal(err)
	}
	if n := rs[0].catalog.View().QueueCount(); n != 4 {
		t.Errorf("there are %d queues", n)
	}
}
