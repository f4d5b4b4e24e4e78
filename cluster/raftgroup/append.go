package raftgroup

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/storage"
)

// An appendOp is one append on its way to the disk and what waits for it.
type appendOp struct {
	g      *Group
	append storage.Append
	last   uint64           // the log's last index behind it; 0 if it holds no entries
	snap   *raftpb.Snapshot // set if it starts the log anew behind a snapshot
	one    [1]Message       // scratch of finished

	// Guarded by g.mu.
	responses  []*raftpb.Message // delivered after the sync
	done       bool              // synced
	installing bool
	installed  bool
}

// store submits what Raft wants stored. Entries, snapshots, votes and terms are
// synced and the responses wait for that. A commit index alone is not worth a
// sync, nor a write of its own: it goes with the next append, or the next tick.
func (g *Group) store(m *raftpb.Message, hard bool) {
	voted := g.hard.Term != g.voted.Term || g.hard.Vote != g.voted.Vote
	if len(m.Entries) == 0 && m.Snapshot == nil && !voted {
		g.commitOnly = g.commitOnly || hard
		g.respond(m.Responses)
		return
	}
	op := &appendOp{g: g, responses: m.Responses, snap: m.Snapshot}
	op.append.Group = g.id
	op.append.Done = op.finished
	if s := m.Snapshot; s != nil {
		index, term := s.GetMetadata().GetIndex(), s.GetMetadata().GetTerm()
		op.append.Reset = &storage.Reset{Index: index, Term: term}
		g.view.cache.reset(index + 1)
		if n := len(m.Entries); n > 0 {
			g.view.cache.append(m.Entries)
		}
		g.tail = index
	}
	if n := len(m.Entries); n > 0 {
		op.append.Entries = storedEntries(m.Entries)
		op.last = m.Entries[n-1].GetIndex()
		g.tail = op.last
	}
	if hard || g.commitOnly {
		op.append.State, op.append.HasState = g.hard, true
		g.voted, g.commitOnly = g.hard, false
	}
	g.mu.Lock()
	g.mu.ops = append(g.mu.ops, op)
	if op.snap != nil {
		g.mu.install++
	}
	g.mu.Unlock()
	if plant.Is(plant.ConfirmBeforeSync) {
		op.append.Done = nil
		defer op.finished()
	}
	g.host.opts.Log.Submit(&op.append)
}

func storedEntries(ents []*raftpb.Entry) []storage.Entry {
	out := make([]storage.Entry, len(ents))
	for i, e := range ents {
		out[i] = storage.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Kind: uint8(e.GetType()), Data: e.Data}
	}
	return out
}

// flushCommit writes a commit index that waited for company, unsynced.
func (g *Group) flushCommit() {
	if !g.commitOnly {
		return
	}
	g.commitOnly = false
	g.voted = g.hard
	g.host.opts.Log.Submit(&storage.Append{Group: g.id, State: g.hard, HasState: true, Lazy: true})
}

// respond delivers responses that need no write of their own, as soon as
// everything submitted before them is synced.
func (g *Group) respond(responses []*raftpb.Message) {
	if len(responses) == 0 {
		return
	}
	g.mu.Lock()
	if n := len(g.mu.ops); n > 0 {
		op := g.mu.ops[n-1]
		op.responses = append(op.responses, responses...)
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	for _, m := range responses {
		g.deliverResponse(m)
	}
}

// deliverResponse hands a response whose writes are synced to whom it is for.
func (g *Group) deliverResponse(m *raftpb.Message) {
	if m.GetTo() == g.host.opts.NodeID {
		g.local = append(g.local, m)
		return
	}
	g.out = append(g.out[:0], Message{Group: g.id, Raft: m})
	g.host.opts.Transport.Send(m.GetTo(), g.out)
	g.out[0] = Message{}
}

// finished is the append's Done: it is called on the log writer's goroutine
// after the sync. Peers get their answers at once, the rest is the turn's. With
// one voter that turn runs here.
func (op *appendOp) finished() {
	g := op.g
	g.mu.Lock()
	op.done = true
	var remote []*raftpb.Message
	if g.mu.install == 0 { // else answers to peers wait for the snapshot before them
		remote = op.splitRemote(g.host.opts.NodeID)
	}
	stopped := g.mu.stopped
	if stopped {
		g.popStopped(op)
	}
	last := stopped && len(g.mu.ops) == 0
	g.mu.Unlock()
	for _, m := range remote {
		op.one[0] = Message{Group: g.id, Raft: m}
		g.host.opts.Transport.Send(m.GetTo(), op.one[:])
	}
	op.one[0] = Message{}
	switch {
	case last:
		g.host.forget(g)
	case g.solo.Load():
		g.TryTurn()
	default:
		g.Wake()
	}
}

// splitRemote takes the responses for peers out of the op. g.mu is held.
func (op *appendOp) splitRemote(self uint64) []*raftpb.Message {
	n := 0
	for _, m := range op.responses {
		if m.GetTo() != self {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case len(op.responses):
		remote := op.responses
		op.responses = nil
		return remote
	}
	remote := make([]*raftpb.Message, 0, n)
	own := op.responses[:0:0]
	for _, m := range op.responses {
		if m.GetTo() != self {
			remote = append(remote, m)
		} else {
			own = append(own, m)
		}
	}
	op.responses = own
	return remote
}

// popStopped removes an append of a closed group. g.mu is held.
func (g *Group) popStopped(op *appendOp) {
	for i := range g.mu.ops {
		if g.mu.ops[i] == op {
			g.mu.ops = slices.Delete(g.mu.ops, i, i+1)
			return
		}
	}
}

// endAppends processes synced appends in order. A snapshot holds up what is
// behind it until it is installed.
func (g *Group) endAppends() {
	for {
		g.mu.Lock()
		if len(g.mu.ops) == 0 || !g.mu.ops[0].done {
			g.mu.Unlock()
			return
		}
		op := g.mu.ops[0]
		if op.snap != nil && !op.installed {
			begun := op.installing
			op.installing = true
			g.mu.Unlock()
			if begun {
				return
			}
			g.install(op)
			continue
		}
		n := copy(g.mu.ops, g.mu.ops[1:])
		g.mu.ops[n] = nil
		g.mu.ops = g.mu.ops[:n]
		if op.snap != nil {
			g.mu.install--
		}
		g.mu.Unlock()
		g.endAppend(op)
	}
}

func (g *Group) endAppend(op *appendOp) {
	if op.snap != nil {
		g.installed(op.snap)
	}
	if op.last != 0 {
		g.view.last = op.last
	}
	if g.view.last+1 < g.view.first {
		panic(fmt.Sprintf("raftgroup: group %d: log [%d, %d] after an append ending at %d", g.id, g.view.first, g.view.last, op.last))
	}
	for _, m := range op.responses {
		if m.GetTo() == g.host.opts.NodeID {
			g.step(m)
		} else {
			g.deliverResponse(m)
		}
	}
}

var _ raft.Storage = (*view)(nil)
