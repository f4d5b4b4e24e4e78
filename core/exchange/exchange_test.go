package exchange

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/message"
)

// naiveTopic is the definition of a topic match.
func naiveTopic(pattern, key []string) bool {
	if len(pattern) == 0 {
		return len(key) == 0
	}
	if pattern[0] == "#" {
		return naiveTopic(pattern[1:], key) || len(key) > 0 && naiveTopic(pattern, key[1:])
	}
	return len(key) > 0 && (pattern[0] == "*" || pattern[0] == key[0]) && naiveTopic(pattern[1:], key[1:])
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ".")
}

// naiveHeaders is the definition of a headers match, for strings and integers.
func naiveHeaders(args, headers message.Table) bool {
	mode := "all"
	if v, ok := args.Lookup("x-match"); ok {
		mode, _ = v.Text()
	}
	pairs, hits := 0, 0
	for name, want := range args.All() {
		if name == "x-match" || strings.HasPrefix(name, "x-") && !strings.HasSuffix(mode, "-with-x") {
			continue
		}
		pairs++
		have, ok := headers.Lookup(name)
		switch {
		case !ok:
		case want.Kind() == message.Null:
			hits++
		default:
			a, aInt := want.Int()
			b, bInt := have.Int()
			s, sText := want.Text()
			u, uText := have.Text()
			if aInt && bInt && a == b || sText && uText && s == u {
				hits++
			}
		}
	}
	if strings.HasPrefix(mode, "any") {
		return hits > 0
	}
	return hits == pairs
}

func naiveRoute(t Type, bindings []Binding, key string, headers message.Table) []Dest {
	set := map[Dest]bool{}
	for _, b := range bindings {
		hit := t == Fanout ||
			t == Direct && b.Key == key ||
			t == Topic && naiveTopic(split(b.Key), split(key)) ||
			t == Headers && naiveHeaders(b.Args, headers)
		if hit {
			set[b.Dest] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func topicGen(words ...string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 7).Draw(t, "words"), ".")
	})
}

func tableGen(values ...message.Value) *rapid.Generator[message.Table] {
	return rapid.Custom(func(t *rapid.T) (out message.Table) {
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			name := rapid.SampledFrom([]string{"a", "b", "x-c"}).Draw(t, "name")
			if _, double := out.Lookup(name); !double {
				out = message.AppendField(out, name, rapid.SampledFrom(values).Draw(t, "value"))
			}
		}
		return out
	})
}

func TestTableAgainstModel(t *testing.T) {
	values := []message.Value{
		message.StringOf("1"), message.StringOf("two"), message.IntOf(message.Int32, 1),
		message.IntOf(message.Int64, 1), message.UintOf(message.Uint8, 1), message.IntOf(message.Int8, -1),
	}
	for kind := Direct; kind <= Headers; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				table, model := New(kind, nil), map[string]Binding{}
				var r Router
				for range rapid.IntRange(1, 60).Draw(t, "steps") {
					b := Binding{Key: topicGen("a", "b", "*", "#", "").Draw(t, "pattern")}
					b.Dest = ToQueue(rapid.Uint64Range(1, 30).Draw(t, "queue"))
					if rapid.IntRange(0, 5).Draw(t, "hop") == 0 {
						b.Dest = ToExchange(b.Dest.ID())
					}
					if kind == Headers || rapid.IntRange(0, 9).Draw(t, "args") == 0 {
						b.Args = tableGen(append(values, message.Value{})...).Draw(t, "table")
						if m := rapid.SampledFrom([]string{"", "all", "any", "all-with-x", "any-with-x"}).Draw(t, "match"); m != "" {
							b.Args = message.AppendField(b.Args, "x-match", message.StringOf(m))
						}
					}
					id := identity(Binding{Dest: b.Dest, Key: b.Key, Args: b.Args.Sorted()})
					_, had := model[id]
					if len(model) > 0 && rapid.IntRange(0, 2).Draw(t, "op") == 0 {
						if !had && rapid.Bool().Draw(t, "existing") {
							id = rapid.SampledFrom(slices.Sorted(maps.Keys(model))).Draw(t, "victim")
							b, had = model[id], true
						}
						var gone bool
						if table, gone = table.Unbind(b); gone != had {
							t.Fatalf("unbind %v: gone %v", b, gone)
						}
						delete(model, id)
					} else {
						var made bool
						if table, made = table.Bind(b); made == had {
							t.Fatalf("bind %v: made %v", b, made)
						}
						model[id] = b
					}
					key := topicGen("a", "b", "c", "").Draw(t, "key")
					headers := tableGen(values...).Draw(t, "headers")
					bindings := slices.Collect(maps.Values(model))
					want := naiveRoute(kind, bindings, key, headers)
					got := table.Route(&r, []byte(key), &headers, nil)
					if slices.Sort(got); !slices.Equal(got, want) {
						t.Fatalf("%q %v -> %v, want %v; bindings %v", key, headers, got, want, bindings)
					}
					// What dst holds already is not appended again.
					pre := []Dest{ToQueue(1), ToQueue(2), ToQueue(99)}
					both := table.Route(&r, []byte(key), &headers, pre)
					union := slices.Concat(pre, want)
					slices.Sort(both)
					slices.Sort(union)
					if union = slices.Compact(union); !slices.Equal(both, union) {
						t.Fatalf("%q into %v -> %v, want %v", key, pre, both, union)
					}
				}
				if got := slices.Collect(table.All()); len(got) != len(model) || table.Len() != len(model) {
					t.Fatalf("%d bindings, len %d, want %d", len(got), table.Len(), len(model))
				}
				for b := range table.All() {
					if _, ok := model[identity(b)]; !ok || !table.Has(b) {
						t.Fatalf("a binding too many: %v", b)
					}
					back, err := ParseBinding(AppendBinding(nil, b))
					if err != nil || identity(back) != identity(b) {
						t.Fatalf("%v comes back as %v, %v", b, back, err)
					}
				}
				for id, b := range model { // nothing may be left behind
					table, _ = table.Unbind(b)
					delete(model, id)
				}
				if table.keys.Len() != 0 || table.all.Len() != 0 || table.root != nil || table.matches.Len() != 0 || table.HasExchanges() {
					t.Fatalf("an empty table holds %+v", table)
				}
			})
		})
	}
}

