package raftgroup

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/commitlog"
)

// An applyQueue holds committed entries until the machine took them. Raft
// bounds its bytes. Owned by the turn.
type applyQueue struct {
	msgs  []*raftpb.Message // MsgStorageApply
	next  int               // first entry of msgs[0] not yet applied
	batch []commitlog.Entry // scratch
}

func (q *applyQueue) len() int { return len(q.msgs) }

func (q *applyQueue) push(m *raftpb.Message) { q.msgs = append(q.msgs, m) }

func (q *applyQueue) pop() *raftpb.Message {
	m := q.msgs[0]
	n := copy(q.msgs, q.msgs[1:])
	q.msgs[n] = nil
	q.msgs, q.next = q.msgs[:n], 0
	return m
}

// applySome applies entries of the first queued message, up to budget bytes but
// at least one entry, and returns the bytes applied.
func (g *Group) applySome(budget int) int {
	q := &g.applying
	ents := q.msgs[0].Entries
	batch, size := q.batch[:0], 0
	for q.next < len(ents) && size < budget {
		e := ents[q.next]
		g.checkNext(e, len(batch))
		q.next++
		size += int(entrySize(e))
		if e.GetType() != raftpb.EntryNormal {
			// The configuration changes between the entries before and this
			// one, so that a checkpoint cut at either finds the right one.
			g.applyBatch(batch)
			batch = batch[:0]
			g.applyConfChange(e)
			g.applyBatch([]commitlog.Entry{{Index: e.GetIndex(), Term: e.GetTerm()}})
			continue
		}
		batch = append(batch, commitlog.Entry{Index: e.GetIndex(), Term: e.GetTerm(), Data: e.Data})
	}
	g.applyBatch(batch)
	clear(batch)
	q.batch = batch[:0]
	if q.next == len(ents) {
		g.ackApplied(q.pop())
	}
	g.beginLeading()
	return size
}

func (g *Group) checkNext(e *raftpb.Entry, ahead int) {
	if want := g.applied + uint64(ahead) + 1; e.GetIndex() != want {
		panic(fmt.Sprintf("raftgroup: group %d: entry %d committed where %d is next (applied %d)", g.id, e.GetIndex(), want, g.applied))
	}
}

func (g *Group) applyBatch(batch []commitlog.Entry) {
	if len(batch) == 0 {
		return
	}
	last := batch[len(batch)-1]
	g.applied = last.Index
	g.prop.applied(batch)
	g.machine.Apply(batch)
	g.appliedTerm = last.Term
}

// ackApplied tells Raft that a message's entries are applied.
func (g *Group) ackApplied(m *raftpb.Message) {
	ents := m.Entries
	g.view.applied = ents[len(ents)-1].GetIndex()
	for _, r := range m.Responses {
		g.step(r)
	}
	g.trimCache()
}

func (g *Group) trimCache() {
	g.view.cache.trim(min(g.applied, g.view.applied), g.view.first-1, g.host.opts.CacheBytes)
}

// dropApplying gives up what is queued, because a snapshot holds it.
func (g *Group) dropApplying() {
	for g.applying.len() > 0 {
		m := g.applying.pop()
		for _, r := range m.Responses {
			g.step(r)
		}
	}
}

// beginLeading begins the machine's leadership once the no-op of the term is applied:
// the first entry of a leader's term is its no-op.
func (g *Group) beginLeading() {
	if g.role != raft.StateLeader || g.leading || g.appliedTerm != g.hard.Term {
		return
	}
	g.leading, g.leadTerm = true, g.hard.Term
	g.noteConf()
	g.confIndex = g.applied // Raft looks no closer at what came before its no-op
	g.machine.Lead(g.leadTerm)
}
