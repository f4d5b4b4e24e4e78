package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/storage/state"
)

// A heldLog is a group that applies what was proposed when the test says so.
type heldLog struct {
	c       *Catalog
	entries []commitlog.Entry // proposed
	applied int
}

func (l *heldLog) Wake()                        {}
func (l *heldLog) Alone() bool                  { return true }
func (l *heldLog) ReadIndex(func(uint64, bool)) {}
func (l *heldLog) Compact(uint64)               {}
func (l *heldLog) AppendConf(dst []byte) []byte { return dst }
func (l *heldLog) Leading() (uint64, bool)      { return 1, true }
func (l *heldLog) InFlight() (int, int)         { return len(l.entries) - l.applied, 0 }

func (l *heldLog) Propose(data []byte) (uint64, bool) {
	index := uint64(len(l.entries) + 1)
	l.entries = append(l.entries, commitlog.Entry{Index: index, Term: 1, Data: data})
	return index, true
}

func (l *heldLog) TryTurn() bool {
	l.c.Turn(0, l)
	return true
}

// apply applies up to n entries and does the turn behind it.
func (l *heldLog) apply(n int) {
	n = min(n, len(l.entries)-l.applied)
	l.c.Apply(l.entries[l.applied : l.applied+n])
	l.applied += n
	l.TryTurn()
}

func (l *heldLog) all() {
	for l.applied < len(l.entries) {
		l.apply(1)
	}
}

func newHeld(t interface{ Fatal(...any) }, changed func(*catalog.View, []catalog.Result)) (*Catalog, *heldLog) {
	c, _, err := OpenCatalog(CatalogOptions{
		State: state.NewMemory(), Wall: func() int64 { return 1 }, Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) { t.Fatal(err) }, Changed: changed,
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &heldLog{c: c}
	c.Bind(l)
	c.Lead(1)
	for _, cmd := range []catalog.Command{
		&catalog.AddNode{ID: 1, Name: "a"}, &catalog.AddShard{Replicas: []uint64{1}}, &catalog.AddVHost{Name: "/"},
	} {
		c.Start(cmd, func(r catalog.Result, err error) {
			if err != nil || r.Code != catalog.Done {
				t.Fatal(cmd, r.Code, err)
			}
		})
		l.all()
	}
	return c, l
}

// naive finds the policy for a name the slow way.
func naive(v *catalog.View, operator bool, name string, words ...string) string {
	var found *catalog.Policy
	for p := range v.Policies(v.VHost("/")) {
		if p.Operator == operator && slices.Contains(words, p.ApplyTo) && regexp.MustCompile(p.Pattern).MatchString(name) &&
			(found == nil || p.Priority > found.Priority) { // they come by name
			found = p
		}
	}
	if found == nil {
		return ""
	}
	return found.Name
}

func nameOf(p *catalog.Policy) string {
	if p == nil {
		return ""
	}
	return p.Name
}

// TestPoliciesUnderRaces proposes declarations, deletions and changes of
// policies faster than they are applied. Whatever is in flight when, every
// object is governed by what its name deserves, after each entry.
func TestPoliciesUnderRaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		check := func(v *catalog.View, _ []catalog.Result) {
			h := v.VHost("/")
			if h == nil {
				return
			}
			for q := range h.Queues("") {
				kind := "classic_queues"
				if q.Kind == catalog.Quorum {
					kind = "quorum_queues"
				}
				for _, operator := range []bool{false, true} {
					has := nameOf(q.Policy)
					if operator {
						has = nameOf(q.OperatorPolicy)
					}
					if want := naive(v, operator, q.Name, "all", "queues", kind); has != want {
						t.Fatalf("queue %s (%s) has policy %q, want %q", q.Name, kind, has, want)
					}
				}
			}
			for x := range h.Exchanges("") {
				if has, want := nameOf(x.Policy), naive(v, false, x.Name, "all", "exchanges"); has != want {
					t.Fatalf("exchange %s has policy %q, want %q", x.Name, has, want)
				}
			}
		}
		c, l := newHeld(t, check)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if n := rapid.IntRange(0, 3).Draw(t, "apply"); n > 1 {
				l.apply(n - 1)
			}
			c.Start(draw(t), func(_ catalog.Result, err error) {
				if err != nil {
					t.Fatal(err)
				}
			})
		}
		l.all()
		if n := len(c.mu.waits) + len(c.own.line) + len(c.own.sent) + len(c.queue); n > 0 {
			t.Fatalf("%d commands were never answered", n)
		}
	})
}

