package catalog

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
)

// A governedModel says, by name, which policy has which object, and how often
// each policy was set.
type governedModel struct {
	policies map[string]int
	objects  map[string]string // "q1" or "x1": policy
}

func (g *governedModel) shift(shifts []Shift, names map[uint64]string) {
	for _, s := range shifts {
		to := s.Policy
		if g.policies[to] == 0 {
			to = ""
		}
		for _, id := range append(slices.Clone(s.Queues), s.Exchanges...) {
			if name, ok := names[id]; ok {
				g.objects[name] = to
			}
		}
	}
}

// TestGoverned sets and clears policies with shifts of any kind, also ones that
// name what is not there. Objects have the policy that the log gave them, and
// its latest content; each one that changed is named in the result, and no
// other is another pointer than before; a restored machine agrees.
func TestGoverned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		operator := rapid.Bool().Draw(t, "operator")
		m, _ := setup()
		g := &governedModel{policies: map[string]int{}, objects: map[string]string{}}
		names := map[uint64]string{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			before := m.View()
			cmd := g.step(t, m, names, operator)
			entry := AppendCommand(nil, 1, cmd)
			rs, err := m.ApplyEntry(1, entry, nil)
			if err != nil || rs[0].Code != Done {
				t.Fatalf("%T %+v: %v %v", cmd, cmd, rs, err)
			}
			if q := rs[0].Queue; q != nil {
				names[q.ID] = q.Name
			}
			if x := rs[0].Exchange; x != nil {
				names[x.ID] = x.Name
			}
			g.check(t, before, m.View(), &rs[0], operator)
		}
		again, err := load(stored(m))
		if err != nil {
			t.Fatal(err)
		}
		if again.View().Digest() != m.View().Digest() {
			t.Fatal("the restored machine has another digest")
		}
		g.check(t, again.View(), again.View(), &Result{}, operator)
	})
}

func (g *governedModel) step(t *rapid.T, m *Machine, names map[uint64]string, operator bool) Command {
	policy := rapid.SampledFrom([]string{"a", "b", "c"})
	ids := rapid.SliceOfN(rapid.Uint64Range(0, m.v.lastID+1), 0, 4)
	match := Match{Policy: policy.Draw(t, "match")}
	if operator {
		match = Match{OperatorPolicy: match.Policy}
	}
	have := match.Policy + match.OperatorPolicy
	if g.policies[have] == 0 {
		have = ""
	}
	name := fmt.Sprintf("o%d", len(names))
	var shifts []Shift
	for range rapid.IntRange(0, 2).Draw(t, "shifts") {
		to := rapid.SampledFrom([]string{"", "a", "b", "c", "none"}).Draw(t, "to")
		shifts = append(shifts, Shift{Policy: to, Queues: ids.Draw(t, "queues"), Exchanges: ids.Draw(t, "exchanges")})
	}
	queues, exchanges := map[uint64]string{}, map[uint64]string{}
	for id, name := range names {
		if m.View().QueueByID(id) != nil {
			queues[id] = name
		} else {
			exchanges[id] = name
		}
	}
	perform := func() {
		for _, s := range shifts { // an id in the wrong list names nothing
			g.shift([]Shift{{Policy: s.Policy, Queues: s.Queues}}, queues)
			g.shift([]Shift{{Policy: s.Policy, Exchanges: s.Exchanges}}, exchanges)
		}
	}
	switch p := policy.Draw(t, "policy"); rapid.IntRange(0, 4).Draw(t, "op") {
	case 0:
		g.objects[name] = have
		return &DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: name, Shard: theShard}, Match: match}
	case 1:
		g.objects[name] = have
		return &DeclareExchange{VHost: "/", ExchangeSpec: ExchangeSpec{Name: name, Type: exchange.Fanout}, Match: match}
	case 2:
		if g.policies[p] > 0 {
			delete(g.policies, p)
			perform()
			for name, has := range g.objects {
				if has == p {
					g.objects[name] = ""
				}
			}
			return &ClearPolicy{VHost: "/", Name: p, Operator: operator, Shifts: shifts}
		}
		fallthrough
	default:
		g.policies[p]++
		perform()
		return &SetPolicy{
			VHost: "/", Name: p, Operator: operator, Shifts: shifts,
			Definition: message.AppendField(nil, alternateArg, message.StringOf(fmt.Sprint(p, g.policies[p]))),
		}
	}
}

