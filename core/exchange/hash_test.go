package exchange

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/core/message"
)

func weighted(t interface{ Fatal(...any) }, table Table, dest uint64, weight int) Table {
	b := Binding{Dest: ToQueue(dest), Key: strconv.Itoa(weight)}
	if err := CheckBinding(ConsistentHash, b.Key, nil); err != nil {
		t.Fatal(err)
	}
	table, made := table.Bind(b)
	if !made {
		t.Fatal("not made")
	}
	return table
}

func pick(t interface{ Fatalf(string, ...any) }, table Table, r *Router, key string, headers Fields) Dest {
	got := table.Route(r, []byte(key), headers, nil)
	if len(got) != 1 {
		t.Fatalf("key %q goes to %v", key, got)
	}
	return got[0]
}

// TestConsistentHashMovesLittle: each key goes to one bound queue, the same
// whatever the order of binding was; when a binding comes keys move to its
// queue only, when it goes its keys only move.
func TestConsistentHashMovesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.MapOf(rapid.Uint64Range(1, 50), rapid.IntRange(1, 20)).Draw(t, "weights")
		dests := make([]uint64, 0, len(weights))
		for d := range weights {
			dests = append(dests, d)
		}
		slices.Sort(dests)
		build := func(order []uint64) Table {
			table := New(ConsistentHash, nil)
			for _, d := range order {
				table = weighted(t, table, d, weights[d])
			}
			return table
		}
		table := build(dests)
		other := build(rapid.Permutation(dests).Draw(t, "order"))
		more := weighted(t, table, 1000, rapid.IntRange(1, 20).Draw(t, "new"))
		var r Router
		for i := range 200 {
			key := fmt.Sprintf("key.%d", i)
			after := pick(t, more, &r, key, nil)
			if len(dests) == 0 {
				if got := table.Route(&r, []byte(key), nil, nil); len(got) != 0 || after != ToQueue(1000) {
					t.Fatalf("%v, %v", got, after)
				}
				continue
			}
			before := pick(t, table, &r, key, nil)
			if weights[before.ID()] == 0 {
				t.Fatalf("%q goes to %v, which is not bound", key, before)
			}
			if again := pick(t, other, &r, key, nil); again != before {
				t.Fatalf("%q: %v, or %v in another order", key, before, again)
			}
			if after != before && after != ToQueue(1000) {
				t.Fatalf("%q moves from %v to %v", key, before, after)
			}
		}
		gone, ok := more.Unbind(slices.Collect(more.To(ToQueue(1000)))[0])
		if !ok || !slices.Equal(gone.ring, table.ring) || gone.Len() != table.Len() {
			t.Fatal("an unbinding does not undo the binding")
		}
	})
}

// TestConsistentHashShares: queues get keys in proportion to their weights.
func TestConsistentHashShares(t *testing.T) {
	table := New(ConsistentHash, nil)
	weights := map[uint64]int{1: 1, 2: 2, 3: 3, 4: 10, 5: 1}
	total := 0
	for d, w := range weights {
		table = weighted(t, table, d, w)
		total += w
	}
	table = weighted(t, table, 5, 2) // a second binding adds to the first
	weights[5], total = 3, total+2
	const n = 100_000
	var r Router
	got := map[uint64]int{}
	for i := range n {
		got[pick(t, table, &r, strconv.Itoa(i), nil).ID()]++
	}
	for d, w := range weights {
		want := float64(n) * float64(w) / float64(total)
		if math.Abs(float64(got[d])-want) > 5*math.Sqrt(want) {
			t.Errorf("queue %d with weight %d got %d of %d, want about %.0f", d, w, got[d], n, want)
		}
	}
}

type hashed struct {
	message.Table
	properties map[string]string
}

func (h hashed) AppendProperty(dst []byte, name string) []byte {
	return append(dst, h.properties[name]...)
}

