package broker

import (
	"context"
	"slices"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

func policyOf(t *testing.T, name, def string) *catalog.Policy {
	t.Helper()
	if def == "" {
		return nil
	}
	d, err := ParseJSON([]byte(def))
	if err != nil {
		t.Fatal(err)
	}
	return &catalog.Policy{Name: name, Definition: d}
}

// Every word that an estate uses for replicas is followed, and what is promised
// by several is the most of it. (estate R16, A15).
func TestWishOf(t *testing.T) {
	text, number := message.StringOf, func(n int64) message.Value { return message.IntOf(message.Int32, n) }
	for _, c := range []struct {
		policy, operator string
		args             message.Table
		kind             catalog.QueueKind
		want             string
		memory           bool // one that is not durable stays in memory
	}{
		{want: "auto", memory: true},
		{policy: `{"max-length":3}`, want: "auto", memory: true},
		{policy: `{"ha-mode":"all"}`, want: "all"},
		{policy: `{"ha-mode":"exactly","ha-params":2}`, want: "exactly 2"},
		{policy: `{"ha-mode":"exactly","ha-params":3}`, want: "auto"},
		{policy: `{"ha-mode":"exactly","ha-params":1}`, want: "exactly 1", memory: true},
		{policy: `{"ha-mode":"nodes","ha-params":["b@x","a@x","no node"]}`, want: "nodes a@x b@x"},
		{policy: `{"replicas":5}`, want: "exactly 5"},
		{policy: `{"replicas":"all"}`, want: "all"},
		{policy: `{"replicas":5,"ha-mode":"nodes","ha-params":["a@x"]}`, want: "nodes 5+ a@x"},
		{policy: `{"ha-mode":"all"}`, operator: `{"ha-mode":"exactly","ha-params":2}`, want: "all"},
		{policy: `{"replicas":5}`, args: table("x-replicas", number(1)), want: "exactly 5"},
		{args: table("x-replicas", number(1)), want: "exactly 1", memory: true},
		{args: table("x-ha-policy", text("all")), want: "all"},
		{kind: catalog.Quorum, args: table("x-quorum-initial-group-size", number(5)), want: "exactly 5"},
		{kind: catalog.Quorum, args: table("x-quorum-initial-group-size", number(1)), policy: `{"ha-mode":"exactly","ha-params":2}`, want: "exactly 2"},
		{kind: catalog.Quorum, policy: `{"target-group-size":5,"initial-cluster-size":3}`, want: "exactly 5"},
		{policy: `{"target-group-size":5}`, want: "auto", memory: true}, // it is for quorum queues
	} {
		q := &catalog.Queue{QueueSpec: catalog.QueueSpec{Args: c.args, Kind: c.kind}}
		q.Policy, q.OperatorPolicy = policyOf(t, "p", c.policy), policyOf(t, "o", c.operator)
		w, _ := WishOf(q)
		if w.String() != c.want {
			t.Errorf("%s, operator's %s, %v: %s, want %s", c.policy, c.operator, c.args, w, c.want)
		}
		if c.kind == catalog.Classic && Replicated(q) == c.memory {
			t.Errorf("%s, operator's %s, %v: a queue in memory is replicated: %v", c.policy, c.operator, c.args, Replicated(q))
		}
		if q.Exclusive = true; Replicated(q) {
			t.Errorf("%s: an exclusive queue is replicated", c.policy)
		}
	}
}

func table(name string, v message.Value) message.Table { return message.AppendField(nil, name, v) }

// A queue that is not durable is placed in a shard if its policy has it survive
// its node; an exclusive one never. (estate R16).
func TestPlacedByPolicy(t *testing.T) {
	x := newBench(t, 0)
	ctx := context.Background()
	if _, err := x.b.SetPolicy(ctx, Policy{VHost: "/", Name: "ha", Pattern: "^ha", Definition: []byte(`{"ha-mode":"all","queue-master-locator":"client-local"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []QueueOptions{
		{Name: "ha.memory"}, {Name: "ha.durable", Durable: true}, {Name: "ha.mine", Exclusive: true}, {Name: "memory"}, {Name: "durable", Durable: true},
	} {
		before := len(x.placed)
		if _, err := x.s.DeclareQueue(ctx, o); err != nil {
			t.Fatal(err)
		}
		q := x.b.View().Queue("/", o.Name)
		ha := o.Name[0] == 'h'
		placed := o.Durable || ha && !o.Exclusive
		if (q.Shard != 0) != placed || (q.Incarnation == 0) != placed || len(x.placed)-before != map[bool]int{true: 1}[placed] {
			t.Errorf("%s is in shard %d, incarnation %d", o.Name, q.Shard, q.Incarnation)
		}
		if p := x.placed[len(x.placed)-1]; placed && (p.Here != ha || (p.Wish.String() == "all") != ha) {
			t.Errorf("%s: %+v", o.Name, p)
		}
	}
}

// A policy is answered with what its words mean here, and which queues it does not
// reach. (estate R16, A15).
func TestTranslation(t *testing.T) {
	x := newBench(t, 0)
	ctx := context.Background()
	x.queue("ha.memory", false)
	x.queue("ha.durable", true)
	for _, c := range []struct {
		def  string
		want []string
	}{
		{`{"max-length":5}`, nil},
		{`{"ha-mode":"all","ha-sync-mode":"automatic"}`, []string{
			"ha-mode=all: replicated on all nodes, and on those that join",
			"ha-sync-mode=automatic: a new replica takes over all messages while the queue serves, and counts when it has them",
		}},
		{`{"ha-mode":"exactly","ha-params":2}`, []string{"ha-mode=exactly ha-params=2: at least two replicas; with two, both are needed to go on"}},
		{`{"ha-mode":"nodes","ha-params":["b@x","a@x"]}`, []string{"ha-mode=nodes ha-params=b@x,a@x: replicated on a@x, b@x, as far as they are members"}},
		{`{"replicas":3,"sync":"local_disk"}`, []string{
			"replicas=3: 3 replicas, or as many as there are nodes",
			"sync=local_disk: confirms wait for quorum_disk always: a majority of the replicas has the message on disk",
		}},
	} {
		got, err := x.b.SetPolicy(ctx, Policy{VHost: "/", Name: "p", Pattern: "^ha", Definition: []byte(c.def)})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", c.def, got, err)
		}
	}
	for _, word := range []string{"local_mem", "local_disk", "remote_mem", "remote_disk", "quorum_mem", "quorum_disk"} {
		if _, err := x.b.SetPolicy(ctx, Policy{VHost: "/", Name: "s", Definition: []byte(`{"sync":"` + word + `"}`)}); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	for _, bad := range []string{`{"sync":"never"}`, `{"replicas":0}`, `{"replicas":"some"}`} {
		if _, err := x.b.SetPolicy(ctx, Policy{VHost: "/", Name: "s", Definition: []byte(bad)}); KindOf(err) != Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
	// The fake does not match patterns: govern the queues as the catalog would.
	q := x.b.View().Queue("/", "ha.memory").ID
	x.do(&catalog.SetPolicy{VHost: "/", Name: "p", Pattern: "^ha", ApplyTo: "all", Definition: policyOf(t, "p", `{"replicas":2}`).Definition, Shifts: []catalog.Shift{{Policy: "p", Queues: []uint64{q, x.b.View().Queue("/", "ha.durable").ID}}}})
	if names, n := x.b.InMemory("/", "p", false); n != 1 || !slices.Equal(names, []string{"ha.memory"}) {
		t.Errorf("%q, %d", names, n)
	}
}
