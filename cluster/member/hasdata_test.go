package member

import (
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
)

// estate R9: whoever joins with data is told before it is lost.
func TestHasData(t *testing.T) {
	fresh := []catalog.Command{
		&catalog.AddVHost{Name: "/"},
		&catalog.SetUser{Name: "guest"},
		&catalog.SetPermission{User: "guest", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"},
		&catalog.SetUser{Name: "admin"},
	}
	for _, c := range []struct {
		name string
		cmds []catalog.Command
		want string
	}{
		{name: "fresh"},
		{name: "vhost", cmds: []catalog.Command{&catalog.AddVHost{Name: "other"}}, want: "several vhosts"},
		{name: "user", cmds: []catalog.Command{&catalog.SetUser{Name: "erna"}}, want: "several users"},
		{
			name: "exchange", want: `the exchange "x" in vhost "/"`,
			cmds: []catalog.Command{&catalog.DeclareExchange{VHost: "/", ExchangeSpec: catalog.ExchangeSpec{Name: "x", Type: exchange.Fanout, Durable: true}}},
		},
		{name: "parameter", cmds: []catalog.Command{&catalog.SetParameter{Component: "c", Name: "p", Value: []byte("1")}}, want: `the parameter "p"`},
		{
			name: "policy", want: `the policy "HA" in vhost "/"`,
			cmds: []catalog.Command{&catalog.SetPolicy{VHost: "/", Name: "HA", Pattern: ".*", ApplyTo: "all"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := catalog.New()
			for i, cmd := range append(fresh[:len(fresh):len(fresh)], c.cmds...) {
				if r := m.Apply(int64(i), cmd); r.Code != catalog.Done {
					t.Fatalf("%T: %v", cmd, r.Code)
				}
			}
			what, yes := HasData(m.View())
			if yes != (c.want != "") || !strings.Contains(what, c.want) {
				t.Errorf("%q %v", what, yes)
			}
		})
	}
}

func TestHasDataOfQueues(t *testing.T) {
	m := catalog.New()
	a := addNode(t, m, 7, "rabbit@a")
	r := RosterOf(m.View(), Conf{Index: 3})
	if len(r.Members) != 1 || r.Members[0] != (Member{Node: a, Name: "rabbit@a"}) || r.Conf.Index != 3 {
		t.Errorf("roster %+v", r)
	}
	m.Apply(0, &catalog.AddVHost{Name: "/"})
	shard := m.Apply(0, &catalog.AddShard{Replicas: []uint64{a}}).ID
	if what, yes := HasData(m.View()); yes {
		t.Errorf("a fresh node has %s", what)
	}
	q := &catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: "q", Durable: true, Shard: shard, Node: a}}
	if r := m.Apply(0, q); r.Code != catalog.Done {
		t.Fatal(r.Code)
	}
	if what, yes := HasData(m.View()); !yes || what != `queues (1), as "q" in vhost "/"` {
		t.Errorf("%q %v", what, yes)
	}
	number := m.Apply(0, &catalog.Register{Node: a, Nonce: 1}).ID
	if r := RosterOf(m.View(), Conf{}); r.Members[0].Incarnation != number {
		t.Errorf("roster %+v", r)
	}
	m = catalog.New()
	addNode(t, m, 7, "rabbit@a")
	addNode(t, m, 8, "rabbit@b")
	if what, yes := HasData(m.View()); !yes || !strings.Contains(what, "other nodes") {
		t.Errorf("%q %v", what, yes)
	}
}

// addNode makes a node, with the id given if the catalog takes one.
func addNode(t *testing.T, m *catalog.Machine, id uint64, name string) uint64 {
	t.Helper()
	r := m.Apply(0, &catalog.AddNode{ID: id, Name: name})
	if r.Code == catalog.NotFound {
		r = m.Apply(0, &catalog.AddNode{Name: name})
	}
	if r.Code != catalog.Done {
		t.Fatal(r.Code)
	}
	return r.ID
}