func TestCanonicalPatterns(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"a.*.b", "a.*.b"},
		{"#", "#"},
		{"#.#.#", "#"},
		{"#.*", "*.#"},
		{"*.#.*.#", "*.*.#"},
		{"a.#.#.b.#.*.#.c", "a.#.b.*.#.c"},
		{"#.", "#."},
		{".#.#.", ".#."},
	} {
		if got := canonical(c.in); got != c.want {
			t.Errorf("canonical(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// TestManyDestinations crosses the line between looking through and marking.
func TestManyDestinations(t *testing.T) {
	table := New(Topic, nil)
	for q := range uint64(1000) {
		for _, key := range []string{"#", "a.#", fmt.Sprintf("*.%d", q%10)} {
			table, _ = table.Bind(Binding{Dest: ToQueue(q + 1), Key: key})
		}
	}
	var r Router
	for range 3 {
		got := table.Route(&r, []byte("a.7"), nil, nil)
		slices.Sort(got)
		if len(got) != 1000 || len(slices.Compact(got)) != 1000 {
			t.Fatalf("%d destinations", len(got))
		}
	}
}

// TestDuplicateBindings checks that a destination stays as long as one of its
// bindings by the same key does.
func TestDuplicateBindings(t *testing.T) {
	args := message.AppendField(nil, "n", message.IntOf(message.Int32, 1))
	one, two := Binding{Dest: ToQueue(1), Key: "k"}, Binding{Dest: ToQueue(1), Key: "k", Args: args}
	for _, kind := range []Type{Direct, Fanout, Topic} {
		table, _ := New(kind, nil).Bind(one)
		table, made := table.Bind(two)
		if !made || table.Len() != 2 {
			t.Fatalf("%v: made %v, %d bindings", kind, made, table.Len())
		}
		table, _ = table.Unbind(one)
		var r Router
		if got := table.Route(&r, []byte("k"), nil, nil); !slices.Equal(got, []Dest{ToQueue(1)}) {
			t.Fatalf("%v: routes to %v", kind, got)
		}
	}
}

func TestCheckBinding(t *testing.T) {
	bad := message.AppendField(nil, "x-match", message.StringOf("foo"))
	if err := CheckBinding(Headers, "", bad); err == nil || !strings.Contains(err.Error(), `"foo"`) {
		t.Errorf("x-match foo: %v", err)
	}
	if err := CheckBinding(Direct, "", bad); err != nil {
		t.Errorf("x-match means nothing to a direct exchange: %v", err)
	}
	if err := CheckBinding(Headers, "", message.AppendField(nil, "x-match", message.IntOf(message.Int8, 1))); err == nil {
		t.Error("x-match as a number passes")
	}
	if err := CheckBinding(Direct, "", message.Table{200}); err == nil {
		t.Error("a broken table passes")
	}
}

func FuzzParseBinding(f *testing.F) {
	f.Add(AppendBinding(nil, Binding{Dest: ToExchange(7), Key: "a.b", Args: message.AppendField(nil, "k", message.StringOf("v"))}))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBinding(data)
		if err != nil {
			return
		}
		if back := AppendBinding(nil, b); len(back) > len(data) {
			t.Fatalf("%x grew to %x", data, back)
		}
	})
}
