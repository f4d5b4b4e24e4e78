package replica

import (
	"encoding/binary"
	"slices"

	"github.com/warrenmq/warren/shard"
)

// Digest returns the index applied last and a digest of everything that entries
// up to there led to. It is equal on replicas at the same index, whatever of
// it came out of a checkpoint. It is to be called inside a turn (Run), or while
// there are none.
func (s *Shard) Digest() (index, digest uint64) {
	var b []byte
	u := func(vs ...uint64) {
		for _, v := range vs {
			b = binary.AppendUvarint(b, v)
		}
	}
	u(uint64(s.stamp))
	for _, q := range s.e.Queues() {
		if q.Logged {
			u(q.ID, q.Revision, ending(q), q.Grant.Node, q.Grant.Incarnation, q.Grant.Consumer, q.Ledger.Digest())
			b = shard.AppendSettings(b, q.Settings)
		}
	}
	b = appendServed(b, s.servedList())
	nodes := make([]uint64, 0, len(s.streams))
	for n := range s.streams {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	for _, n := range nodes {
		sc := s.streams[n].cut(n)
		u(n)
		b = sc.append(b)
	}
	return s.applied, sum(b)
}

// sum is FNV-1a.
func sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
