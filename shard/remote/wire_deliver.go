package remote

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A deliver frame is runs of deliveries of one target, each to one consumer:
//
//	target | revision | run*
//	run: consumer | ordinal | n | epoch | term | n × delivery
//	delivery: flags u8 | seq zigzag Δ | counter zigzag Δ | [acquired failed] | size | len | blob
//
// revision is the highest of the catalog that the target has applied: the
// client's View has to be there before anybody sees the messages. The ordinal
// of a run counts what its consumer was sent before. All deliveries of a run
// are of one life of a dispatcher. A blob is the last thing of its delivery, so
// that a large one can follow the frame's head without being copied.
const (
	deliveryRedelivered = 1 << iota
	deliveryCounted     // acquired and failed are not both 0
	deliveryFlags       = deliveryRedelivered | deliveryCounted

	minDelivery = 5
)

func appendDeliverHead(dst []byte, t Target, revision uint64) []byte {
	return binary.AppendUvarint(appendTarget(dst, t), revision)
}

// runHead is the beginning of a run.
type runHead struct {
	consumer uint64
	ordinal  uint64
	n        int
	epoch    uint64
	term     uint64
}

func appendRunHead(dst []byte, h runHead) []byte {
	u := binary.AppendUvarint
	return u(u(u(u(u(dst, h.consumer), h.ordinal), uint64(h.n)), h.epoch), h.term)
}

// A deliveryBase is what a run's next delivery is compared with.
type deliveryBase struct{ seq, counter uint64 }

// append appends a delivery up to its blob, which the caller appends.
func (p *deliveryBase) append(dst []byte, d *shard.Delivery) []byte {
	counted := d.Acquired != 0 || d.Failed != 0
	dst = append(dst, bit(d.Redelivered, deliveryRedelivered)|bit(counted, deliveryCounted))
	dst = binary.AppendVarint(dst, int64(d.Seq-p.seq))
	dst = binary.AppendVarint(dst, int64(d.Holding.Counter-p.counter))
	if counted {
		dst = binary.AppendUvarint(dst, uint64(d.Acquired))
		dst = binary.AppendUvarint(dst, uint64(d.Failed))
	}
	p.seq, p.counter = d.Seq, d.Holding.Counter
	dst = binary.AppendUvarint(dst, uint64(d.Size))
	return binary.AppendUvarint(dst, uint64(len(d.Blob)))
}

// A deliverReader reads the runs of a deliver frame.
type deliverReader struct {
	target   Target
	revision uint64
	reader
}

func readDeliver(b []byte) (deliverReader, error) {
	r := deliverReader{reader: reader{b: b}}
	r.target, r.revision = r.reader.target(), r.u()
	if r.bad {
		return r, malformed("deliver")
	}
	return r, nil
}

// next reads a run, appending its deliveries, which alias the frame, to dst. It
// returns false at the end.
func (r *deliverReader) next(h *runHead, dst []shard.Delivery) ([]shard.Delivery, bool, error) {
	if len(r.b) == 0 {
		return dst, false, nil
	}
	h.consumer, h.ordinal = r.u(), r.u()
	n := r.u()
	h.epoch, h.term = r.u(), r.u()
	if n == 0 || n > uint64(len(r.b)/minDelivery) {
		return dst, false, malformed("a run of deliveries")
	}
	h.n = int(n)
	var p deliveryBase
	for range h.n {
		d := shard.Delivery{}
		f := r.flags(deliveryFlags)
		d.Redelivered = f&deliveryRedelivered != 0
		p.seq += uint64(r.i())
		p.counter += uint64(r.i())
		if f&deliveryCounted != 0 {
			d.Acquired, d.Failed = r.u16(), r.u16()
		}
		d.Size, d.Blob = r.u32(), r.bytes()
		if r.bad {
			return dst, false, malformed("a delivery")
		}
		d.Seq, d.Holding = p.seq, queue.Holding{Epoch: h.epoch, Term: h.term, Counter: p.counter}
		dst = append(dst, d)
	}
	return dst, true, nil
}

// An answer says what became of a batch. Several of one target go into one
// frame: target, then answer*.
type answer struct {
	number  uint64
	what    uint8
	refused []uint32 // ascending
}

func appendAnswer(dst []byte, a *answer) []byte {
	u := binary.AppendUvarint
	dst = append(u(dst, a.number), a.what)
	dst = u(dst, uint64(len(a.refused)))
	last := uint32(0)
	for _, n := range a.refused {
		dst = u(dst, uint64(n-last))
		last = n
	}
	return dst
}

// answer reads the next answer into a, whose slice is used again; false at the
// end.
func (r *reader) answer(a *answer, whats uint8) (bool, error) {
	if len(r.b) == 0 && !r.bad {
		return false, nil
	}
	a.number, a.what = r.u(), r.byte()
	if a.what >= whats {
		r.fail()
	}
	a.refused = a.refused[:0]
	last := uint64(0)
	for i := range r.count(1) {
		d := r.u()
		if last += d; r.bad || last > 1<<32-1 || d == 0 && i > 0 {
			r.fail()
			break
		}
		a.refused = append(a.refused, uint32(last))
	}
	if r.bad {
		return false, malformed("answer")
	}
	return true, nil
}
