package transport

import (
	"bytes"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// encodeRaft returns a message's frame payload.
func encodeRaft(group uint64, m *raftpb.Message) []byte {
	c := &chunk{}
	putRaft(c, group, m)
	return flatten(c)[frameHead:]
}

// flatten is what the socket gets.
func flatten(c *chunk) []byte {
	var out []byte
	from := 0
	for _, r := range c.refs {
		out = append(append(out, c.text[from:r.at]...), r.body...)
		from = r.at
	}
	return append(out, c.text[from:]...)
}

// filled gives a message every value that a decoded one has.
func filled(m *raftpb.Message, from, to uint64) *raftpb.Message {
	out := &raftpb.Message{
		Type: new(m.GetType()), From: &from, To: &to, Term: new(m.GetTerm()), LogTerm: new(m.GetLogTerm()), Index: new(m.GetIndex()),
		Commit: new(m.GetCommit()), Vote: new(m.GetVote()), Reject: new(m.GetReject()), RejectHint: new(m.GetRejectHint()),
	}
	if len(m.Context) > 0 {
		out.Context = m.Context
	}
	if s := m.Snapshot; s != nil {
		out.Snapshot = &raftpb.Snapshot{Data: s.Data, Metadata: raftpb.EnsureSnapshotMetadata(proto.Clone(s.GetMetadata()).(*raftpb.SnapshotMetadata))}
		if out.Snapshot.Data == nil {
			out.Snapshot.Data = []byte{}
		}
	}
	for _, e := range m.Entries {
		f := &raftpb.Entry{Type: new(e.GetType()), Term: new(e.GetTerm()), Index: new(e.GetIndex())}
		if len(e.Data) > 0 {
			f.Data = e.Data
		}
		out.Entries = append(out.Entries, f)
	}
	return out
}

var sentTypes = []raftpb.MessageType{
	raftpb.MsgApp, raftpb.MsgSnap, raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgVote, raftpb.MsgVoteResp,
	raftpb.MsgPreVote, raftpb.MsgPreVoteResp, raftpb.MsgAppResp, raftpb.MsgTimeoutNow,
	raftpb.MsgReadIndex, raftpb.MsgReadIndexResp,
}

func drawMessage(t *rapid.T) *raftpb.Message {
	num := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1, 300), rapid.Uint64())
	opt := func(name string) *uint64 {
		if v := num.Draw(t, name); v != 0 {
			return &v
		}
		return nil
	}
	m := &raftpb.Message{
		Type: new(rapid.SampledFrom(sentTypes).Draw(t, "type")), Term: opt("term"), LogTerm: opt("logTerm"), Index: opt("index"),
		Commit: opt("commit"), Vote: opt("vote"), RejectHint: opt("hint"), Context: rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "context"),
	}
	if rapid.Bool().Draw(t, "reject") {
		m.Reject = new(true)
	}
	for range rapid.IntRange(0, 5).Draw(t, "entries") {
		size := rapid.SampledFrom([]int{0, 1, 100, copyBelow - 1, copyBelow, copyBelow + 1}).Draw(t, "size")
		m.Entries = append(m.Entries, &raftpb.Entry{
			Type: new(raftpb.EntryType(rapid.IntRange(0, 2).Draw(t, "kind"))), Term: opt("entry term"), Index: opt("entry index"),
			Data: bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, size),
		})
	}
	if rapid.Bool().Draw(t, "snapshot") {
		ids := rapid.SliceOfN(rapid.Uint64(), 0, 4)
		m.Snapshot = &raftpb.Snapshot{
			Data: rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "id"),
			Metadata: &raftpb.SnapshotMetadata{Index: opt("snapshot index"), Term: opt("snapshot term"), ConfState: &raftpb.ConfState{
				Voters: ids.Draw(t, "voters"), Learners: ids.Draw(t, "learners"), VotersOutgoing: ids.Draw(t, "outgoing"), LearnersNext: ids.Draw(t, "next"),
				AutoLeave: new(rapid.Bool().Draw(t, "leave")),
			}},
		}
	}
	return m
}

func TestRaftMessagesComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, group := drawMessage(t), rapid.Uint64().Draw(t, "group")
		gotGroup, got, _, err := getRaft(encodeRaft(group, m), 8, 9)
		if err != nil {
			t.Fatal(err)
		}
		if want := filled(m, 8, 9); gotGroup != group || !proto.Equal(got, want) {
			t.Fatalf("group %d: %v\nwant %d: %v", gotGroup, got, group, want)
		}
	})
}

// A message that is not sent between nodes would make a node do what its peer
// has no say in.
func TestLocalMessagesAreRefused(t *testing.T) {
	sent := map[raftpb.MessageType]bool{}
	for _, typ := range sentTypes {
		sent[typ] = true
	}
	for n := range raftpb.MessageType_name {
		typ := raftpb.MessageType(n)
		_, _, _, err := getRaft(encodeRaft(1, message(typ, 1, 2)), 1, 2)
		if (err == nil) != sent[typ] {
			t.Errorf("%v: %v", typ, err)
		}
	}
	if _, _, _, err := getRaft([]byte{1, 200, 0}, 1, 2); err == nil {
		t.Error("a type that does not exist")
	}
}

func TestEntriesShareTheFrame(t *testing.T) {
	b := encodeRaft(1, appendMessage(1, 2, 4, []byte("one"), []byte("two")))
	_, m, lent, err := getRaft(b, 1, 2)
	if err != nil || !lent {
		t.Fatal(lent, err)
	}
	at := bytes.Index(b, []byte("two"))
	b[at] = 'T'
	if string(m.Entries[1].Data) != "Two" {
		t.Fatal("the entry was copied")
	}
	if data := m.Entries[0].Data; cap(data) != len(data) {
		t.Fatal("an append to an entry would write into the next")
	}
}

func FuzzRaftMessage(f *testing.F) {
	f.Add(encodeRaft(1, message(raftpb.MsgHeartbeat, 1, 2)))
	f.Add(encodeRaft(300, appendMessage(1, 2, 4, []byte("one"), nil)))
	snap := message(raftpb.MsgSnap, 1, 2)
	snap.Snapshot = &raftpb.Snapshot{Data: []byte("id"), Metadata: &raftpb.SnapshotMetadata{Index: new(uint64(9)), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2}}}}
	f.Add(encodeRaft(1, snap))
	f.Fuzz(func(t *testing.T, b []byte) {
		group, m, _, err := getRaft(b, 1, 2)
		if err != nil {
			return
		}
		again, back, _, err := getRaft(encodeRaft(group, m), 1, 2)
		if err != nil || again != group || !proto.Equal(m, back) {
			t.Fatalf("%v\nbecame %v, %v", m, back, err)
		}
	})
}
