package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind of a Wish.
type Kind uint8

// Kinds of wishes. They stand in the catalog as Wish.String writes them.
const (
	// Auto is DefaultFactor replicas, grown as nodes join.
	Auto Kind = iota
	// Exactly is N replicas, or as many as there are nodes.
	Exactly
	// All is a replica on every node.
	All
	// Named is a replica on each of the nodes named, and on others until there are
	// N of them.
	Named
)

// A Wish is what a policy or an argument says of a queue's replicas.
type Wish struct {
	Kind  Kind
	N     int
	Nodes []string // by name, sorted
}

// mostExact bounds the replicas that are counted: who wants more has them
// everywhere. So what clients ask for makes few kinds of shards.
const mostExact = 7

// Copies is the wish for n replicas.
func Copies(n int) Wish {
	switch {
	case n == DefaultFactor:
		return Wish{}
	case n > mostExact:
		return Wish{Kind: All}
	}
	return Wish{Kind: Exactly, N: max(1, n)}
}

// On is the wish for a replica on each of some nodes.
func On(names ...string) Wish {
	names = slices.Clone(names)
	slices.Sort(names)
	return Wish{Kind: Named, Nodes: slices.Compact(names)}
}

// least is how many replicas a wish is for, whichever they are.
func (w Wish) least() int {
	if w.Kind == Auto {
		return DefaultFactor
	}
	return w.N
}

// Join returns the wish that gives what either asks for.
func Join(a, b Wish) Wish {
	switch {
	case a.Kind == All || b.Kind == All:
		return Wish{Kind: All}
	case a.Kind == Named || b.Kind == Named:
		w := On(slices.Concat(a.Nodes, b.Nodes)...)
		w.N = max(a.least(), b.least())
		return w
	}
	return Copies(max(a.least(), b.least()))
}

// Gives reports whether what w gives is at least what another wish asks for.
func (w Wish) Gives(other Wish) bool { return Join(w, other).String() == w.String() }

// String writes a wish as ParseWish reads it.
func (w Wish) String() string {
	switch w.Kind {
	case Exactly:
		return "exactly " + strconv.Itoa(w.N)
	case All:
		return "all"
	case Named:
		if w.N > 0 {
			return "nodes " + strconv.Itoa(w.N) + "+ " + strings.Join(w.Nodes, " ")
		}
		return "nodes " + strings.Join(w.Nodes, " ")
	}
	return "auto"
}

// ParseWish reads what String wrote; nothing is Auto.
func ParseWish(s string) (Wish, error) {
	kind, rest, _ := strings.Cut(s, " ")
	switch {
	case s == "" || s == "auto":
		return Wish{}, nil
	case s == "all":
		return Wish{Kind: All}, nil
	case kind == "exactly":
		if n, err := strconv.Atoi(rest); err == nil && n > 0 {
			return Wish{Kind: Exactly, N: n}, nil
		}
	case kind == "nodes" && rest != "":
		n := 0
		if count, names, ok := strings.Cut(rest, "+ "); ok {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 1 || names == "" {
				break
			}
			rest = names
		}
		w := On(strings.Split(rest, " ")...)
		w.N = n
		return w, nil
	}
	return Wish{}, fmt.Errorf("placement: %q is no wish for replicas", s)
}

// sets returns the sets of replicas that a wish allows, each led by its first
// node. There is none only if there is no node.
func (w Wish) sets(nodes []Node) [][]uint64 {
	var in, others []uint64
	for _, n := range nodes {
		switch {
		case n.Out:
		case w.Kind != Named || slices.Contains(w.Nodes, n.Name):
			in = append(in, n.ID)
		default:
			others = append(others, n.ID)
		}
	}
	if len(in) == 0 {
		if w.Kind == Named { // none of them is there: better elsewhere than nowhere
			return Copies(max(w.N, DefaultFactor)).sets(nodes)
		}
		return nil
	}
	f := len(in)
	switch w.Kind {
	case Auto:
		f = min(f, DefaultFactor)
	case Exactly:
		f = min(f, w.N)
	}
	sets := make([][]uint64, len(in))
	for i := range in {
		for k := range f {
			sets[i] = append(sets[i], in[(i+k)%len(in)])
		}
		for k := 0; k < len(others) && len(sets[i]) < w.N; k++ {
			sets[i] = append(sets[i], others[(i+k)%len(others)])
		}
	}
	return sets
}
