package raftgroup

import "sort"

// sizes knows how many payload bytes lie between two entries of the term led,
// for the newest of them. Raft cannot tell: it saw the entries without their
// payloads. Owned by the turn.
type sizes struct {
	sums []sizeSum
}

type sizeSum struct{ index, bytes uint64 }

// maxSizes bounds the entries remembered. Raft sends a proposal at once and no
// more than MaxInflightMessages that are not acknowledged, so that what is not
// remembered is not in flight, or was counted by Raft.
const maxSizes = 4096

func (s *sizes) reset() { s.sums = s.sums[:0] }

// add notes the next entry.
func (s *sizes) add(index uint64, bytes int) {
	var sum uint64
	if n := len(s.sums); n > 0 {
		sum = s.sums[n-1].bytes
	}
	if len(s.sums) == maxSizes {
		n := copy(s.sums, s.sums[maxSizes/2:])
		s.sums = s.sums[:n]
	}
	s.sums = append(s.sums, sizeSum{index, sum + uint64(bytes)})
}

// total returns the bytes of all entries remembered.
func (s *sizes) total() uint64 {
	n := len(s.sums)
	if n == 0 {
		return 0
	}
	return s.sums[n-1].bytes - s.sums[0].bytes
}

// between returns the bytes of the entries (after, upTo].
func (s *sizes) between(after, upTo uint64) uint64 {
	return s.upTo(upTo) - s.upTo(after)
}

func (s *sizes) upTo(index uint64) uint64 {
	i := sort.Search(len(s.sums), func(i int) bool { return s.sums[i].index > index })
	switch {
	case i > 0:
		return s.sums[i-1].bytes
	case len(s.sums) > 0:
		return s.sums[0].bytes // forgotten: the first one known stands for all before it
	}
	return 0
}