func draw(t *rapid.T) catalog.Command {
	name := rapid.StringMatching("[ab][ab]").Draw(t, "name")
	policy := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(t, "policy")
	operator := rapid.IntRange(0, 3).Draw(t, "operator") == 0
	switch rapid.IntRange(0, 6).Draw(t, "op") {
	case 0, 1:
		kind := rapid.SampledFrom([]catalog.QueueKind{catalog.Classic, catalog.Quorum}).Draw(t, "kind")
		return &catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Kind: kind, Durable: true, Shard: 2}}
	case 2:
		return &catalog.DeclareExchange{VHost: "/", ExchangeSpec: catalog.ExchangeSpec{Name: name, Type: exchange.Direct, Durable: true}}
	case 3:
		return &catalog.DeleteQueue{VHost: "/", Name: name, Force: true}
	case 4:
		return &catalog.ClearPolicy{VHost: "/", Name: policy, Operator: operator}
	}
	return &catalog.SetPolicy{
		VHost: "/", Name: policy, Operator: operator, Priority: rapid.Int64Range(-1, 1).Draw(t, "priority"),
		Pattern: rapid.SampledFrom([]string{".*", "^a", "b$", "^(aa|bb)$", "amq", "^$"}).Draw(t, "pattern"),
		ApplyTo: rapid.SampledFrom([]string{"all", "queues", "exchanges", "classic_queues", "quorum_queues"}).Draw(t, "apply-to"),
	}
}

