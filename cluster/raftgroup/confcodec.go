package raftgroup

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/storage"
)

// A group's configuration beside a checkpoint: a version, then the four lists
// of node ids, each with its length in front, then whether a joint
// configuration is left by itself; all varints.
const confVersion = 1

// AppendConf encodes the group's configuration as of the last entry the machine
// was given; ParseConf reads it. It must be called inside a turn.
func (g *Group) AppendConf(dst []byte) []byte { return AppendConf(dst, g.conf) }

// AppendConf encodes a configuration.
func AppendConf(dst []byte, c *raftpb.ConfState) []byte {
	dst = append(dst, confVersion)
	for _, ids := range [...][]uint64{c.GetVoters(), c.GetLearners(), c.GetVotersOutgoing(), c.GetLearnersNext()} {
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		for _, id := range ids {
			dst = binary.AppendUvarint(dst, id)
		}
	}
	if c.GetAutoLeave() {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// ParseConf reads what AppendConf wrote; nothing means nil.
func ParseConf(b []byte) (*raftpb.ConfState, error) {
	if len(b) == 0 {
		return nil, nil
	}
	bad := fmt.Errorf("%w: configuration of a group", storage.ErrDamaged)
	if b[0] != confVersion {
		return nil, bad
	}
	b = b[1:]
	next := func() (v uint64, ok bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	var lists [4][]uint64
	for i := range lists {
		n, ok := next()
		if !ok || n > uint64(len(b)) {
			return nil, bad
		}
		for range n {
			id, ok := next()
			if !ok {
				return nil, bad
			}
			lists[i] = append(lists[i], id)
		}
	}
	if len(b) != 1 {
		return nil, bad
	}
	auto := b[0] == 1
	return &raftpb.ConfState{Voters: lists[0], Learners: lists[1], VotersOutgoing: lists[2], LearnersNext: lists[3], AutoLeave: &auto}, nil
}
