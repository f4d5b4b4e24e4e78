package exchange

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// hostileCases are sets of patterns and keys made to be slow to match.
func hostileCases() []struct {
	name     string
	patterns func(i int) string
	key      string
} {
	const most = 255 // bytes of a key or pattern on the wire
	cutTo := func(s string) string { return strings.TrimSuffix(s[:min(len(s), most)], ".") }
	as := cutTo(strings.Repeat("a.", 128))
	rng := rand.New(rand.NewSource(1)) //nolint:gosec // a test's noise
	noise := func(words ...string) string {
		var s strings.Builder
		for s.Len() < most {
			s.WriteString(words[rng.Intn(len(words))])
			s.WriteByte('.')
		}
		return cutTo(s.String())
	}
	return []struct {
		name     string
		patterns func(i int) string
		key      string
	}{
		{"runs of #", func(i int) string { return cutTo(strings.Repeat("#.", 120)) + fmt.Sprint(i) }, as},
		{"one chain", func(i int) string { return cutTo(strings.Repeat("#.a.", 60)+fmt.Sprint(i)) + ".b" }, as},
		{"stars and loops", func(i int) string { return cutTo(fmt.Sprintf("#.%d.", i) + strings.Repeat("*.#.a.", 40)) }, as},
		{"empty words", func(i int) string { return cutTo(strings.Repeat("#..*.", 60)) + fmt.Sprint(i) }, strings.Repeat(".", most)},
		{"all stars", func(i int) string { return strings.Repeat("*.", 120) + fmt.Sprint(i) }, as},
		{"nested tails", func(i int) string {
			return cutTo(strings.Repeat("a.", i%120) + "#.b." + strings.Repeat("#.a.", 20) + fmt.Sprint(i))
		}, as},
		{"noise of a * #", func(int) string { return noise("a", "*", "#") }, as},
		{"noise of a b #", func(int) string { return noise("a", "b", "#", "#") }, noise("a", "b")},
		{"noise of a b * #", func(int) string { return noise("a", "b", "*", "#") }, noise("a", "b")},
	}
}

func hostileTable(patterns func(i int) string) Table {
	table := New(Topic, nil)
	for i := range 10_000 {
		table, _ = table.Bind(Binding{Dest: ToQueue(uint64(i + 1)), Key: patterns(i)})
	}
	return table
}

// X11: TestHostileTopics holds keys and patterns of 255 bytes, ten thousand of them,
// to a millisecond. The noisy ones share no beginnings, so that a match has to
// look at most words of most patterns: their bound is that, a few dozen
// nanoseconds a word.
func TestHostileTopics(t *testing.T) {
	for _, c := range hostileCases() {
		t.Run(c.name, func(t *testing.T) {
			bar := time.Millisecond
			if strings.HasPrefix(c.name, "noise") {
				bar = 500 * time.Millisecond
			}
			table := hostileTable(c.patterns)
			var r Router
			var dst []Dest
			best := time.Hour
			for range 7 {
				start := time.Now()
				dst = table.Route(&r, []byte(c.key), nil, dst[:0])
				best = min(best, time.Since(start))
			}
			if best > bar {
				t.Errorf("%v for %d destinations, want %v at most", best, len(dst), bar)
			}
			var want int
			for i := range 300 {
				if longTopic(split(table.binding(i).Key), split(c.key)) {
					want++
				}
			}
			var got int
			for _, d := range dst {
				if d.ID() <= 300 {
					got++
				}
			}
			if got != want {
				t.Errorf("%d of the first 300 patterns match, want %d", got, want)
			}
		})
	}
}

// binding returns the i-th of a table with one binding per destination, in order.
func (t Table) binding(i int) Binding {
	for b := range t.To(ToQueue(uint64(i + 1))) {
		return b
	}
	return Binding{}
}

// longTopic is naiveTopic with a table of what was tried, for long keys.
func longTopic(pattern, key []string) bool {
	at := make([]bool, len(key)+1)
	at[0] = true
	for _, p := range pattern {
		next := make([]bool, len(key)+1)
		for i := range at {
			switch {
			case p == "#":
				next[i] = at[i] || i > 0 && next[i-1]
			case i > 0 && at[i-1]:
				next[i] = p == "*" || p == key[i-1]
			}
		}
		at = next
	}
	return at[len(key)]
}

// TestLongKeys compares both ways to keep positions, around the length where
// one takes over from the other and where a set grows by a uint64.
func TestLongKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"a", "b", "c", ""})
		short := rapid.SliceOfN(words, 0, 6).Draw(t, "short")
		if naiveTopic([]string{"a", "#", "*"}, short) != longTopic([]string{"a", "#", "*"}, short) {
			t.Fatalf("the references differ on %q", short)
		}
		key := rapid.SliceOfN(words, 61, 131).Draw(t, "key")
		table := New(Topic, nil)
		var want []Dest
		for q := range uint64(rapid.IntRange(1, 12).Draw(t, "bindings")) {
			// Patterns are made from the key, so that many match.
			var pattern []string
			for i := 0; i < len(key); i++ {
				switch rapid.IntRange(0, 9).Draw(t, "edit") {
				case 0:
					pattern = append(pattern, "*")
				case 1:
					pattern = append(pattern, "#")
					i += rapid.IntRange(-1, 20).Draw(t, "swallowed")
				case 2:
					pattern = append(pattern, "#", key[i])
				default:
					pattern = append(pattern, key[i])
				}
			}
			b := Binding{Dest: ToQueue(q + 1), Key: strings.Join(pattern, ".")}
			table, _ = table.Bind(b)
			if longTopic(pattern, key) {
				want = append(want, b.Dest)
			}
		}
		var r Router
		for range 2 {
			got := table.Route(&r, []byte(strings.Join(key, ".")), nil, nil)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("key %q: %v, want %v", key, got, want)
			}
		}
	})
}
