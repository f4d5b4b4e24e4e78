package raftgroup

import "go.etcd.io/raft/v3/raftpb"

// nudge is Wake for what is little work. If nothing else waits for a turn it is
// done here: it costs less than waking a goroutine.
func (g *Group) nudge(inline bool) {
	if !g.token.Mark() {
		return
	}
	if inline {
		g.runTurns(1) // should another be at it, that one does one more
		return
	}
	g.signal()
}

// noNews reports whether a message only says that its sender is there. g.mu is held.
func (g *Group) noNews(m *raftpb.Message) bool {
	st := &g.mu.status
	switch m.GetType() {
	case raftpb.MsgHeartbeat:
		return m.GetTerm() == st.Term && m.GetFrom() == st.Leader && m.GetCommit() <= st.Applied
	case raftpb.MsgHeartbeatResp:
		return m.GetTerm() == st.Term && st.Leading && st.Applied == st.Last
	}
	return false
}
