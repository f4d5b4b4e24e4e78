package ctl

import (
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin/client"
)

// A thing is what the lists of this test are made of.
type thing struct {
	name string
	args table
	n    int64
}

func thingColumns() []column[thing] {
	return []column[thing]{
		{"name", func(x *thing) any { return x.name }},
		{"arguments", func(x *thing) any { return x.args }},
		{"messages", func(x *thing) any { return x.n }},
		{"pid", func(*thing) any { return pid("<rabbit@node-01.1.2.0>") }},
		{"tags", func(*thing) any { return atoms([]string{"administrator", "monitoring"}) }},
		{"policy", func(*thing) any { return nil }},
		{"cluster_state", func(*thing) any { return terms{tuple{atom("rabbit@localhost"), atom("running")}} }},
		{"ratio", func(*thing) any { return 1.0 }},
	}
}

func yields(ts []thing, err error) iter.Seq2[thing, error] {
	return func(yield func(thing, error) bool) {
		for _, x := range ts {
			if !yield(x, nil) {
				return
			}
		}
		if err != nil {
			yield(thing{}, err)
		}
	}
}

func number(n json.Number) client.Value { return client.Value{Type: "signedint", Number: n} }

func things() []thing {
	return []thing{
		{"qq", table{{Name: "x-queue-type", Value: client.Value{Type: "longstr", Text: "quorum"}}}, 0},
		{"orders", table{
			{Name: "x-max-length", Value: number("1000")},
			{Name: "deep", Value: client.Value{Type: "table", Table: []client.Argument{{Name: "b", Value: client.Value{Type: "bool", Number: "1"}}}}},
			{Name: "many", Value: client.Value{Type: "array", List: []client.Value{number("1"), {Type: "void"}}}},
		}, 5},
		{"tab\tand \"quote\" \\ é", nil, 0},
	}
}

// What RabbitMQ 3.10 prints of the same is in the golden files, but for the
// frames of pretty_table, which are Unicode here.
func TestFormats(t *testing.T) {
	for _, format := range []string{asTable, asPretty, asJSON, asStream, asCSV, asErlang} {
		t.Run(format, func(t *testing.T) {
			d := newDesk(t, nil)
			c := &call{w: World{Stdout: &d.out}, verb: &verb{}, options: options{format: format}}
			print := func(ts []thing, err error) {
				var ferr error
				if c.form, ferr = c.formatter(); ferr != nil {
					t.Fatal(ferr)
				}
				if got := list(c, thingColumns(), yields(ts, err)); !errors.Is(got, err) {
					t.Errorf("got %v", got)
				}
			}
			print(things(), nil)
			print(nil, nil)
			c.verb.blank = true
			print(nil, nil)
			print(things()[:1], errors.New("broken"))
			c.silent = true
			print(things()[:1], nil)
			golden(t, "format."+format+".txt", d.out.String())
		})
	}
}

func TestColumns(t *testing.T) {
	c := &call{tool: "rabbitmqctl", verb: &verb{name: "list_things", usage: "[<column>, ...]"}}
	for args, want := range map[string]string{
		"":                  "name messages",
		"messages name":     "messages name",
		"name,pid messages": "name pid messages",
		"messages,nope b":   "Info key(s) b,nope are not supported",
	} {
		c.args = strings.Fields(args)
		got, err := choose(c, thingColumns(), "name", "messages")
		var names []string
		for _, x := range got {
			names = append(names, x.name)
		}
		if text := strings.Join(names, " "); err == nil && text != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", args, text, err)
		}
	}
}
