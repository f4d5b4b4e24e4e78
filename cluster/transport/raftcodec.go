package transport

import (
	"encoding/binary"
	"errors"

	"go.etcd.io/raft/v3/raftpb"
)

// A Raft message in a frame:
//
//	group uvarint | type byte | fields uvarint | those fields that are not zero
//
// in the order of the bits below; numbers are uvarints. Sender and receiver are
// not in it: they are the connection's, so that a node cannot speak for another.
const (
	hasTerm = 1 << iota
	hasLogTerm
	hasIndex
	hasCommit
	hasVote
	hasReject // its bit is its value
	hasRejectHint
	hasContext
	hasSnapshot
	hasEntries

	allFields = 1<<iota - 1
)

const (
	minEntry   = 4        // bytes of an entry at least
	maxContext = 64 << 10 // bytes of a message's context, and of a snapshot's id
)

// errNotSent is returned for a message that nodes do not send each other.
var errNotSent = errors.New("transport: not a message between nodes")

// putRaft appends a message's frame to the chunk. Entries' data is referenced.
func putRaft(c *chunk, group uint64, m *raftpb.Message) int {
	at, refs := c.begin(typeRaft), len(c.refs)
	b := binary.AppendUvarint(c.text, group)
	b = append(b, byte(m.GetType())) //nolint:gosec // types are few
	fields := raftFields(m)
	b = binary.AppendUvarint(b, fields)
	for _, v := range [...]uint64{m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetVote(), m.GetRejectHint()} {
		if v != 0 {
			b = binary.AppendUvarint(b, v)
		}
	}
	if fields&hasContext != 0 {
		b = appendBytes(b, m.Context)
	}
	if fields&hasSnapshot != 0 {
		b = appendSnapshot(b, m.Snapshot)
	}
	c.text = b
	if fields&hasEntries != 0 {
		c.text = binary.AppendUvarint(c.text, uint64(len(m.Entries)))
		for _, e := range m.Entries {
			putEntry(c, e)
		}
	}
	return c.end(at, refs)
}

func raftFields(m *raftpb.Message) (f uint64) {
	set := func(is bool, bit uint64) {
		if is {
			f |= bit
		}
	}
	set(m.GetTerm() != 0, hasTerm)
	set(m.GetLogTerm() != 0, hasLogTerm)
	set(m.GetIndex() != 0, hasIndex)
	set(m.GetCommit() != 0, hasCommit)
	set(m.GetVote() != 0, hasVote)
	set(m.GetReject(), hasReject)
	set(m.GetRejectHint() != 0, hasRejectHint)
	set(len(m.Context) != 0, hasContext)
	set(m.Snapshot != nil, hasSnapshot)
	set(len(m.Entries) != 0, hasEntries)
	return f
}

func putEntry(c *chunk, e *raftpb.Entry) {
	c.text = append(c.text, byte(e.GetType())) //nolint:gosec // types are few
	c.text = binary.AppendUvarint(c.text, e.GetTerm())
	c.text = binary.AppendUvarint(c.text, e.GetIndex())
	c.text = binary.AppendUvarint(c.text, uint64(len(e.Data)))
	c.body(e.Data)
}

func appendSnapshot(b []byte, s *raftpb.Snapshot) []byte {
	meta := s.GetMetadata()
	b = binary.AppendUvarint(b, meta.GetIndex())
	b = binary.AppendUvarint(b, meta.GetTerm())
	conf := meta.GetConfState()
	leave := byte(0)
	if conf.GetAutoLeave() {
		leave = 1
	}
	b = append(b, leave)
	for _, ids := range [...][]uint64{conf.GetVoters(), conf.GetLearners(), conf.GetVotersOutgoing(), conf.GetLearnersNext()} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = binary.BigEndian.AppendUint64(b, id)
		}
	}
	return appendBytes(b, s.GetData())
}

// raftMessage is a message and what its pointers point to.
type raftMessage struct {
	m                                                        raftpb.Message
	typ                                                      raftpb.MessageType
	to, from, term, logTerm, index, commit, vote, rejectHint uint64
	reject                                                   bool
}

// raftEntry is an entry and what its pointers point to.
type raftEntry struct {
	e           raftpb.Entry
	typ         raftpb.EntryType
	term, index uint64
}

// oneEntry is the commonest case in one allocation.
type oneEntry struct {
	entry raftEntry
	list  [1]*raftpb.Entry
}

