package pmap

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// check holds the structure to its rules: order, fill, heads and separators.
func check[V any](t interface{ Fatalf(string, ...any) }, n *node[V], top bool) (count int) {
	if n == nil {
		return 0
	}
	if len(n.heads) == 0 || len(n.heads) > maxFill {
		t.Fatalf("node with %d keys", len(n.heads))
	}
	if n.keys != nil {
		if !slices.IsSorted(n.keys) || len(n.keys) != len(n.heads) {
			t.Fatalf("keys %q out of order", n.keys)
		}
		if want := commonPrefix(n.keys[0], n.keys[len(n.keys)-1]); want != n.shared {
			t.Fatalf("shared %d, want %d: %q", n.shared, want, n.keys)
		}
		if !slices.Equal(n.heads, headsOf(n.keys, n.shared)) {
			t.Fatalf("stale heads of %q", n.keys)
		}
	}
	if n.kids == nil {
		if len(n.vals) != len(n.heads) {
			t.Fatalf("%d values for %d keys", len(n.vals), len(n.heads))
		}
		return len(n.vals)
	}
	if len(n.kids) != len(n.heads) || top && len(n.kids) < 2 {
		t.Fatalf("%d kids for %d keys", len(n.kids), len(n.heads))
	}
	for _, kid := range n.kids {
		count += check(t, kid, false)
	}
	return count
}

func keyGen() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		prefix := rapid.SampledFrom([]string{"", "a", "queue-", "queue-0000000", "\x00", "queue-0000000\x00\x00"}).Draw(t, "prefix")
		return prefix + rapid.SampledFrom([]string{
			rapid.StringN(0, 3, 12).Draw(t, "tail"),
			fmt.Sprintf("%05d", rapid.IntRange(0, 400).Draw(t, "number")),
			strings.Repeat("\x00", rapid.IntRange(0, 12).Draw(t, "zeros")),
		}).Draw(t, "kind")
	})
}

func TestMapAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Map[int]
		model := map[string]int{}
		var old Map[int]
		var oldModel map[string]int
		steps := rapid.IntRange(1, 400).Draw(t, "steps")
		for i := range steps {
			k := keyGen().Draw(t, "key")
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1, 2:
				m = m.Set(k, i)
				model[k] = i
			case 3:
				m = m.Delete(k)
				delete(model, k)
			case 4:
				for have := range m.From(k) { // delete what exists
					m = m.Delete(have)
					delete(model, have)
					break
				}
			case 5:
				old, oldModel = m, maps.Clone(model)
			}
			v, ok := m.GetBytes([]byte(k))
			want, wantOK := model[k]
			if v != want || ok != wantOK {
				t.Fatalf("get %q = %d %v, want %d %v", k, v, ok, want, wantOK)
			}
		}
		if n := check(t, m.root, true); n != len(model) || m.Len() != n {
			t.Fatalf("holds %d, len %d, want %d", n, m.Len(), len(model))
		}
		same(t, m, model)
		if oldModel != nil {
			same(t, old, oldModel)
		}
		from := keyGen().Draw(t, "from")
		var got, want []string
		for k := range m.From(from) {
			got = append(got, k)
		}
		for _, k := range slices.Sorted(maps.Keys(model)) {
			if k >= from {
				want = append(want, k)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("from %q: %q, want %q", from, got, want)
		}
		got, want = nil, nil
		for k := range m.Prefix(from) {
			got = append(got, k)
		}
		for _, k := range slices.Sorted(maps.Keys(model)) {
			if strings.HasPrefix(k, from) {
				want = append(want, k)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("prefix %q: %q, want %q", from, got, want)
		}
	})
}

func same(t *rapid.T, m Map[int], model map[string]int) {
	keys := slices.Sorted(maps.Keys(model))
	i := 0
	for k, v := range m.All() {
		if i >= len(keys) || k != keys[i] || v != model[k] {
			t.Fatalf("entry %d is %q=%d", i, k, v)
		}
		i++
	}
	if i != len(keys) {
		t.Fatalf("%d entries, want %d", i, len(keys))
	}
}

func TestIntsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Ints[int]
		model := map[uint64]int{}
		for i := range rapid.IntRange(1, 600).Draw(t, "steps") {
			k := rapid.OneOf(rapid.Uint64Range(0, 300), rapid.Uint64()).Draw(t, "key")
			if rapid.IntRange(0, 2).Draw(t, "op") < 2 {
				m = m.Set(k, i)
				model[k] = i
			} else {
				m = m.Delete(k)
				delete(model, k)
			}
			v, ok := m.Get(k)
			if want, wantOK := model[k]; v != want || ok != wantOK {
				t.Fatalf("get %d = %d %v, want %d %v", k, v, ok, want, wantOK)
			}
		}
		check(t, m.root, true)
		want := slices.Sorted(maps.Keys(model))
		if got := AppendKeys[uint64](nil, m); !slices.Equal(got, want) || m.Len() != len(want) {
			t.Fatalf("keys %d, want %d", got, want)
		}
		i := 0
		for k, v := range m.All() {
			if k != want[i] || v != model[k] {
				t.Fatalf("entry %d is %d=%d", i, k, v)
			}
			i++
		}
	})
}

// checkSlots holds the trie to its rules: no node with a lone entry below the
// root, so that equal content has equal shape.
func checkSlots[V any](t *rapid.T, s *slot[V], depth uint) (count int) {
	if s == nil {
		return 0
	}
	if len(s.leaves) != bits.OnesCount64(s.leafBits) || len(s.kids) != bits.OnesCount64(s.kidBits) {
		t.Fatalf("%d leaves, %d kids under %b and %b", len(s.leaves), len(s.kids), s.leafBits, s.kidBits)
	}
	if _, alone := s.only(); alone && depth > 0 {
		t.Fatalf("a lone entry at depth %d", depth)
	}
	for _, l := range s.leaves {
		if count++; l.crowd != nil {
			count += l.crowd.Len() - 1
		}
	}
	for _, kid := range s.kids {
		count += checkSlots(t, kid, depth+1)
	}
	return count
}

func TestHashAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h, old Hash[int]
		model, oldModel := map[string]int{}, map[string]int{}
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			k := keyGen().Draw(t, "key")
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0, 1, 2:
				h = h.Set(k, i)
				model[k] = i
			case 3, 4:
				h = h.Delete(k)
				delete(model, k)
			case 5:
				old, oldModel = h, maps.Clone(model)
			}
			v, ok := h.GetBytes([]byte(k))
			if want, wantOK := model[k]; v != want || ok != wantOK {
				t.Fatalf("get %q = %d %v, want %d %v", k, v, ok, want, wantOK)
			}
		}
		if n := checkSlots(t, h.root, 0); n != len(model) || h.Len() != n {
			t.Fatalf("holds %d, len %d, want %d", n, h.Len(), len(model))
		}
		for k, want := range model {
			if v, ok := h.Get(k); !ok || v != want {
				t.Fatalf("get %q = %d %v, want %d", k, v, ok, want)
			}
		}
		for k, want := range oldModel {
			if v, ok := old.Get(k); !ok || v != want {
				t.Fatalf("old: get %q = %d %v, want %d", k, v, ok, want)
			}
		}
	})
}

// TestHashCollisions uses keys that were made to collide: where the first half
// of a 16 byte key cancels the constants, the product is zero.
func TestHashCollisions(t *testing.T) {
	blind := binary.LittleEndian.AppendUint64(nil, 0xa0761d6478bd642f^16^0x8ebc6af09c88c6e3)
	rapid.Check(t, func(t *rapid.T) {
		var h Hash[int]
		model := map[string]int{}
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := fmt.Sprintf("%s%08d", blind, rapid.IntRange(0, 40).Draw(t, "number"))
			if Sum(k) != 0 {
				t.Fatalf("%q does not collide any more", k)
			}
			if rapid.IntRange(0, 9).Draw(t, "plain") == 0 {
				k = rapid.StringMatching("[a-e][0-9]").Draw(t, "key")
			}
			if rapid.Bool().Draw(t, "set") {
				h = h.Set(k, i)
				model[k] = i
			} else {
				h = h.Delete(k)
				delete(model, k)
			}
			if n := checkSlots(t, h.root, 0); n != len(model) || h.Len() != n {
				t.Fatalf("holds %d, len %d, want %d", n, h.Len(), len(model))
			}
			for k, want := range model {
				if v, ok := h.Get(k); !ok || v != want {
					t.Fatalf("get %q = %d %v, want %d", k, v, ok, want)
				}
			}
		}
	})
}

// TestGrowAndShrink takes a map through sizes that rapid does not reach.
func TestGrowAndShrink(t *testing.T) {
	var m Map[int]
	const n = 20_000
	name := func(i int) string { return fmt.Sprintf("queue-%06d", i*7919%n) }
	for i := range n {
		m = m.Set(name(i), i)
	}
	full := m
	for i := range n {
		if v, ok := m.Get(name(i)); !ok || v != i {
			t.Fatalf("get %q = %d %v", name(i), v, ok)
		}
		m = m.Delete(name(i))
		if i%1000 == 0 {
			check(t, m.root, true)
		}
	}
	if m.Len() != 0 || m.root != nil {
		t.Fatalf("%d entries left", m.Len())
	}
	if got := check(t, full.root, true); got != n {
		t.Fatalf("the old map has %d entries, want %d", got, n)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	var m Map[int]
	for i := range 1000 {
		m = m.Set(fmt.Sprintf("queue-with-a-rather-long-name-for-the-stack-%06d", i), i)
	}
	key := []byte("queue-with-a-rather-long-name-for-the-stack-000500")
	if n := testing.AllocsPerRun(100, func() { m.GetBytes(key) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkMap(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		keys := make([]string, n)
		var m Map[*int]
		v := new(int)
		for i := range keys {
			keys[i] = fmt.Sprintf("queue-%06d", i*7919%n)
			m = m.Set(keys[i], v)
		}
		b.Run(fmt.Sprintf("get/size=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := m.Get(keys[i]); !ok {
					b.Fatal("lost")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("hash/size=%d", n), func(b *testing.B) {
			var h Hash[*int]
			for _, k := range keys {
				h = h.Set(k, v)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := h.Get(keys[i]); !ok {
					b.Fatal("lost")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("hashset/size=%d", n), func(b *testing.B) {
			var h Hash[*int]
			for _, k := range keys {
				h = h.Set(k, v)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				h.Delete(keys[i]).Set(keys[i], v)
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("builtin/size=%d", n), func(b *testing.B) {
			builtin := make(map[string]*int, n) // the yardstick on a noisy machine
			for _, k := range keys {
				builtin[k] = v
			}
			i := 0
			for b.Loop() {
				if _, ok := builtin[keys[i]]; !ok {
					b.Fatal("lost")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("set/size=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m.Delete(keys[i]).Set(keys[i], v)
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}

func BenchmarkInts(b *testing.B) {
	const n = 100_000
	var m Ints[*int]
	v := new(int)
	for i := range uint64(n) {
		m = m.Set(i, v)
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		if _, ok := m.Get(i); !ok {
			b.Fatal("lost")
		}
		i = (i + 7919) % n
	}
}
