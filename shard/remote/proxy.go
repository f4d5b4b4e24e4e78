package remote

import (
	"sync/atomic"

	"github.com/warrenmq/warren/shard"
)

// A proxy is a consumer of another node, as the shard that leads sees it: its
// sink, and the credit that its node grants.
type proxy struct {
	shard.Consumer
	g *guest

	// meter is how many messages the consumer was given, in the upper half, and
	// how many more it may be, in the lower: a stop has to see both at once.
	meter atomic.Uint64
	waits bool   // for the byte window; guarded by flow.mu
	sent  uint32 // guarded by g.mu

	// Owned by the turn of its queue.
	pending  int // given and not delivered
	reserved int // bytes of the window for them
	typical  int // size of a message, lately
}

const (
	given      = 1 << 32
	creditMask = given - 1
	// overhead is about what a delivery costs beside its message.
	overhead = 16
)

// newProxy makes a consumer of what a client said of it.
func (g *guest) newProxy(s *spec) *proxy {
	p := &proxy{g: g}
	p.Consumer = shard.Consumer{
		Queue: s.queue, Sink: p, NoAck: s.noAck, Exclusive: s.exclusive, Priority: s.priority,
		Prefetch: s.prefetch, Window: s.window, Shared: p, Session: s.session, Incarnation: g.in.inc, ID: s.id,
	}
	if f := g.in.s.o.Label; f != nil {
		p.User = f(g.in.inc, s.label)
	}
	p.meter.Store(uint64(s.grant))
	return p
}

// Take implements queue.Credit, in the shard's turn. The window is asked first:
// what it reserves is given back if there is no credit.
func (p *proxy) Take() bool {
	if p.meter.Load()&creditMask == 0 {
		return false
	}
	n := p.typical + overhead
	if !p.g.in.flow.take(p, n, p.g.in.s.o.Window) {
		return false
	}
	for {
		m := p.meter.Load()
		if m&creditMask == 0 {
			p.g.in.flow.free(int64(n), p.g.in.s.o.Window)
			return false
		}
		if p.meter.CompareAndSwap(m, m+given-1) {
			p.pending++
			p.reserved += n
			return true
		}
	}
}

// grant adds credit.
func (p *proxy) grant(n uint64) {
	for {
		m := p.meter.Load()
		more := min(n, creditMask-m&creditMask)
		if p.meter.CompareAndSwap(m, m+more) {
			return
		}
	}
}

// stop takes all credit back and returns how many messages were given.
func (p *proxy) stop() uint32 {
	for {
		m := p.meter.Load()
		if p.meter.CompareAndSwap(m, m&^creditMask) {
			return uint32(m >> 32)
		}
	}
}

// Bounds of a deliver frame: one that has so many bytes is closed, and a message
// from this size on closes it and is not copied.
const (
	fullFrame = 64 << 10
	bigBlob   = 8 << 10
)

// Deliver implements shard.Sink, in the shard's turn.
func (p *proxy) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	g := p.g
	revision := g.host.Revision()
	bytes, reserved := 0, 0 // as the client counts them: of whole frames
	g.mu.Lock()
	for len(ds) > 0 {
		from := len(g.mu.buf)
		if !g.mu.delivers || g.mu.revision < revision {
			g.begin(typeDeliver)
			g.mu.buf = appendDeliverHead(g.mu.buf, g.target, revision)
			g.mu.delivers, g.mu.revision = true, revision
		}
		n, tail := p.run(ds)
		bytes += len(g.mu.buf) - from + len(tail)
		at := &g.mu.pieces[len(g.mu.pieces)-1]
		if tail != nil || len(g.mu.buf)-at.start >= fullFrame {
			g.mu.out.end(tail)
			g.mu.delivers = false
		}
		reserved += p.used(n)
		ds = ds[n:]
	}
	g.mu.Unlock()
	g.in.flow.became(reserved, bytes, g.in.s)
}

// run appends the first of ds to the open frame: those of one life that fit, up
// to a big one, whose blob is the frame's tail. g.mu is held.
func (p *proxy) run(ds []shard.Delivery) (n int, tail []byte) {
	life := ds[0].Holding
	size := 0
	for n < len(ds) && size < fullFrame && ds[n].Holding.Epoch == life.Epoch && ds[n].Holding.Term == life.Term {
		size += len(ds[n].Blob) + overhead
		n++
		if len(ds[n-1].Blob) >= bigBlob {
			break
		}
	}
	m := &p.g.mu
	m.buf = appendRunHead(m.buf, runHead{p.ID, uint64(p.sent), n, life.Epoch, life.Term})
	p.sent += uint32(n)
	p.typical = size / n
	var base deliveryBase
	for i := range ds[:n] {
		m.buf = base.append(m.buf, &ds[i])
		if len(ds[i].Blob) >= bigBlob {
			return n, ds[i].Blob
		}
		m.buf = append(m.buf, ds[i].Blob...)
	}
	return n, nil
}

// used returns what was reserved for n messages, which come now.
func (p *proxy) used(n int) (reserved int) {
	n = min(n, p.pending)
	if n == 0 {
		return 0
	}
	reserved = p.reserved * n / p.pending
	p.pending -= n
	p.reserved -= reserved
	return reserved
}

// Cancelled implements shard.Sink, in the shard's turn. What ends because this
// node does not lead any more goes on with the next leader.
func (p *proxy) Cancelled(*shard.Consumer) {
	g := p.g
	p.gone()
	g.mu.Lock()
	defer g.mu.Unlock()
	if term, ok := g.host.Serving(); !ok || term != g.term || g.mu.consumers[p.ID] != p {
		return
	}
	delete(g.mu.consumers, p.ID)
	g.say(typeCancelled, ofConsumer{target: g.target, id: p.ID})
}

// gone gives back what was reserved, in the shard's turn.
func (p *proxy) gone() {
	n := p.reserved
	p.pending, p.reserved = 0, 0
	p.g.in.flow.free(int64(n), p.g.in.s.o.Window)
}

// Wake implements shard.Sink.
func (p *proxy) Wake() { p.g.Wake() }
