package ctl

import (
	"context"
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin"
)

// A shelf answers what is asked about replicas.
type shelf struct {
	identity
	orders []any
	up     int // of three nodes
}

func (s *shelf) QueueReplicas(_ context.Context, q admin.QueueOf) (admin.ReplicaList, error) {
	switch q.Queue {
	case "q":
		return admin.ReplicaList{Replicas: []admin.Replica{
			{Node: "rabbit@node-01", State: "leader", Term: 2, Log: 12, Commit: 11, Snapshot: 3},
			{Node: "rabbit@node-02", State: "noproc"},
		}}, nil
	case "m":
		return admin.ReplicaList{}, admin.Invalidf("in memory")
	}
	return admin.ReplicaList{}, admin.NotFoundf(admin.QueueThing, q.Queue)
}

func (s *shelf) AddReplica(_ context.Context, o admin.ReplicaOn) (admin.Done, error) {
	s.orders = append(s.orders, o)
	return admin.Done{}, nil
}

func (s *shelf) DeleteReplica(_ context.Context, o admin.ReplicaOn) (admin.Done, error) {
	if o.Node == "rabbit@node-09" {
		return admin.Done{}, &admin.Error{Kind: admin.NotFound, Thing: admin.NodeThing, Name: o.Node, Text: "The node selected is not in the cluster."}
	}
	return admin.Done{}, &admin.Error{Kind: admin.Denied, Thing: admin.NodeThing, Text: "the last node cannot be removed"}
}

func (s *shelf) GrowQueues(_ context.Context, o admin.GrowQueues) (admin.Grown, error) {
	s.orders = append(s.orders, o)
	return admin.Grown{Queues: []admin.GrownQueue{{VHost: "/", Name: "q", Size: 3}}}, nil
}

func (s *shelf) ShrinkQueues(context.Context, admin.ShrinkQueues) (admin.Grown, error) {
	return admin.Grown{Queues: []admin.GrownQueue{{VHost: "/", Name: "q", Size: 2}, {VHost: "/", Name: "r", Size: 1, Error: "the last node cannot be removed"}}}, nil
}

func (s *shelf) Rebalance(context.Context, admin.Rebalance) (admin.Balance, error) {
	return admin.Balance{Nodes: []admin.NodeLeads{{Node: "rabbit@node-01", Quorum: 2, Classic: 1}}}, nil
}

func (s *shelf) Drain(_ context.Context, o admin.Drain) (admin.Done, error) {
	s.orders = append(s.orders, o)
	return admin.Done{}, nil
}

func (s *shelf) Overview(context.Context) (admin.Overview, error) {
	names := []string{"rabbit@node-01", "rabbit@node-02", "rabbit@node-03"}
	x := admin.Overview{Status: admin.Status{Node: names[0], Shards: []admin.Shard{{ID: 9, Kind: "queues", Queues: 1, Replicas: names}}}}
	s.up++ // another one each time it is looked
	for i, n := range names {
		x.Members = append(x.Members, admin.Member{Name: n, Running: i < s.up})
	}
	return x, nil
}

// What rabbitmq-queues and rabbitmq-upgrade print.
func TestReplicaVerbs(t *testing.T) {
	s := &shelf{}
	d := newDesk(t, s)
	for _, c := range []struct {
		line string
		code int
		out  string
		errs string
	}{
		{"rabbitmq-queues quorum_status q", exitOK, `Status of quorum queue q on node rabbit@node-01 ...
┌────────────────┬────────────┬───────────┬──────────────┬────────────────┬──────┬─────────────────┐
│ Node Name      │ Raft State │ Log Index │ Commit Index │ Snapshot Index │ Term │ Machine Version │
├────────────────┼────────────┼───────────┼──────────────┼────────────────┼──────┼─────────────────┤
│ rabbit@node-01 │ leader     │ 12        │ 11           │ 3              │ 2    │ 1               │
├────────────────┼────────────┼───────────┼──────────────┼────────────────┼──────┼─────────────────┤
│ rabbit@node-02 │ noproc     │           │              │                │      │                 │
└────────────────┴────────────┴───────────┴──────────────┴────────────────┴──────┴─────────────────┘
`, ""},
		{"rabbitmq-queues quorum_status m", exitUnavailable, "Status of quorum queue m on node rabbit@node-01 ...\n", "Error:\nCannot get quorum status of a classic queue\n"},
		{"rabbitmq-queues quorum_status none", exitData, "Status of quorum queue none on node rabbit@node-01 ...\n", "Error:\nQueue 'none' in vhost '/' does not exist\n"},
		{"rabbitmq-queues add_member q rabbit@node-02", exitOK, "Adding a replica for queue q on node rabbit@node-02...\n", ""},
		{"rabbitmq-queues delete_member q rabbit@node-01", exitUnavailable, "Removing a replica of queue q on node rabbit@node-01...\n", "Error:\nthe last node cannot be removed\n"},
		{"rabbitmq-queues delete_member q rabbit@node-09", exitData, "Removing a replica of queue q on node rabbit@node-09...\n", "Error:\nNode rabbit@node-09 is not a member of the cluster\n"},
		{"rabbitmq-queues grow rabbit@node-03 even --queue-pattern ^q", exitOK, "Growing even quorum queues on rabbit@node-03...\nvhost\tname\tsize\tresult\n/\tq\t3\tok\n", ""},
		{"rabbitmq-queues -q shrink rabbit@node-03 --errors-only", exitOK, "vhost\tname\tsize\tresult\n/\tr\t1\terror: the last node cannot be removed\n", ""},
		{"rabbitmq-queues rebalance all", exitOK, `Re-balancing leaders of all replicated queues...
┌────────────────┬─────────────────────────┬─────────────────────────────────────┐
│ Node name      │ Number of quorum queues │ Number of replicated classic queues │
├────────────────┼─────────────────────────┼─────────────────────────────────────┤
│ rabbit@node-01 │ 2                       │ 1                                   │
└────────────────┴─────────────────────────┴─────────────────────────────────────┘
`, ""},
		{"rabbitmq-queues rebalance stream", exitUnavailable, "", "Error:\ntype stream is not supported. Try one of all, classic, quorum.\n"},
		{"rabbitmq-upgrade drain", exitOK, "Will put node rabbit@node-01 into maintenance mode. The node will no longer serve any client traffic!\n", ""},
		{"rabbitmq-upgrade await_online_quorum_plus_one -t 30", exitOK, "Will wait for a quorum + 1 of nodes to be online for all quorum queues for 30 seconds...\n", ""},
	} {
		line := strings.Fields(c.line)
		if got := d.runAs(line[0], line[1:]...); got != c.code || d.out.String() != c.out || d.errs.String() != c.errs {
			t.Errorf("%q: exit code %d, want %d\nprinted %q\nwant    %q\nerrors %q\nwant   %q", c.line, got, c.code, d.out.String(), c.out, d.errs.String(), c.errs)
		}
	}
	if s.up != 3 {
		t.Errorf("it was looked %d times", s.up)
	}
	if len(s.orders) != 3 || s.orders[1] != (admin.GrowQueues{Node: "rabbit@node-03", Even: true, QueuePattern: "^q"}) {
		t.Errorf("orders %+v", s.orders)
	}
	if code := d.runAs("rabbitmq-queues", "grow", "rabbit@node-03", "some"); code != exitData {
		t.Errorf("a strategy that is none: %d", code)
	}
}
