package exchange

import (
	"bytes"
	"math/bits"
	"unsafe"

	"github.com/warrenmq/warren/internal/pmap"
)

// A matcher walks a trie of patterns with one key.
//
// The state of a node is the set of positions in the key at which it may stand:
// bit i says that the words before the i-th can be used up on the way to it. A
// literal word leads on from the positions where the key has that word, a star
// from any, and '#' to every position from the first on. So each node is
// visited at most once, however many ways lead through its stars and hashes,
// and a visit costs one step per 64 words of the key.
type matcher struct {
	words   []word  // of the key
	classes []class // the distinct ones among them
	end     uint64  // the bit behind the last word, in keys of up to 63 words

	// For longer keys:
	width  int        // uint64s in a set of positions
	masks  []uint64   // of the classes, width each
	table  []uint32   // classes by sum, plus one
	states [][]uint64 // one set for each step of the way
}

type word struct {
	text  string
	sum   uint64
	class int
}

// A class is a word of the key with all its positions.
type class struct {
	text string
	sum  uint64
	at   uint64 // positions, in keys of up to 63 words
}

// narrow is the number of words up to which a set of positions is one uint64.
const narrow = 63

func (r *Router) match(root *node, key []byte, dst []Dest) []Dest {
	m := &r.topic
	m.split(key)
	if len(m.words) <= narrow {
		m.classify()
		m.end = 1 << len(m.words)
		dst = r.visit(root, 1, dst)
	} else {
		m.classifyLong()
		start := m.state(0)
		clear(start)
		start[0] = 1
		dst = r.visitLong(root, 0, dst)
	}
	m.forget()
	return dst
}

// split cuts the key into words that alias it.
func (m *matcher) split(key []byte) {
	m.words = m.words[:0]
	if len(key) == 0 {
		return
	}
	rest := unsafe.String(unsafe.SliceData(key), len(key))
	for {
		i := bytes.IndexByte(key, '.')
		if i < 0 {
			m.words = append(m.words, word{text: rest, sum: pmap.Sum(rest)})
			return
		}
		m.words = append(m.words, word{text: rest[:i], sum: pmap.Sum(rest[:i])})
		rest, key = rest[i+1:], key[i+1:]
	}
}

func (m *matcher) classify() {
	m.classes = m.classes[:0]
	for i := range m.words {
		w := &m.words[i]
		w.class = len(m.classes)
		for c := range m.classes {
			if m.classes[c].sum == w.sum && m.classes[c].text == w.text {
				w.class = c
				break
			}
		}
		if w.class == len(m.classes) {
			m.classes = append(m.classes, class{text: w.text, sum: w.sum})
		}
		m.classes[w.class].at |= 1 << i
	}
}

// visit walks on from a node that stands at the positions at.
func (r *Router) visit(n *node, at uint64, dst []Dest) []Dest {
	m := &r.topic
	if at&m.end != 0 && n.dests.Len() > 0 {
		dst = r.addAll(dst, n.dests)
	}
	if n.loop != nil {
		from := at & -at
		dst = r.visit(n.loop, (m.end<<1-1)&^(from-1), dst)
	}
	at &^= m.end
	if at == 0 {
		return dst
	}
	if n.star != nil {
		dst = r.visit(n.star, at<<1, dst)
	}
	if n.kid == nil && n.words.Len() == 0 {
		return dst
	}
	for left := at; left != 0; {
		c := &m.classes[m.words[bits.TrailingZeros64(left)].class]
		left &^= c.at
		if n.kid != nil {
			if n.wordSum == c.sum && n.word == c.text {
				return r.visit(n.kid, at&c.at<<1, dst)
			}
		} else if kid, ok := n.words.GetSum(c.sum, c.text); ok {
			dst = r.visit(kid, at&c.at<<1, dst)
		}
	}
	return dst
}

// forget lets go of the key, and of memory that only a hostile one needs.
func (m *matcher) forget() {
	clear(m.words)
	clear(m.classes)
	if len(m.words) > 1024 {
		*m = matcher{}
	}
}
