package raftgroup

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"go.etcd.io/raft/v3"
)

// readTicks is how long a question for the commit index may go unanswered: the
// network may have lost it.
const readTicks = 5

// reads are questions for the commit index that wait for the leader's answer.
// Owned by the turn.
type reads struct {
	life    [8]byte // chosen by chance: answers to an earlier life of the node are not for this one
	begun   bool
	last    uint64
	waiting []read
}

type read struct {
	id           []byte
	term, leader uint64
	ticks        int
	done         func(index uint64, ok bool)
}

// ReadIndex asks how far the log is committed. done is called inside a turn,
// with an index at or beyond whatever was committed anywhere before the call:
// the leader has confirmed with a majority that it leads. ok is false if that
// could not be learnt, for there is no leader, it changed, or a message was
// lost; the caller may ask again, later.
//
// A node that has applied up to the index has seen all that was answered to
// anybody before the call.
func (g *Group) ReadIndex(done func(index uint64, ok bool)) {
	g.request(func() { g.readIndex(done) })
}

func (g *Group) readIndex(done func(uint64, bool)) {
	if g.lead == raft.None {
		done(0, false)
		return
	}
	r := &g.reads
	if !r.begun {
		r.begun = true
		_, _ = rand.Read(r.life[:]) // it never fails
	}
	r.last++
	id := binary.BigEndian.AppendUint64(nil, g.host.opts.NodeID)
	id = binary.BigEndian.AppendUint64(append(id, r.life[:]...), r.last)
	r.waiting = append(r.waiting, read{id: id, term: g.hard.Term, leader: g.lead, ticks: readTicks, done: done})
	g.rn.ReadIndex(id)
}

// answerReads hands out what Raft says, and gives up what was asked of a leader
// that is none any more.
func (g *Group) answerReads(states []raft.ReadState) {
	for _, rs := range states {
		w := g.reads.waiting
		i := slices.IndexFunc(w, func(r read) bool { return bytes.Equal(r.id, rs.RequestCtx) })
		if i < 0 {
			continue // given up before
		}
		done := w[i].done
		g.reads.waiting = slices.Delete(w, i, i+1)
		done(rs.Index, true)
	}
	g.dropReads(func(r *read) bool { return r.term != g.hard.Term || r.leader != g.lead })
}

// tickReads gives up what has waited too long.
func (g *Group) tickReads(ticks int) {
	g.dropReads(func(r *read) bool {
		r.ticks -= ticks
		return r.ticks <= 0
	})
}

func (g *Group) dropReads(lost func(*read) bool) {
	var gone []read
	kept := g.reads.waiting[:0]
	for i := range g.reads.waiting {
		if r := &g.reads.waiting[i]; lost(r) {
			gone = append(gone, *r)
		} else {
			kept = append(kept, *r)
		}
	}
	clear(g.reads.waiting[len(kept):])
	g.reads.waiting = kept
	for _, r := range gone {
		r.done(0, false)
	}
}

// Alone reports whether this node leads and nobody else has the group: what it
// has applied is all there is.
func (g *Group) Alone() bool { return g.alone.Load() }