// getRaft decodes a frame. Entries' data, context and snapshot id stay in b;
// lent reports whether there is any.
func getRaft(b []byte, from, to uint64) (group uint64, m *raftpb.Message, lent bool, err error) {
	s := scan{b: b}
	group = s.uvarint()
	r := &raftMessage{typ: raftpb.MessageType(s.byte()), to: to, from: from}
	fields := s.uvarint()
	if fields > allFields {
		s.fault()
	}
	r.link()
	for _, v := range [...]struct {
		bit uint64
		to  *uint64
	}{
		{hasTerm, &r.term},
		{hasLogTerm, &r.logTerm},
		{hasIndex, &r.index},
		{hasCommit, &r.commit},
		{hasVote, &r.vote},
		{hasRejectHint, &r.rejectHint},
	} {
		if fields&v.bit != 0 {
			*v.to = s.uvarint()
		}
	}
	r.reject = fields&hasReject != 0
	if fields&hasContext != 0 {
		r.m.Context = s.bytes(maxContext)
	}
	if fields&hasSnapshot != 0 {
		r.m.Snapshot = getSnapshot(&s)
	}
	if fields&hasEntries != 0 {
		r.m.Entries = getEntries(&s)
	}
	if err := s.end(); err != nil {
		return 0, nil, false, err
	}
	if !betweenNodes(r.typ) {
		return 0, nil, false, errNotSent
	}
	return group, &r.m, fields&(hasContext|hasSnapshot|hasEntries) != 0, nil
}

// link points the message at its values: all of them, so that nobody meets nil.
func (r *raftMessage) link() {
	r.m.Type, r.m.To, r.m.From, r.m.Term, r.m.LogTerm = &r.typ, &r.to, &r.from, &r.term, &r.logTerm
	r.m.Index, r.m.Commit, r.m.Vote, r.m.RejectHint, r.m.Reject = &r.index, &r.commit, &r.vote, &r.rejectHint, &r.reject
}

func getEntries(s *scan) []*raftpb.Entry {
	n := s.count(minEntry)
	switch n {
	case 0:
		return nil
	case 1:
		one := &oneEntry{}
		one.list[0] = one.entry.get(s)
		return one.list[:]
	}
	all, list := make([]raftEntry, n), make([]*raftpb.Entry, n)
	for i := range all {
		list[i] = all[i].get(s)
	}
	return list
}

func (e *raftEntry) get(s *scan) *raftpb.Entry {
	e.typ = raftpb.EntryType(s.byte())
	e.term, e.index = s.uvarint(), s.uvarint()
	e.e.Type, e.e.Term, e.e.Index = &e.typ, &e.term, &e.index
	if d := s.bytes(maxFrame); len(d) > 0 {
		e.e.Data = d
	}
	return &e.e
}

func getSnapshot(s *scan) *raftpb.Snapshot {
	meta := raftpb.EnsureSnapshotMetadata(nil)
	*meta.Index, *meta.Term = s.uvarint(), s.uvarint()
	leave := s.byte()
	if leave > 1 {
		s.fault()
	}
	*meta.ConfState.AutoLeave = leave == 1
	conf := meta.ConfState
	for _, ids := range [...]*[]uint64{&conf.Voters, &conf.Learners, &conf.VotersOutgoing, &conf.LearnersNext} {
		for range s.count(8) {
			*ids = append(*ids, s.u64())
		}
	}
	return &raftpb.Snapshot{Data: s.bytes(maxContext), Metadata: meta}
}

// betweenNodes reports whether nodes send each other messages of a type.
func betweenNodes(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgApp, raftpb.MsgSnap:
		return true
	}
	return isUrgent(t)
}

// lingers reports whether a message only says that somebody is there. One that
// confirms a read has a context, and does not wait.
func lingers(m *raftpb.Message) bool {
	t := m.GetType()
	return (t == raftpb.MsgHeartbeat || t == raftpb.MsgHeartbeatResp) && len(m.GetContext()) == 0
}

// isUrgent reports whether a message must not queue behind bodies. All of them
// are small.
func isUrgent(t raftpb.MessageType) bool {
	switch t {
	case raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgVote, raftpb.MsgVoteResp,
		raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgAppResp, raftpb.MsgTimeoutNow,
		raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		return true
	}
	return false
}