// TestVerbatimPattern: the line that every mirrored-queue estate has.
// (estate R16).
func TestVerbatimPattern(t *testing.T) {
	c, l := newHeld(t, nil)
	for _, cmd := range []catalog.Command{
		&catalog.SetPolicy{VHost: "/", Name: "HA", Pattern: `^(?!amq\.).*`, ApplyTo: "all"},
		&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: "orders", Durable: true, Shard: 2}},
		&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: "amq.gen-1", Durable: true, Shard: 2}},
	} {
		c.Start(cmd, func(catalog.Result, error) {})
		l.all()
	}
	v := c.View()
	for name, want := range map[string]string{"orders": "HA", "amq.gen-1": ""} {
		if got := nameOf(v.Queue("/", name).Policy); got != want {
			t.Errorf("queue %s has policy %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"amq.topic": "", "": "HA"} {
		if got := nameOf(v.Exchange("/", name).Policy); got != want {
			t.Errorf("exchange %q has policy %q, want %q", name, got, want)
		}
	}
}

// TestHostilePattern: a pattern that backtracks for ever is refused where it is
// set, and where a name makes it so later the declaration is, in bounded time
// and outside the turn: neither passes by silence.
func TestHostilePattern(t *testing.T) {
	c, l := newHeld(t, nil)
	do := func(cmd catalog.Command) (err error) {
		c.Start(cmd, func(r catalog.Result, e error) {
			if err = e; e == nil && r.Code != catalog.Done {
				t.Fatalf("%T: %v", cmd, r.Code)
			}
		})
		l.all()
		return err
	}
	hostile := strings.Repeat("a", 200) + "b"
	declare := func(name string) error {
		return do(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Durable: true, Shard: 2}})
	}
	set := func(pattern string) error {
		return do(&catalog.SetPolicy{VHost: "/", Name: "p", Operator: true, Pattern: pattern, ApplyTo: "queues"})
	}
	if err := declare(hostile); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := set("^(a+)+$"); !errors.Is(err, ErrPolicy) {
		t.Fatalf("set on a hostile name: %v", err)
	}
	if err := set("("); !errors.Is(err, ErrPolicy) {
		t.Fatalf("set no pattern: %v", err)
	}
	if err := do(&catalog.DeleteQueue{VHost: "/", Name: hostile, Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := set("^(a+)+$"); err != nil {
		t.Fatal(err)
	}
	if err := declare(hostile); !errors.Is(err, ErrPolicy) {
		t.Fatalf("declare a hostile name: %v", err)
	}
	if err := declare("aaa"); err != nil || nameOf(c.View().Queue("/", "aaa").OperatorPolicy) != "p" {
		t.Fatalf("declare another: %v", err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if c.View().Queue("/", hostile) != nil {
		t.Error("the refused queue is there")
	}
}

// TestWaitsBehindPolicy: what waits behind a change of policies is answered in
// its order, and one that is refused holds nothing up.
func TestWaitsBehindPolicy(t *testing.T) {
	c, l := newHeld(t, nil)
	var order []string
	note := func(s string) func(catalog.Result, error) {
		return func(r catalog.Result, err error) { order = append(order, fmt.Sprint(s, " ", r.Code, " ", err == nil)) }
	}
	queue := func(name string) catalog.Command {
		return &catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Durable: true, Shard: 2}}
	}
	c.Start(queue("a"), note("a"))
	c.Start(&catalog.SetPolicy{VHost: "/", Name: "p", Pattern: "", ApplyTo: "all"}, note("p"))
	c.Start(queue("b"), note("b"))
	c.Start(&catalog.SetPolicy{VHost: "/", Name: "p", Pattern: "[", ApplyTo: "all"}, note("bad"))
	c.Start(&catalog.ClearPolicy{VHost: "/", Name: "p"}, note("clear"))
	c.Start(queue("c"), note("c"))
	if n := len(l.entries) - l.applied; n != 1 {
		t.Fatalf("%d entries in flight, want that of the first queue only", n)
	}
	l.all()
	want := []string{"bad done false", "a done true", "p done true", "b done true", "clear done true", "c done true"}
	if !slices.Equal(order, want) {
		t.Fatalf("answers %q, want %q", order, want)
	}
}

func BenchmarkSetPolicy(b *testing.B) {
	const n = 100_000
	b.Run(fmt.Sprintf("queues=%d", n), func(b *testing.B) {
		c, l := newHeld(b, nil)
		for i := range n {
			c.Start(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: fmt.Sprintf("orders.%06d", i), Durable: true, Shard: 2}}, func(catalog.Result, error) {})
			if i%1000 == 999 {
				l.all()
			}
		}
		l.all()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.Start(&catalog.SetPolicy{VHost: "/", Name: "p", Pattern: fmt.Sprintf(`^(?!amq\.).*%d`, i%2), ApplyTo: "queues"}, func(catalog.Result, error) {})
			l.all()
		}
	})
}

func BenchmarkDeclareGoverned(b *testing.B) {
	for _, n := range []int{0, 1, 20} {
		b.Run(fmt.Sprintf("policies=%d", n), func(b *testing.B) {
			c, l := newHeld(b, nil)
			for i := range n {
				c.Start(&catalog.SetPolicy{VHost: "/", Name: fmt.Sprint(i), Pattern: fmt.Sprintf(`^(?!amq\.).*%d$`, i), ApplyTo: "queues"}, func(catalog.Result, error) {})
				l.all()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				c.Start(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: fmt.Sprintf("orders.%06d", i), Durable: true, Shard: 2}}, func(catalog.Result, error) {})
				l.all()
			}
		})
	}
}
