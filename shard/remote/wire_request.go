package remote

import (
	"encoding/binary"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A consume frame registers a consumer.
type consume struct {
	target Target
	req    uint64
	spec   spec
}

func appendConsume(dst []byte, c *consume) []byte {
	return appendSpec(binary.AppendUvarint(appendTarget(dst, c.target), c.req), &c.spec)
}

func parseConsume(b []byte) (c consume, err error) {
	r := reader{b: b}
	c.target, c.req, c.spec = r.target(), r.u(), r.spec()
	return c, r.end("consume")
}

// An ofConsumer frame is about a consumer: cancel, where n is the request;
// grant, where it is the credit that comes on top; stop and cancelled, without
// it; stopped, where it is how many messages it was ever sent.
type ofConsumer struct {
	target Target
	id     uint64
	n      uint64
}

func appendOfConsumer(dst []byte, c ofConsumer) []byte {
	u := binary.AppendUvarint
	return u(u(appendTarget(dst, c.target), c.id), c.n)
}

func parseOfConsumer(b []byte, what string) (c ofConsumer, err error) {
	r := reader{b: b}
	c.target, c.id, c.n = r.target(), r.u(), r.u()
	return c, r.end(what)
}

// An op is what an ask frame asks of a queue.
type op uint8

const (
	opGet    op = iota + 1 // arg: the session
	opPurge                // arg: unused
	opCounts               // the same
	opRenew                // the same
	opClose                // arg: conditions
	opReopen               // arg: unused
	ops
)

const (
	closeIfEmpty = 1 << iota
	closeIfUnused
)

type ask struct {
	target Target
	req    uint64
	op     op
	queue  shard.QueueID
	arg    uint64
}

func appendAsk(dst []byte, a *ask) []byte {
	u := binary.AppendUvarint
	dst = append(u(appendTarget(dst, a.target), a.req), byte(a.op))
	return u(u(dst, a.queue), a.arg)
}

func parseAsk(b []byte) (a ask, err error) {
	r := reader{b: b}
	a.target, a.req, a.op = r.target(), r.u(), op(r.byte())
	if a.op == 0 || a.op >= ops {
		r.fail()
	}
	a.queue, a.arg = r.u(), r.u()
	return a, r.end("ask")
}

// A reply answers a request. Its payload is that of the request's kind, empty
// with an error.
type reply struct {
	target  Target
	req     uint64
	code    uint8
	payload []byte
}

func appendReply(dst []byte, p *reply) []byte {
	dst = append(binary.AppendUvarint(appendTarget(dst, p.target), p.req), p.code)
	return append(dst, p.payload...)
}

func parseReply(b []byte) (p reply, err error) {
	r := reader{b: b}
	p.target, p.req, p.code = r.target(), r.u(), r.byte()
	if p.code >= codes {
		r.fail()
	}
	p.payload, r.b = r.b, nil
	return p, r.end("reply")
}

// Payloads: one number for purge and close, counts for counts and renew, got
// for get.

func appendCounts(dst []byte, c *shard.Counts) []byte {
	u := binary.AppendUvarint
	return u(u(u(u(u(u(dst, c.Ready), c.Unacked), c.ReadyBytes), c.Bytes), uint64(c.Consumers)), c.Letters)
}

func (r *reader) counts() (c shard.Counts) {
	c.Ready, c.Unacked, c.ReadyBytes, c.Bytes = r.u(), r.u(), r.u(), r.u()
	c.Consumers = int(r.u32())
	c.Letters = r.u()
	return c
}

func parseCounts(b []byte) (shard.Counts, error) {
	r := reader{b: b}
	c := r.counts()
	return c, r.end("counts")
}

// An answer of get begins with the revision that its message needs, as a deliver
// frame does; then what it took, up to the message, which is the rest.
func appendGot(dst []byte, g *shard.GetResult) []byte {
	u := binary.AppendUvarint
	dst = append(dst, bit(g.Empty, 1)|bit(g.Redelivered, 2))
	dst = u(u(dst, g.Remaining), g.Seq)
	dst = u(u(u(dst, g.Holding.Epoch), g.Holding.Term), g.Holding.Counter)
	return u(u(u(dst, uint64(g.Acquired)), uint64(g.Failed)), uint64(g.Size))
}

func parseGot(b []byte) (g shard.GetResult, err error) {
	r := reader{b: b}
	f := r.flags(3)
	g.Empty, g.Redelivered = f&1 != 0, f&2 != 0
	g.Remaining, g.Seq = r.u(), r.u()
	g.Holding = queue.Holding{Epoch: r.u(), Term: r.u(), Counter: r.u()}
	g.Acquired, g.Failed, g.Size = r.u16(), r.u16(), r.u32()
	if len(r.b) > 0 {
		g.Blob, r.b = r.b[:len(r.b):len(r.b)], nil
	}
	return g, r.end("got")
}
