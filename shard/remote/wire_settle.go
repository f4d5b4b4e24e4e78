package remote

import (
	"encoding/binary"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Rows of settles and claims name messages of a few queues, most of them one
// behind the other and under one life of the queue's dispatcher. So a row is
// what differs from the one before:
//
//	flags u8 | [queue] | [epoch term] | seq zigzag Δ | counter zigzag Δ
const (
	rowOutcome = 7      // an Outcome, of a settle
	rowQueue   = 1 << 3 // the queue is another than before
	rowLife    = 1 << 4 // epoch and term are others
	rowSession = 1 << 5 // session and consumer are others, of a claim
	minRow     = 3      // bytes of the shortest row
)

// A row is what the next one is compared with.
type row struct {
	queue   shard.QueueID
	seq     uint64
	holding queue.Holding
}

// append appends what differs; the caller's flags say what else follows.
func (p *row) append(dst []byte, flags byte, x row) []byte {
	u := binary.AppendUvarint
	flags |= bit(x.queue != p.queue, rowQueue) | bit(x.holding.Epoch != p.holding.Epoch || x.holding.Term != p.holding.Term, rowLife)
	dst = append(dst, flags)
	if flags&rowQueue != 0 {
		dst = u(dst, x.queue)
	}
	if flags&rowLife != 0 {
		dst = u(u(dst, x.holding.Epoch), x.holding.Term)
	}
	dst = binary.AppendVarint(dst, int64(x.seq-p.seq))
	dst = binary.AppendVarint(dst, int64(x.holding.Counter-p.holding.Counter))
	*p = x
	return dst
}

// read reads a row and its flags.
func (p *row) read(r *reader, known byte) (flags byte) {
	flags = r.flags(known | rowQueue | rowLife)
	if flags&rowQueue != 0 {
		p.queue = r.u()
	}
	if flags&rowLife != 0 {
		p.holding.Epoch, p.holding.Term = r.u(), r.u()
	}
	p.seq += uint64(r.i())
	p.holding.Counter += uint64(r.i())
	return flags
}

// appendSettles appends settles as rows, behind their number.
func appendSettles(dst []byte, ss []shard.Settle) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(ss)))
	var p row
	for i := range ss {
		s := &ss[i]
		dst = p.append(dst, byte(s.Outcome), row{s.Queue, s.Seq, s.Holding})
	}
	return dst
}

func readSettles(r *reader, dst []shard.Settle) []shard.Settle {
	var p row
	n := r.count(minRow)
	dst = slices.Grow(dst, min(n, 1<<12))
	for range n {
		o := shard.Outcome(p.read(r, rowOutcome) & rowOutcome)
		if o > shard.Abandon {
			r.fail()
		}
		if r.bad {
			return dst
		}
		dst = append(dst, shard.Settle{Queue: p.queue, Seq: p.seq, Holding: p.holding, Outcome: o})
	}
	return dst
}

// A settle frame is the settles of one target up to a number, without a gap;
// flush says that the client waits for them.
type settles struct {
	target Target
	upTo   uint64
	flush  bool
	ss     []shard.Settle
}

func appendSettleFrame(dst []byte, s *settles) []byte {
	dst = binary.AppendUvarint(appendTarget(dst, s.target), s.upTo)
	return appendSettles(append(dst, bit(s.flush, 1)), s.ss)
}

// parseSettleFrame decodes into s.
func parseSettleFrame(b []byte, s *settles) error {
	r := reader{b: b}
	s.target, s.upTo, s.flush = r.target(), r.u(), r.flags(1) != 0
	s.ss = readSettles(&r, s.ss[:0])
	return r.end("settle")
}

// A numbered frame says something of a target up to, or of, a number: settled,
// and the id of an attach.
type numbered struct {
	target Target
	n      uint64
}

func appendNumbered(dst []byte, x numbered) []byte {
	return binary.AppendUvarint(appendTarget(dst, x.target), x.n)
}

func parseNumbered(b []byte, what string) (x numbered, err error) {
	r := reader{b: b}
	x.target, x.n = r.target(), r.u()
	return x, r.end(what)
}
