package node

import (
	"errors"
	"slices"
	"testing"

	"github.com/warrenmq/warren/admin"
)

// What rabbitmq-queues orders: a replica less, a replica more, on every node the
// same picture of them.
func TestReplicaOrders(t *testing.T) {
	rs := startCluster(t, 3)
	waitSettled(t, rs)
	ch := rs[0].channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 10)
	ctx := t.Context()
	of := admin.QueueOf{VHost: "/", Queue: "q"}
	states := func(r *running) (all []string) {
		l, err := operations{r.Node}.QueueReplicas(ctx, of)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range l.Replicas {
			all = append(all, x.State)
		}
		return all
	}
	for _, r := range rs {
		if got := states(r); !slices.Equal(got, []string{"leader", "follower", "follower"}) {
			t.Errorf("%s: replicas %v", r.o.Name, got)
		}
	}
	lead := leads(t, rs, "q")
	i := slices.Index(rs, lead)
	if _, err := (operations{rs[(i+1)%3].Node}).DeleteReplica(ctx, admin.ReplicaOn{QueueOf: of, Node: lead.o.Name}); err != nil {
		t.Fatal(err)
	}
	waitSettled(t, rs)
	if got := states(lead); !slices.Equal(got, []string{"leader", "follower"}) {
		t.Errorf("replicas %v", got)
	}
	var e *admin.Error
	if _, err := (operations{lead.Node}).DeleteReplica(ctx, admin.ReplicaOn{QueueOf: of, Node: lead.o.Name}); !errors.As(err, &e) || e.Text != "not_a_member" {
		t.Errorf("taken twice: %v", err)
	}
	drainAll(t, lead.channel(), "q", 10) // by a leader elsewhere
	g, err := operations{lead.Node}.GrowQueues(ctx, admin.GrowQueues{Node: lead.o.Name, Even: true, QueuePattern: "^q$"})
	if err != nil || len(g.Queues) != 1 || g.Queues[0].Size != 3 {
		t.Fatalf("grown %+v, %v", g, err)
	}
	waitSettled(t, rs)
	if got := states(lead); len(got) != 3 {
		t.Errorf("replicas %v", got)
	}
	publish(t, lead.channel(), "q", 0, 10)
	drainAll(t, rs[(i+1)%3].channel(), "q", 10)
	b, err := operations{lead.Node}.Rebalance(ctx, admin.Rebalance{})
	if err != nil || len(b.Nodes) != 3 || b.Nodes[0].Classic+b.Nodes[1].Classic+b.Nodes[2].Classic != 1 {
		t.Errorf("balance %+v, %v", b, err)
	}
	for range 2 {
		if _, err := (operations{lead.Node}).ShrinkQueues(ctx, admin.ShrinkQueues{Node: rs[(i+1)%3].o.Name}); err != nil {
			t.Fatal(err)
		}
	}
	waitSettled(t, rs)
	if got := states(lead); len(got) != 2 {
		t.Errorf("replicas %v", got)
	}
}
