package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warrenmq/warren/commitlog"
	world "github.com/warrenmq/warren/internal/sim"
)

// ledger is the simplest machine: a list of operations in the order they were
// applied, with a running digest.
type ledger struct {
	env     Env
	ops     []uint64
	digest  uint64
	offered [][]byte
	mine    map[uint64]uint64 // index proposed -> operation
	term    uint64            // term led, 0 if none
}

// NewLedger returns an empty list.
func NewLedger(env Env) Machine {
	return &ledger{env: env, mine: make(map[uint64]uint64)}
}

// Offer implements Machine. An operation is its id and up to 200 more bytes.
func (l *ledger) Offer(id uint64, r *rand.Rand) {
	if l.term == 0 {
		return
	}
	op := make([]byte, 8+r.IntN(200))
	binary.BigEndian.PutUint64(op, id)
	for i := 8; i < len(op); i++ {
		op[i] = byte(id) + byte(i)
	}
	l.offered = append(l.offered, op)
}

// Apply implements commitlog.Machine.
func (l *ledger) Apply(ents []commitlog.Entry) {
	for _, e := range ents {
		if len(e.Data) == 0 {
			continue
		}
		id := binary.BigEndian.Uint64(e.Data)
		l.ops = append(l.ops, id)
		l.digest = world.Sum(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.digest), world.Sum(e.Data)))
		if mine, ok := l.mine[e.Index]; ok && e.Term == l.term {
			delete(l.mine, e.Index)
			l.env.Confirm(mine, e.Index)
		}
	}
}

// Lead implements commitlog.Machine.
func (l *ledger) Lead(term uint64) { l.term = term }

// Follow implements commitlog.Machine.
func (l *ledger) Follow(_, _ uint64) {
	l.term = 0
	l.offered = nil
	clear(l.mine)
}

// Turn implements commitlog.Machine: at most four entries in flight.
func (l *ledger) Turn(_ time.Duration, p commitlog.Proposer) {
	for len(l.offered) > 0 {
		if n, _ := p.InFlight(); n >= 4 {
			return
		}
		op := l.offered[0]
		l.offered = l.offered[1:]
		if index, ok := p.Propose(op); ok {
			l.mine[index] = binary.BigEndian.Uint64(op)
		}
	}
}

// Checkpoint implements Machine.
func (l *ledger) Checkpoint() []byte {
	b := binary.BigEndian.AppendUint64(nil, l.digest)
	for _, id := range l.ops {
		b = binary.BigEndian.AppendUint64(b, id)
	}
	return b
}

// forgetLast drops the last operation of a checkpoint: a bug to be found.
func forgetLast(state []byte) []byte {
	if len(state) <= 8 {
		return state
	}
	return state[:len(state)-8]
}

// Restore implements Machine.
func (l *ledger) Restore(state []byte) {
	l.digest = binary.BigEndian.Uint64(state)
	l.ops = l.ops[:0]
	for b := state[8:]; len(b) > 0; b = b[8:] {
		l.ops = append(l.ops, binary.BigEndian.Uint64(b))
	}
}

// Digest implements Machine.
func (l *ledger) Digest() uint64 { return l.digest ^ uint64(len(l.ops)) }

// Contains implements Machine.
func (l *ledger) Contains(id uint64) bool { return slices.Contains(l.ops, id) }
