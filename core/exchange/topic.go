package exchange

import (
	"strings"

	"github.com/warrenmq/warren/internal/pmap"
)

// A node of the trie of patterns is the set of patterns that begin with the
// words on the way to it. Nodes are immutable; a change copies the way.
//
// Patterns are canonical: in each run of wildcards the stars come first, then
// at most one '#'. So a '#' is followed by a word or by nothing.
type node struct {
	// The next word, literally: most nodes have one, which stands here.
	word    string
	wordSum uint64
	kid     *node
	words   pmap.Hash[*node] // where there are more; kid is nil then

	star  *node   // any one word
	loop  *node   // '#': any words, none too
	dests destSet // patterns that end here
}

// canonical returns an equivalent pattern in which each run of wildcards reads
// "*.*.#": a run matches some least number of words, and any number above if it
// has a '#'. It returns the pattern itself where nothing needs to change.
func canonical(pattern string) string {
	if !strings.Contains(pattern, "#") {
		return pattern
	}
	var out []string
	stars, open := 0, false
	flush := func() {
		for ; stars > 0; stars-- {
			out = append(out, "*")
		}
		if open {
			out = append(out, "#")
		}
		open = false
	}
	changed := false
	for w := range strings.SplitSeq(pattern, ".") {
		switch w {
		case "#":
			changed = changed || open
			open = true
		case "*":
			changed = changed || open
			stars++
		default:
			flush()
			out = append(out, w)
		}
	}
	flush()
	if !changed {
		return pattern
	}
	return strings.Join(out, ".")
}

// cutWord splits the first word off a pattern. The empty pattern has none, so a
// rest is given as "more": whether anything, even an empty word, follows.
func cutWord(s string) (word, rest string, more bool) {
	if i := strings.IndexByte(s, '.'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// bind returns n with d at the end of pattern; an empty pattern is no words.
func (n *node) bind(pattern string, d Dest) *node { return n.add(pattern, pattern != "", d) }

func (n *node) add(pattern string, more bool, d Dest) *node {
	out := &node{}
	if n != nil {
		*out = *n
	}
	if !more {
		out.dests = withDest(out.dests, d)
		return out
	}
	word, rest, more := cutWord(pattern)
	switch word {
	case "*":
		out.star = out.star.add(rest, more, d)
	case "#":
		out.loop = out.loop.add(rest, more, d)
	default:
		out.setWord(word, out.getWord(word).add(rest, more, d))
	}
	return out
}

// unbind returns n without one binding of pattern to d, or nil if nothing is
// left. The binding must be there.
func (n *node) unbind(pattern string, d Dest) *node { return n.cut(pattern, pattern != "", d) }

func (n *node) cut(pattern string, more bool, d Dest) *node {
	out := *n
	if !more {
		out.dests = withoutDest(out.dests, d)
		return out.orNil()
	}
	word, rest, more := cutWord(pattern)
	switch word {
	case "*":
		out.star = out.star.cut(rest, more, d)
	case "#":
		out.loop = out.loop.cut(rest, more, d)
	default:
		out.setWord(word, out.getWord(word).cut(rest, more, d))
	}
	return out.orNil()
}

func (n *node) orNil() *node {
	if n.kid == nil && n.words.Len() == 0 && n.star == nil && n.loop == nil && n.dests.Len() == 0 {
		return nil
	}
	return n
}

// getWord returns the node behind a literal word, or nil.
func (n *node) getWord(word string) *node {
	if n.kid != nil {
		if n.word == word {
			return n.kid
		}
		return nil
	}
	kid, _ := n.words.Get(word)
	return kid
}

// setWord puts a node, or nothing, behind a literal word of n, which is not
// shared yet.
func (n *node) setWord(word string, kid *node) {
	switch {
	case n.kid == nil && n.words.Len() == 0 || n.kid != nil && n.word == word:
		n.word, n.wordSum, n.kid = word, pmap.Sum(word), kid
		if kid == nil {
			n.word, n.wordSum = "", 0
		}
	case kid == nil:
		n.words = n.words.Delete(word)
	default:
		if n.kid != nil {
			n.words = n.words.Set(n.word, n.kid)
			n.word, n.wordSum, n.kid = "", 0, nil
		}
		n.words = n.words.Set(word, kid)
	}
}
