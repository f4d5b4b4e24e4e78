package remote

import (
	"encoding/binary"

	"github.com/warrenmq/warren/shard"
)

// A spec is a consumer as the leader has to know it.
type spec struct {
	id        uint64 // of its node
	queue     shard.QueueID
	session   uint64
	noAck     bool
	exclusive bool
	priority  int32
	prefetch  uint32
	window    uint32
	grant     uint32 // the first credit
	label     []byte // what its node shows of it to operators
}

const (
	specNoAck = 1 << iota
	specExclusive
	specFlags = specNoAck | specExclusive

	minSpec = 9
)

func appendSpec(dst []byte, s *spec) []byte {
	u := binary.AppendUvarint
	dst = u(u(u(dst, s.id), s.queue), s.session)
	dst = append(dst, bit(s.noAck, specNoAck)|bit(s.exclusive, specExclusive))
	dst = binary.AppendVarint(dst, int64(s.priority))
	dst = u(u(u(dst, uint64(s.prefetch)), uint64(s.window)), uint64(s.grant))
	return appendBytes(dst, s.label)
}

func (r *reader) spec() (s spec) {
	s.id, s.queue, s.session = r.u(), r.u(), r.u()
	f := r.flags(specFlags)
	s.noAck, s.exclusive = f&specNoAck != 0, f&specExclusive != 0
	s.priority, s.prefetch, s.window, s.grant = r.i32(), r.u32(), r.u32(), r.u32()
	s.label = r.bytes()
	return s
}

// An attach frame is one chunk of what a client tells a dispatcher of itself:
// its consumers and what they hold. first begins a report, end closes it.
type attach struct {
	target     Target
	id         uint64 // of the report, comes back in attached
	term       uint64 // in which the target leads, as far as the client knows
	first, end bool
	specs      []spec
	claims     []shard.Claim
}

func appendAttach(dst []byte, a *attach) []byte {
	u := binary.AppendUvarint
	dst = u(u(appendTarget(dst, a.target), a.id), a.term)
	dst = append(dst, bit(a.first, 1)|bit(a.end, 2))
	dst = u(dst, uint64(len(a.specs)))
	for i := range a.specs {
		dst = appendSpec(dst, &a.specs[i])
	}
	return appendClaims(dst, a.claims)
}

func appendClaims(dst []byte, cs []shard.Claim) []byte {
	u := binary.AppendUvarint
	dst = u(dst, uint64(len(cs)))
	var p row
	var session, consumer uint64
	for i := range cs {
		c := &cs[i]
		other := i == 0 || c.Session != session || c.Consumer != consumer
		dst = p.append(dst, bit(other, rowSession), row{c.Queue, c.Seq, c.Holding})
		if other {
			dst = u(u(dst, c.Session), c.Consumer)
			session, consumer = c.Session, c.Consumer
		}
		dst = u(u(dst, uint64(c.Size)), uint64(c.Acquired))
	}
	return dst
}

func readClaims(r *reader, dst []shard.Claim) []shard.Claim {
	var p row
	var session, consumer uint64
	for range r.count(minRow + 2) {
		if p.read(r, rowSession)&rowSession != 0 {
			session, consumer = r.u(), r.u()
		}
		size, acquired := r.u32(), r.u16()
		if r.bad {
			return dst
		}
		dst = append(dst, shard.Claim{Queue: p.queue, Seq: p.seq, Holding: p.holding, Size: size, Acquired: acquired, Session: session, Consumer: consumer})
	}
	return dst
}

// parseAttach decodes into a, whose slices are used again; labels alias b.
func parseAttach(b []byte, a *attach) error {
	r := reader{b: b}
	a.target, a.id, a.term = r.target(), r.u(), r.u()
	f := r.flags(3)
	a.first, a.end = f&1 != 0, f&2 != 0
	a.specs, a.claims = a.specs[:0], a.claims[:0]
	for range r.count(minSpec) {
		s := r.spec()
		if r.bad {
			break
		}
		a.specs = append(a.specs, s)
	}
	a.claims = readClaims(&r, a.claims)
	return r.end("attach")
}