// TestHashSource: with a header or a property to hash, the routing key does not
// count; what lacks it goes to one place.
func TestHashSource(t *testing.T) {
	for _, arg := range []string{"hash-header", "hash-property", ""} {
		var args message.Table
		if arg != "" {
			name := "correlation_id"
			if arg == "hash-header" {
				name = "tenant"
			}
			args = message.AppendField(nil, arg, message.StringOf(name))
		}
		if err := CheckExchange(ConsistentHash, args); err != nil {
			t.Fatal(err)
		}
		table := New(ConsistentHash, args)
		for d := range uint64(20) {
			table = weighted(t, table, d+1, 1)
		}
		var r Router
		byKey, byHeader, byProperty, without := map[Dest]bool{}, map[Dest]bool{}, map[Dest]bool{}, map[Dest]bool{}
		for i := range 50 {
			id := strconv.Itoa(i)
			headers := func(kind message.Kind, n int) message.Table {
				return message.AppendField(nil, "tenant", message.IntOf(kind, int64(n)))
			}
			byKey[pick(t, table, &r, id, hashed{headers(message.Int64, 7), map[string]string{"correlation_id": "x"}})] = true
			byProperty[pick(t, table, &r, "k", hashed{headers(message.Int64, 7), map[string]string{"correlation_id": id}})] = true
			without[pick(t, table, &r, "k", nil)] = true
			wide := pick(t, table, &r, "k", hashed{headers(message.Int64, i), nil})
			if byHeader[wide] = true; wide != pick(t, table, &r, "k", hashed{headers(message.Int8, i), nil}) {
				t.Fatal("the width of a number counts")
			}
		}
		many := map[string]int{"": len(byKey), "hash-header": len(byHeader), "hash-property": len(byProperty)}
		for what, n := range many {
			if (n > 5) != (what == arg) || n > 1 && what != arg {
				t.Errorf("%q: what %q changes goes to %d queues", arg, what, n)
			}
		}
		if len(without) != 1 || table.ByKey() != (arg == "") {
			t.Errorf("%q: %d queues without, by key %v", arg, len(without), table.ByKey())
		}
	}
}

// X14: a weight, which multiplies what a binding takes, has a bound.
func TestCheckExchange(t *testing.T) {
	one := func(name, value string) message.Table {
		return message.AppendField(nil, name, message.StringOf(value))
	}
	for _, bad := range []message.Table{
		one("hash-property", "user_id"), one("hash-header", ""),
		message.AppendField(one("hash-header", "a"), "hash-property", message.StringOf("message_id")),
		message.AppendField(nil, "hash-header", message.IntOf(message.Int8, 1)),
	} {
		if CheckExchange(ConsistentHash, bad) == nil {
			t.Errorf("%q is taken", bad)
		}
		if err := CheckExchange(Direct, bad); err != nil {
			t.Error(err)
		}
	}
	for key, want := range map[string]string{
		"": "must be an integer", "a": "must be an integer", "1.5": "must be an integer", "0": "greater than 0",
		"-1": "greater than 0", "1048577": "at most 1048576", "99999999999999999999": "at most 1048576",
	} {
		err := CheckBinding(ConsistentHash, key, nil)
		var we *WeightError
		if !errors.As(err, &we) || !slices.Contains([]string{"The binding key " + want, "The binding key must be " + want, "The binding key " + want + `: "` + key + `"`}, err.Error()) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// TestOneOf: modulus-hash and random exchanges choose one queue, evenly, by the
// key or by the number that they are handed.
func TestOneOf(t *testing.T) {
	for _, kind := range []Type{ModulusHash, Random} {
		table := New(kind, nil)
		for d := range uint64(10) {
			table, _ = table.Bind(Binding{Dest: ToQueue(d + 1), Key: strconv.Itoa(int(d))})
		}
		var r Router
		got := map[Dest]int{}
		for i := range 10_000 {
			key := strconv.Itoa(i)
			r.Random = Scatter(uint64(i))
			d := pick(t, table, &r, key, nil)
			if got[d]++; pick(t, table, &r, key, nil) != d {
				t.Fatalf("%v: another choice for the same", kind)
			}
		}
		for d, n := range got {
			if n < 800 || n > 1200 || len(got) != 10 {
				t.Errorf("%v: %v got %d of 10000", kind, d, n)
			}
		}
		if table.ByKey() != (kind == ModulusHash) {
			t.Errorf("%v: by key %v", kind, table.ByKey())
		}
		if got := table.Route(&r, nil, nil, []Dest{pick(t, table, &r, "", nil)}); len(got) != 1 {
			t.Errorf("%v: a queue twice: %v", kind, got)
		}
	}
}
