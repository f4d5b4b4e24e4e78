package commitlog

import (
	"fmt"
	"time"
)

// A Log feeds one machine. Group of cluster/raftgroup and Memory are logs.
type Log interface {
	// TryTurn does the work there is on the caller's goroutine. If another
	// goroutine is at it, it returns false at once and that one goes on.
	TryTurn() bool
	// Close ends the log; no method of the machine is called afterwards. It
	// must not be called inside a turn.
	Close()
}

// memoryTerm is the only term of a Memory.
const memoryTerm = 1

// Memory is the log of a machine that lives on one node and dies with it: what
// is proposed is committed at once. It has no goroutine; turns run on the
// goroutines that call TryTurn.
type Memory struct {
	machine Machine
	now     func() time.Duration
	token   Token
	closing chan struct{} // one slot: Close asks for the last turn
	closed  chan struct{} // closed by the last turn

	// Owned by the turn.
	last    uint64
	pending []Entry
	batch   []Entry // the other of the two slices
	bytes   int
	open    bool // inside Machine.Turn
}

// NewMemory returns the log of a machine. now is the monotonic clock handed to
// its turns. The machine leads from the first turn on.
func NewMemory(m Machine, now func() time.Duration) *Memory {
	return &Memory{machine: m, now: now, closing: make(chan struct{}, 1), closed: make(chan struct{})}
}

// TryTurn implements Log.
func (l *Memory) TryTurn() bool {
	if !l.token.Take() {
		return false
	}
	for {
		select {
		case <-l.closing:
			l.token.Finish()
			close(l.closed)
			return true
		default:
		}
		l.turn()
		if len(l.pending) == 0 && !l.token.Release() {
			return true
		}
	}
}

// turn applies what the last turn proposed and lets the machine propose.
func (l *Memory) turn() {
	if l.last == 0 {
		l.last = 1
		l.machine.Apply([]Entry{{Index: 1, Term: memoryTerm}})
		l.machine.Lead(memoryTerm)
	}
	if batch := l.pending; len(batch) > 0 {
		l.pending, l.bytes = l.batch[:0], 0
		l.machine.Apply(batch)
		clear(batch)
		l.batch = batch
	}
	l.open = true
	l.machine.Turn(l.now(), memoryProposer{l})
	l.open = false
}

// Close implements Log.
func (l *Memory) Close() {
	select {
	case l.closing <- struct{}{}:
	case <-l.closed:
		return
	default: // somebody else closes it
	}
	l.TryTurn()
	<-l.closed
}

// memoryProposer is what the machine proposes through.
type memoryProposer struct{ l *Memory }

// Leading implements Proposer.
func (p memoryProposer) Leading() (uint64, bool) { return memoryTerm, true }

// InFlight implements Proposer.
func (p memoryProposer) InFlight() (entries, bytes int) { return len(p.l.pending), p.l.bytes }

// Propose implements Proposer.
func (p memoryProposer) Propose(data []byte) (uint64, bool) {
	l := p.l
	if !l.open || len(data) == 0 {
		panic(fmt.Sprintf("commitlog: Propose of %d bytes (inside Turn: %v)", len(data), l.open))
	}
	l.last++
	l.pending = append(l.pending, Entry{Index: l.last, Term: memoryTerm, Data: data})
	l.bytes += len(data)
	return l.last, true
}
