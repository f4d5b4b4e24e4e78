package remote

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// An inspect frame looks into queues, see shard.Inspector.
type inspect struct {
	target    Target
	req       uint64
	consumers bool
	ids       []shard.QueueID
}

func appendInspect(dst []byte, x *inspect) []byte {
	u := binary.AppendUvarint
	dst = append(u(appendTarget(dst, x.target), x.req), bit(x.consumers, 1))
	dst = u(dst, uint64(len(x.ids)))
	last := uint64(0)
	for _, id := range x.ids {
		dst = binary.AppendVarint(dst, int64(id-last))
		last = id
	}
	return dst
}

func parseInspect(b []byte) (x inspect, err error) {
	r := reader{b: b}
	x.target, x.req, x.consumers = r.target(), r.u(), r.flags(1) != 0
	last := uint64(0)
	for range r.count(1) {
		last += uint64(r.i())
		x.ids = append(x.ids, last)
	}
	return x, r.end("inspect")
}

// A seen is a queue as an answer of inspect has it. Consumers that are known to
// the reader's node are found by their incarnation and id, of the others the
// label tells.
type seen struct {
	id     shard.QueueID
	counts shard.Counts
	single bool
	only   int // index in consumers, -1: none
	// consumers are all that were asked for, or the only one.
	consumers []seenConsumer
}

type seenConsumer struct {
	of   queue.Incarnation
	spec spec
}

const (
	seenSingle = 1 << iota
	seenOnly

	minSeen         = 9
	minSeenConsumer = 2 + minSpec
)

// appendSeen appends a queue; an answer is a row of them.
func appendSeen(dst []byte, s *seen) []byte {
	u := binary.AppendUvarint
	dst = appendCounts(u(dst, s.id), &s.counts)
	dst = append(dst, bit(s.single, seenSingle)|bit(s.only >= 0, seenOnly))
	dst = u(dst, uint64(len(s.consumers)))
	for i := range s.consumers {
		c := &s.consumers[i]
		dst = appendSpec(u(u(dst, c.of.Node), c.of.Number), &c.spec)
	}
	if s.only >= 0 {
		dst = u(dst, uint64(s.only))
	}
	return dst
}

func parseSeen(b []byte) (out []seen, err error) {
	r := reader{b: b}
	for len(r.b) > 0 {
		s := seen{id: r.u(), counts: r.counts(), only: -1}
		f := r.flags(seenSingle | seenOnly)
		s.single = f&seenSingle != 0
		for range r.count(minSeenConsumer) {
			s.consumers = append(s.consumers, seenConsumer{queue.Incarnation{Node: r.u(), Number: r.u()}, r.spec()})
			if r.bad {
				break
			}
		}
		if f&seenOnly != 0 {
			if s.only = int(r.u32()); s.only >= len(s.consumers) {
				r.fail()
			}
		}
		if r.bad {
			break
		}
		out = append(out, s)
	}
	return out, r.end("inspected")
}

// A browse frame reads a part of a queue. The server keeps where the reading
// numbered id is; first begins it.
type browse struct {
	target   Target
	req      uint64
	id       uint64
	first    bool
	queue    shard.QueueID
	messages uint32
	bytes    uint32
}

func appendBrowse(dst []byte, x *browse) []byte {
	u := binary.AppendUvarint
	dst = append(u(u(appendTarget(dst, x.target), x.req), x.id), bit(x.first, 1))
	return u(u(u(dst, x.queue), uint64(x.messages)), uint64(x.bytes))
}

func parseBrowse(b []byte) (x browse, err error) {
	r := reader{b: b}
	x.target, x.req, x.id, x.first = r.target(), r.u(), r.u(), r.flags(1) != 0
	x.queue, x.messages, x.bytes = r.u(), r.u32(), r.u32()
	return x, r.end("browse")
}

const (
	browsedRedelivered = 1 << iota
	browsedTTL

	minBrowsed = 6
)

// appendPart appends a part that was browsed.
func appendPart(dst []byte, p *shard.BrowsePart) []byte {
	u := binary.AppendUvarint
	dst = append(dst, bit(p.End, 1))
	dst = u(dst, uint64(len(p.Gone)))
	for _, seq := range p.Gone {
		dst = u(dst, seq)
	}
	dst = u(dst, uint64(len(p.Messages)))
	for i := range p.Messages {
		m := &p.Messages[i]
		dst = append(dst, bit(m.Redelivered, browsedRedelivered)|bit(m.HasTTL, browsedTTL))
		dst = append(u(dst, m.Seq), m.Priority)
		dst = u(u(dst, uint64(m.Acquired)), uint64(m.Failed))
		if m.HasTTL {
			dst = u(dst, uint64(m.TTL))
		}
		dst = appendBytes(dst, m.Blob)
	}
	return dst
}

func parsePart(b []byte) (p shard.BrowsePart, err error) {
	r := reader{b: b}
	p.End = r.flags(1) != 0
	for range r.count(1) {
		p.Gone = append(p.Gone, r.u())
	}
	for range r.count(minBrowsed) {
		f := r.flags(browsedRedelivered | browsedTTL)
		m := shard.Browsed{Redelivered: f&browsedRedelivered != 0, HasTTL: f&browsedTTL != 0}
		m.Seq, m.Priority = r.u(), r.byte()
		m.Acquired, m.Failed = r.u16(), r.u16()
		if m.HasTTL {
			m.TTL = r.u32()
		}
		m.Blob = r.bytes()
		if r.bad {
			break
		}
		p.Messages = append(p.Messages, m)
	}
	return p, r.end("browsed")
}
