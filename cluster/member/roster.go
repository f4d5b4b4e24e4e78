package member

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/warrenmq/warren/core/catalog"
)

// A Conf is one configuration of the catalog's Raft group.
type Conf struct {
	// Index is an index of the log at which it held: that of the entry that made
	// it, or a later one, but before the next change. So it orders
	// configurations; two nodes may give one configuration different ones.
	Index uint64
	// Voters decide; while the group goes from one set to another, a majority
	// of Outgoing is needed as well.
	Voters, Outgoing []uint64
	// Learners hold the catalog without deciding. Beats go to some, so that one
	// that becomes a voter has already answered.
	Learners []uint64
}

// A Member is a node of the cluster, as the catalog has it.
type Member struct {
	Node        uint64
	Name        string
	Incarnation uint64 // the live one, or zero
}

// A Roster is what this node's View and its replica of the catalog's group say.
type Roster struct {
	Members []Member // by node
	Conf    Conf
}

// RosterOf takes from a View what a Machine needs.
func RosterOf(v *catalog.View, conf Conf) Roster {
	r := Roster{Conf: conf}
	for n := range v.Nodes() {
		r.Members = append(r.Members, Member{Node: n.ID, Name: n.Name, Incarnation: n.Incarnation})
	}
	slices.SortFunc(r.Members, func(a, b Member) int {
		if a.Node < b.Node {
			return -1
		}
		return 1
	})
	return r
}

// A Leader is the leader of the catalog's group as far as this node knows. Node
// is zero when none is known; it is this node only when that has applied an
// entry of its own term.
type Leader struct {
	Node, Term uint64
}

// maxTargets is how many nodes get beats, unless the voters are more.
const maxTargets = 5

// targets appends the nodes that a node beats to, itself excepted.
func (c *Conf) targets(self uint64, out []uint64) []uint64 {
	for _, set := range [][]uint64{c.Voters, c.Outgoing} {
		for _, id := range set {
			if id != self && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	for _, id := range c.Learners {
		if len(out) < maxTargets && id != self && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// sum tells sets of voters apart, whatever the Index.
func (c *Conf) sum() uint64 {
	h := fnv.New64a()
	var buf [8]byte
	for _, set := range [][]uint64{c.Voters, c.Outgoing} {
		ids := slices.Clone(set)
		slices.Sort(ids)
		for _, id := range append(ids, 0) {
			binary.BigEndian.PutUint64(buf[:], id)
			_, _ = h.Write(buf[:]) // a hash takes everything
		}
	}
	return h.Sum64()
}

// voter reports whether a node takes part in decisions.
func (c *Conf) voter(id uint64) bool {
	return slices.Contains(c.Voters, id) || slices.Contains(c.Outgoing, id)
}

// majority reports whether the nodes for which in holds are a majority of each set.
func (c *Conf) majority(in func(id uint64) bool) bool {
	return len(c.Voters) > 0 && most(c.Voters, in) && (len(c.Outgoing) == 0 || most(c.Outgoing, in))
}

func most(set []uint64, in func(id uint64) bool) bool {
	n := 0
	for _, id := range set {
		if in(id) {
			n++
		}
	}
	return n > len(set)/2
}
