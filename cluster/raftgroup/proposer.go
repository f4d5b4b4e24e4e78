package raftgroup

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/warrenmq/warren/commitlog"
)

// A proposer is what the machine proposes through. Owned by the turn.
//
// Raft clones what it is proposed, payload and all. So it is proposed an entry
// without payload, and the payloads wait in pending until the clones come out
// of the next Ready, which is before anybody else sees them. One message and
// one entry serve all proposals.
type proposer struct {
	g     *Group
	msg   raftpb.Message
	entry raftpb.Entry
	open  bool // inside Machine.Turn

	pending [][]byte // payloads of the entries behind g.tail

	// What was proposed in the term led and is not yet applied.
	entries, bytes int
	sizes          sizes
}

func (p *proposer) init(g *Group) {
	p.g = g
	p.entry.Type = raftpb.EntryNormal.Enum()
	p.msg.Type = raftpb.MsgProp.Enum()
	p.msg.From = new(g.host.opts.NodeID)
	p.msg.Entries = []*raftpb.Entry{&p.entry}
}

// Leading implements commitlog.Proposer.
func (p *proposer) Leading() (uint64, bool) { return p.g.leadTerm, p.g.leading }

// InFlight implements commitlog.Proposer.
func (p *proposer) InFlight() (entries, bytes int) { return p.entries, p.bytes }

// Propose implements commitlog.Proposer.
func (p *proposer) Propose(data []byte) (uint64, bool) {
	g := p.g
	if !p.open || len(data) == 0 {
		panic(fmt.Sprintf("raftgroup: group %d: Propose of %d bytes (inside Turn: %v)", g.id, len(data), p.open))
	}
	if !g.leading || p.bytes > 0 && p.bytes+len(data) > g.host.opts.MaxUncommittedBytes {
		return 0, false
	}
	if err := g.rn.Step(&p.msg); err != nil {
		return 0, false // dropped: leadership is being transferred, or was just lost
	}
	p.pending = append(p.pending, data)
	p.entries++
	p.bytes += len(data)
	return g.tail + uint64(len(p.pending)), true
}

// applied counts down what was in flight. Entries of the term this node leads
// are its own.
func (p *proposer) applied(batch []commitlog.Entry) {
	if !p.g.leading {
		return
	}
	for i := range batch {
		if n := len(batch[i].Data); n > 0 && batch[i].Term == p.g.leadTerm {
			p.entries--
			p.bytes -= n
		}
	}
}

// forget starts counting anew.
func (p *proposer) forget() {
	p.entries, p.bytes = 0, 0
	p.sizes.reset()
}

// attach gives the entries proposed in this turn their payloads. They are the
// last ones that came out of Raft.
func (g *Group) attach(ents []*raftpb.Entry) bool {
	p := &g.prop
	if len(p.pending) == 0 {
		return false
	}
	first := len(ents) - len(p.pending)
	for i, data := range p.pending {
		if first < 0 || ents[first+i].GetIndex() != g.tail+1+uint64(i) || len(ents[first+i].Data) != 0 {
			panic(fmt.Sprintf("raftgroup: group %d: %d proposals behind %d, Raft returned %d entries", g.id, len(p.pending), g.tail, len(ents)))
		}
		ents[first+i].Data = data
		p.sizes.add(g.tail+1+uint64(i), len(data))
	}
	clear(p.pending)
	p.pending = p.pending[:0]
	return true
}

// limitInflight holds the bytes on their way to a peer to MaxInflightBytes.
// Raft counted the proposals of this turn as empty. A peer beyond the limit is
// sent nothing now and probed instead; when it answers Raft resumes behind what
// it acknowledged, and knows the sizes then.
func (g *Group) limitInflight(msgs []*raftpb.Message) {
	limit := g.host.opts.MaxInflightBytes
	if len(msgs) == 0 || g.prop.sizes.total() <= limit {
		return
	}
	for _, m := range msgs {
		if m == nil || m.GetType() != raftpb.MsgApp || len(m.Entries) == 0 {
			continue
		}
		to := m.GetTo()
		if p, ok := g.progress(to); !ok || p.State != tracker.StateReplicate || g.prop.sizes.between(p.Match, p.Next-1) <= limit {
			continue
		}
		for i, other := range msgs {
			if other != nil && other.GetTo() == to && other.GetType() == raftpb.MsgApp {
				msgs[i] = nil
			}
		}
		g.rn.ReportUnreachable(to)
	}
}