func (g *governedModel) check(t *rapid.T, before, v *View, r *Result, operator bool) {
	for name, policy := range g.objects {
		want := ""
		if policy != "" {
			want = fmt.Sprint(policy, g.policies[policy])
		}
		var p *Policy
		if q := v.Queue("/", name); q != nil {
			p = *q.kind(operator)
			same := before.QueueByID(q.ID) == nil || before.QueueByID(q.ID) == q
			if q != v.QueueByID(q.ID) || same == slices.Contains(r.Governed.Queues, q) {
				t.Fatalf("queue %s: the same as before: %v; result %v", name, same, r.Governed)
			}
		} else {
			x := v.Exchange("/", name)
			p = *x.kind(operator)
			same := before.ExchangeByID(x.ID) == nil || before.ExchangeByID(x.ID) == x
			if x != v.ExchangeByID(x.ID) || same == slices.Contains(r.Governed.Exchanges, x) {
				t.Fatalf("exchange %s: the same as before: %v; result %v", name, same, r.Governed)
			}
			if x.Alternate != want || x.HasAlternate != (want != "") {
				t.Fatalf("exchange %s: alternate %q, want %q", name, x.Alternate, want)
			}
		}
		if p != nil && p != v.Policy(v.VHost("/"), operator, p.Name) {
			t.Fatalf("%s has an old policy %v", name, p)
		}
		if policy == "" && p != nil || policy != "" && (p == nil || p.Name != policy) {
			t.Fatalf("%s has policy %v, want %q", name, p, policy)
		}
	}
}

// TestLimits: the catalog decides what is one queue too many.
func TestLimits(t *testing.T) {
	m, _ := setup()
	m.Apply(1, &SetUser{Name: "u", Password: []byte{1}})
	declare := func(name string) Result {
		return m.Apply(1, &DeclareQueue{VHost: "/", QueueSpec: QueueSpec{Name: name, Shard: theShard}})
	}
	declare("a")
	m.Apply(1, &SetLimits{VHost: "/", Limits: Limits{Queues: AtMost(2), Connections: AtMost(0)}})
	m.Apply(1, &SetLimits{User: "u", Limits: Limits{Channels: AtMost(7)}})
	m.Apply(1, &SetUser{Name: "u", Password: []byte{2}}) // keeps them
	m.Apply(1, &SetVHost{Name: "/", Attrs: message.AppendField(nil, "description", message.StringOf("x"))})
	for _, again := range []bool{false, true} {
		if again {
			var err error
			if m, err = load(stored(m)); err != nil {
				t.Fatal(err)
			}
		}
		if n, ok := m.View().VHost("/").Limits.Connections.Set(); n != 0 || !ok {
			t.Fatalf("connections: %d %v", n, ok)
		}
		if n, ok := m.View().User("u").Limits.Channels.Set(); n != 7 || !ok {
			t.Fatalf("channels: %d %v", n, ok)
		}
		if _, ok := m.View().User("u").Limits.Connections.Set(); ok {
			t.Fatal("a limit that was never set")
		}
		if r := declare("b"); r.Code != Done {
			t.Fatalf("the second queue: %v", r.Code)
		}
		if r := declare("b"); r.Code != Existed {
			t.Fatalf("the second queue again: %v", r.Code)
		}
		if r := declare("c"); r.Code != OverLimit || r.Limit != 2 {
			t.Fatalf("the third queue: %v %d", r.Code, r.Limit)
		}
		m.Apply(1, &DeleteQueue{VHost: "/", Name: "b"})
	}
	for _, cmd := range []Command{&SetLimits{VHost: "none"}, &SetLimits{User: "none"}} {
		if r := m.Apply(1, cmd); r.Code != NotFound {
			t.Fatalf("%+v: %v", cmd, r.Code)
		}
	}
}
