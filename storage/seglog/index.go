package seglog

import "github.com/warrenmq/warren/storage"

// A loc is where an entry's record lies. seq 0: the entry was lost.
type loc struct {
	term uint64
	seq  uint64
	off  uint32
	len  uint32 // of the data
}

func (l loc) size() int64 { return recordSize(int(l.len)) }

// A group is the index of one group. What readers see is guarded by Log.mu;
// the writer alone changes it, but for Compact.
type group struct {
	id        uint64
	live      bool // begun, and not dropped
	first     uint64
	firstTerm uint64
	ents      ring[loc]
	state     storage.HardState
	damaged   bool
	truncated bool // Compact moved first; the next drain records it
	recent    recentData
	bytes     int64 // of the records of ents

	// The writer's own: what it has encoded, perhaps not yet published.
	ord     uint32 // ordinal of the last record
	born    bool   // there is a record of this life
	tail    uint64 // last index
	floor   uint64 // last index given up
	hasHS   bool
	hsSeg   uint64 // segment of the latest HARDSTATE
	baseSeg uint64 // segment of the latest TRUNCATE or RESET
	dmgSeg  uint64 // segment of the latest DAMAGED
}

func newGroup(id uint64) *group { return &group{id: id, first: 1} }

func (g *group) last() uint64 { return g.first + uint64(g.ents.n) - 1 }

func (g *group) bounds() storage.GroupState {
	return storage.GroupState{
		Group: g.id, State: g.state, Damaged: g.damaged,
		First: g.first, FirstTerm: g.firstTerm, Last: g.last(),
	}
}

// loc returns the place of an entry in [first, last].
func (g *group) loc(index uint64) *loc { return g.ents.at(int(index - g.first)) }

// reset begins the group's log anew behind (index, term).
func (l *Log) reset(g *group, index, term uint64) {
	l.cutFront(g, g.last())
	g.first, g.firstTerm = index+1, term
}

// truncate gives up the entries up to and including index.
func (l *Log) truncate(g *group, index, term uint64) {
	l.cutFront(g, index)
	g.first, g.firstTerm = index+1, term
}

func (l *Log) cutFront(g *group, index uint64) {
	for g.ents.n > 0 && g.first <= index {
		l.addLive(g, g.ents.at(0), -1)
		g.ents.popFront()
		g.first++
	}
	l.recent.cutFront(g, index)
}

// add makes at the entry index, in place of it and everything behind it.
func (l *Log) add(g *group, index uint64, at loc) {
	l.recent.cutBack(g, index)
	for g.ents.n > 0 && g.last() >= index {
		l.addLive(g, g.ents.at(g.ents.n-1), -1)
		g.ents.popBack()
	}
	g.ents.push(at)
	l.addLive(g, &at, 1)
}

// addLive accounts an entry to its group and segment, or takes it off.
func (l *Log) addLive(g *group, at *loc, sign int64) {
	if at.seq != 0 {
		l.segment(at.seq).live += sign * at.size()
		g.bytes += sign * at.size()
	}
}
