package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// TestSetting: what RabbitMQ takes of an argument, a policy and an operator
// policy that differ.
func TestSetting(t *testing.T) {
	table := func(text string) message.Table {
		def, err := ParseJSON([]byte("{" + text + "}"))
		if err != nil {
			t.Fatal(err)
		}
		return def
	}
	for _, x := range []struct{ name, arg, policy, operator, want string }{
		{"x-max-length", "", "", "", ""},
		{"x-max-length", "5", "", "", "5"},
		{"x-max-length", "", "6", "", "6"},
		{"x-max-length", "", "", "7", "7"},
		{"x-max-length", "5", "6", "", "5"},
		{"x-max-length", "6", "5", "", "5"},
		{"x-max-length", "6", "5", "4", "4"},
		{"x-max-length", "4", "5", "6", "4"},
		{"x-message-ttl", "0", "5", "6", "0"},
		{"x-delivery-limit", "3", "5", "", "3"},
		{"x-delivery-limit", "-1", "5", "", "5"},
		{"x-delivery-limit", "5", "-1", "", "5"},
		{"x-delivery-limit", "-1", "-1", "", "-1"},
		{"x-delivery-limit", "", "9", "8", "8"},
		{"x-overflow", `"drop-head"`, `"reject-publish"`, "", "drop-head"},
		{"x-overflow", "", `"drop-head"`, `"reject-publish"`, "reject-publish"},
		{"x-dead-letter-exchange", `"a"`, `"b"`, "", "a"},
		{"x-dead-letter-exchange", "", `"b"`, "", "b"},
	} {
		q := &catalog.Queue{}
		if x.arg != "" {
			q.Args = table(`"` + x.name + `":` + x.arg)
		}
		if x.policy != "" {
			q.Policy = &catalog.Policy{Definition: table(`"other":1,"` + x.name[2:] + `":` + x.policy)}
		}
		if x.operator != "" {
			q.OperatorPolicy = &catalog.Policy{Definition: table(`"` + x.name[2:] + `":` + x.operator)}
		}
		got := ""
		if v, ok := setting(q, x.name); ok {
			got = printed(v)
		}
		if got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}

// TestSettingsOfPolicies: each word of a policy that a shard knows reaches it.
func TestSettingsOfPolicies(t *testing.T) {
	def := `{"message-ttl":1,"max-length":2,"max-length-bytes":3,"delivery-limit":4,"overflow":"reject-publish"}`
	table, err := ParseJSON([]byte(def))
	if err != nil {
		t.Fatal(err)
	}
	var want shard.Settings
	want.TTL, want.HasTTL = 1, true
	want.MaxLength, want.MaxBytes, want.DeliveryLimit = queue.AtMost(2), queue.AtMost(3), queue.AtMost(4)
	want.Overflow = queue.RejectPublish
	for _, operator := range []bool{false, true} {
		q := &catalog.Queue{}
		if p := (&catalog.Policy{Definition: table}); operator {
			q.OperatorPolicy = p
		} else {
			q.Policy = p
		}
		if got := Settings(q); !reflect.DeepEqual(got, want) {
			t.Errorf("operator %v: %+v, want %+v", operator, got, want)
		}
	}
}

func TestSetPolicyRefuses(t *testing.T) {
	x := newBench(t, 0)
	for _, c := range []struct {
		def, pattern, applyTo string
		operator              bool
		want                  string
	}{
		{def: `{"foo":"bar"}`, want: `[{<<"foo">>,<<"bar">>}] are not recognised policy settings`},
		{def: `{"foo":[1,"a",true],"max-length":1,"bar":{"a":null}}`, want: `[{<<"bar">>,[{<<"a">>,null}]},{<<"foo">>,[1,<<"a">>,true]}] are not recognised policy settings`},
		{def: `{"alternate-exchange":"x"}`, operator: true, want: `[{<<"alternate-exchange">>,<<"x">>}] are not recognised policy settings`},
		{def: `{}`, want: "no policy provided"},
		{def: `[]`, want: "definition must be a dictionary"},
		{def: `{"max-length":1}{}`, want: "definition must be a dictionary"},
		{def: `{"max-length":-1}`, want: "-1 is not a valid maximum length"},
		{def: `{"max-length":1.5}`, want: "1.5 is not a valid maximum length"},
		{def: `{"max-length":"1"}`, want: `<<"1">> is not a valid maximum length`},
		{def: `{"message-ttl":99999999999}`, want: "99999999999 is not a valid message TTL"},
		{def: `{"overflow":"x"}`, want: `<<"x">> is not a valid overflow value`},
		{def: `{"ha-params":2}`, want: "ha-mode must be specified to specify ha-params"},
		{def: `{"delayed-retry-type":"all"}`, want: "delayed-retry-min must be specified to specify delayed-retry-type"},
		{def: `{"ha-mode":"all","ha-params":2}`, want: `ha-mode="all" does not take parameters`},
		{def: `{"ha-mode":"exactly","ha-params":0}`, want: `ha-mode="exactly" takes an integer, 0 given`},
		{def: `{"ha-mode":"nodes","ha-params":["a",1]}`, want: `ha-mode="nodes" takes a non-empty list of node names`},
		{def: `{"max-length":1}`, pattern: "(", want: "pattern should be regular expression but is invalid"},
		{def: `{"max-length":1}`, pattern: strings.Repeat("a", 5000), want: "pattern should be regular expression but is invalid"},
		{def: `{"max-length":1}`, applyTo: "topics", want: "apply-to 'topics' unrecognised"},
	} {
		_, err := x.b.SetPolicy(context.Background(), Policy{VHost: "/", Name: "p", Pattern: c.pattern, ApplyTo: c.applyTo, Operator: c.operator, Definition: []byte(c.def)})
		var e *Error
		if !errors.As(err, &e) || e.Kind != Invalid || !strings.HasPrefix(e.Detail, "Validation failed\n\n"+c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if ps, err := x.b.Policies("/", false); len(ps) != 0 || err != nil {
		t.Fatalf("%v %v", ps, err)
	}
}

// TestPolicies sets what estates set, lists it and takes it away again.
// (estate R16).
func TestPolicies(t *testing.T) {
	x := newBench(t, 0)
	ctx := context.Background()
	for _, def := range []string{
		`{"ha-mode":"all"}`, `{"ha-mode":"exactly","ha-params":2,"ha-sync-mode":"automatic","ha-sync-batch-size":100}`,
		`{"ha-mode":"nodes","ha-params":["rabbit@a","rabbit@b"],"ha-promote-on-failure":"when-synced","ha-promote-on-shutdown":"always"}`,
		`{"queue-master-locator":"min-masters","queue-mode":"lazy"}`,
	} {
		p := Policy{VHost: "/", Name: "HA", Pattern: `^(?!amq\.).*`, ApplyTo: "queues", Priority: -3, Definition: []byte(def)}
		if _, err := x.b.SetPolicy(ctx, p); err != nil {
			t.Fatalf("%s: %v", def, err)
		}
		ps, err := x.b.Policies("/", false)
		var got, want any
		if err != nil || len(ps) != 1 || json.Unmarshal(ps[0].Definition, &got) != nil || json.Unmarshal([]byte(def), &want) != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %v, %v", def, ps, err)
		}
		ps[0].Definition = p.Definition
		if !reflect.DeepEqual(ps[0], p) {
			t.Fatalf("%+v, want %+v", ps[0], p)
		}
	}
	if ps, _ := x.b.Policies("/", true); len(ps) != 0 {
		t.Fatalf("operator policies: %v", ps)
	}
	if err := x.b.ClearPolicy(ctx, "/", "HA", true); KindOf(err) != NotFound {
		t.Fatalf("clear what is not there: %v", err)
	}
	if err := x.b.ClearPolicy(ctx, "/", "HA", false); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		errOf(x.b.SetPolicy(ctx, Policy{VHost: "none", Name: "p", Definition: []byte(`{"max-length":1}`)})),
		x.b.ClearPolicy(ctx, "none", "p", false),
	} {
		var e *Error
		if !errors.As(err, &e) || e.Kind != NotFound || e.Resource != VHostResource {
			t.Fatalf("no vhost: %v", err)
		}
	}
	g := catalog.Governed{
		Policy:         &catalog.Policy{Name: "a", Definition: must(ParseJSON([]byte(`{"max-length":5,"overflow":"drop-head","queue-mode":"lazy"}`)))},
		OperatorPolicy: &catalog.Policy{Name: "b", Definition: must(ParseJSON([]byte(`{"max-length":4,"message-ttl":1,"overflow":"reject-publish"}`)))},
	}
	got := GoverningOf(g)
	if want := `{"max-length":4,"message-ttl":1,"overflow":"reject-publish","queue-mode":"lazy"}`; got.Policy != "a" || got.OperatorPolicy != "b" || string(AppendJSON(nil, got.Definition)) != want {
		t.Fatalf("%+v %s", got, AppendJSON(nil, got.Definition))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestPolicyOnLiveQueue changes the policy of a queue in memory that holds
// messages: the limit counts at once, and stops counting when it goes.
func TestPolicyOnLiveQueue(t *testing.T) {
	x := newBench(t, 0)
	ctx := context.Background()
	id := x.queue("q", false)
	p := x.s.NewPublisher(&fakeSink{})
	fill := func() {
		for range 5 {
			if _, err := p.Publish([]Publication{publication(0, "", "q", "m")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	ready := func() uint64 {
		info, err := x.s.DeclareQueue(ctx, QueueOptions{Name: "q", Passive: true})
		if err != nil {
			t.Fatal(err)
		}
		return info.Ready
	}
	fill()
	set := &catalog.SetPolicy{
		VHost: "/", Name: "p", ApplyTo: "all", Definition: must(ParseJSON([]byte(`{"max-length":2}`))),
		Shifts: []catalog.Shift{{Policy: "p", Queues: []uint64{id}}}, // as the proposer says
	}
	x.do(set)
	if n := ready(); n != 2 {
		t.Fatalf("%d messages with a limit of 2", n)
	}
	set.Definition, set.Shifts = must(ParseJSON([]byte(`{"max-length":3}`))), nil
	x.do(set)
	fill()
	if n := ready(); n != 3 {
		t.Fatalf("%d messages with a limit of 3", n)
	}
	x.do(&catalog.ClearPolicy{VHost: "/", Name: "p"})
	fill()
	if n := ready(); n != 8 {
		t.Fatalf("%d messages without a limit", n)
	}
}

// FuzzParseJSON: what is taken comes back as the same JSON.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[1,2.5,"x",null,true,{"c":{}}]}`, `{"a":18446744073709551615}`, `{"":""}`, `{"a":1}x`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := ParseJSON(data)
		if err != nil {
			return
		}
		if err := table.Check(); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		text := AppendJSON(nil, table)
		again, err := ParseJSON(text)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", data, text, err)
		}
		if !bytes.Equal(AppendJSON(nil, again), text) {
			t.Fatalf("%q becomes %q", text, AppendJSON(nil, again))
		}
		_ = terms(table)
	})
}

func errOf(_ []string, err error) error { return err }
