package node

import (
	"slices"
	"testing"

	"github.com/warrenmq/warren/admin"
)

// Every node of a cluster names the same leader of a queue, the one that leads it,
// and the same nodes that hold it.
func TestLeaderIsListed(t *testing.T) {
	rs := startCluster(t, 3)
	declare(t, rs[0].channel(), "durable")
	if _, err := rs[1].channel().QueueDeclare("transient", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	all := []string{rs[0].o.Name, rs[1].o.Name, rs[2].o.Name}
	for _, r := range rs {
		for q, err := range (operations{r.Node}).Queues(t.Context(), admin.QueueQuery{VHost: "/"}) {
			if err != nil {
				t.Fatal(err)
			}
			leader := rs[1].o.Name
			if q.Durable {
				leader = leads(t, rs, q.Name).o.Name
				slices.Sort(q.Members)
				if !slices.Equal(q.Members, all) {
					t.Errorf("%s: %s is held by %v", r.o.Name, q.Name, q.Members)
				}
			} else if len(q.Members) != 1 || q.Members[0] != leader {
				t.Errorf("%s: %s is held by %v", r.o.Name, q.Name, q.Members)
			}
			if q.Leader != leader {
				t.Errorf("%s: %s is led by %q, want %q", r.o.Name, q.Name, q.Leader, leader)
			}
		}
	}
}
