// Package commitlog is the seam between a log and the pure machine it feeds.
// A log is a Raft group (cluster/raftgroup) or the memory of one node (Memory);
// the machine cannot tell which.
//
// All methods of a Machine, and the Proposer it is handed, are used inside one
// turn at a time; whoever runs the turn owns the machine.
package commitlog

import "time"

// An Entry is a committed entry. Data is immutable and may be kept; it is empty
// for the no-op with which a leader begins its term.
type Entry struct {
	Index, Term uint64
	Data        []byte
}

// A Machine consumes committed entries and, while it leads, proposes new ones.
type Machine interface {
	// Apply performs committed entries, in index order, each exactly once per
	// life of the machine.
	Apply(ents []Entry)
	// Lead says that this node leads in term and has applied the no-op of its
	// own term: from now on Turn may propose.
	Lead(term uint64)
	// Follow says that this node stopped leading; leader is 0 when unknown.
	// Entries proposed but not applied have an unknown outcome.
	Follow(term, leader uint64)
	// Turn is called once a turn, after Apply. now is monotonic.
	Turn(now time.Duration, p Proposer)
}

// A Proposer takes proposals during a turn.
type Proposer interface {
	// Leading reports whether proposals are taken, and in which term.
	Leading() (term uint64, ok bool)
	// Propose appends data as the next entry and returns its index. The log
	// owns data from then on. ok is false when the proposal was dropped:
	// nothing of it will ever be applied.
	Propose(data []byte) (index uint64, ok bool)
	// InFlight returns the entries and bytes proposed and not yet applied.
	InFlight() (entries, bytes int)
}
