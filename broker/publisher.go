package broker

import (
	"context"
	"hash/maphash"
	"sync/atomic"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// A Publication is one message on its way in. Nothing of it is kept when
// Publish returns.
type Publication struct {
	Message *message.Message
	// Keys are more routing keys than the message's own; each queue gets the
	// message once.
	Keys [][]byte
	// Headers gives the message's headers to a headers exchange; may be nil.
	Headers exchange.Fields
	// Tag is confirmed to the sink; 0 asks for no confirm. The tags of a
	// publisher ascend by one.
	Tag uint64
	// TTL in milliseconds, if HasTTL.
	TTL    uint32
	HasTTL bool
}

// A PublisherSink is told what became of publications. Its methods are called
// from a shard's turn or from within Publish; they must not block and must not
// call the broker.
type PublisherSink interface {
	shard.Confirms
	// Unroutable says that the i-th publication of the call went nowhere. It is
	// called within Publish, before it is confirmed.
	Unroutable(i int)
	// Ready says that the publisher, which was Held, may be asked again.
	Ready()
}

// A Publisher is one ordered stream of publications: an AMQP channel, a
// connection of a protocol without channels. It is used by one goroutine.
type Publisher struct {
	// Channel is the number of the protocol's channel, if it has any, for who
	// traces messages. It may be set before the first Publish.
	Channel uint16

	s    *Session
	sink PublisherSink

	view    *catalog.View // that cache was made for
	cache   []cell
	tracing bool // under view
	finder  finder
	rows    []row
	multi   multi
	told    told
	silent  silent
	number  uint64 // of what nobody asks about, so that it is answered in runs
	after   after
	judging judging

	waits    atomic.Int32 // for what it is held, see Held
	toMemory bool         // some of it went to memory queues
	over     *budget      // that what was published last used up
	noted    bool         // operators see that it is held

	replyRoute route
	mayReply   *catalog.View // under which replies were allowed
}

// A row collects the publishes of one call for one shard.
type row struct {
	to     shard.Shard
	ps     []shard.Publish
	budget *budget
}

// NewPublisher returns a publisher of the session.
func (s *Session) NewPublisher(sink PublisherSink) *Publisher {
	p := &Publisher{s: s, sink: sink}
	p.told.p, p.silent.p, p.multi.p = p, p, p
	p.after.reached = make(chan struct{}, 1)
	p.finder.router = catalog.Router{Random: maphash.Comparable(s.b.seed, p), Node: s.b.o.Node} // each begins elsewhere
	return p
}

// Publish routes publications and appends them to the shards of their queues,
// in order. It returns the number it took; if that is not all, err says why the
// next one can not be published, and those behind it were not looked at.
//
// An error that is ErrLater says that the rest is to be published again, when Held
// says that it may.
//
// Publish does not wait. Who publishes asks Held before, and stops while it is:
// what is published nevertheless is taken, and is memory that nobody counted on.
func (p *Publisher) Publish(ps []Publication) (n int, err error) {
	defer p.flush()
	for n = range ps {
		pub := &ps[n]
		r, err := p.route(pub)
		if lost(r, err) {
			if err := p.nowhere(len(ps) - n); err != nil {
				return n, err
			}
		}
		if p.judged(); err != nil {
			return n, err
		}
		if p.tracing {
			p.trace(pub.Message, r)
		}
		p.add(pub, r, n)
	}
	return len(ps), nil
}

func (p *Publisher) add(pub *Publication, r *route, i int) {
	m := pub.Message
	replied := len(r.replies) > 0
	if replied {
		r.replied(m)
	}
	if len(r.targets) == 0 {
		if !replied {
			p.sink.Unroutable(i)
		}
		if pub.Tag != 0 {
			p.sink.Confirmed(pub.Tag, 1, false)
		}
		return
	}
	sp := shard.Publish{Message: m, TTL: pub.TTL, HasTTL: pub.HasTTL, Tag: pub.Tag}
	if m.HasPriority {
		sp.Priority = m.Priority
	}
	switch {
	case pub.Tag == 0: // each shard's answer is counted
		p.number++
		p.after.given += uint64(len(r.targets))
		sp.Tag, sp.To = p.number, &p.silent
	case len(r.targets) > 1:
		p.after.given++
		sp.Tag, sp.To = p.multi.expect(part{left: len(r.targets), tag: pub.Tag}), &p.multi
	default:
		p.after.given++
		sp.To = &p.told
	}
	for i := range r.targets {
		t := &r.targets[i]
		sp.Queues = t.queues
		w := p.row(t)
		if t.delay > 0 {
			w.ps = append(w.ps, delayed(sp, t.delay))
			continue
		}
		w.ps = append(w.ps, sp)
	}
}

// delayed returns a publish for schedules.
func delayed(sp shard.Publish, ms uint32) shard.Publish {
	m := *sp.Message
	m.Delayed(ms)
	sp.Message, sp.TTL, sp.HasTTL = &m, ms, true
	return sp
}

// row returns the row of a shard: one for all, so that order is kept.
func (p *Publisher) row(t *target) *row {
	if t.row < len(p.rows) && p.rows[t.row].to == t.to {
		return &p.rows[t.row]
	}
	for i := range p.rows {
		if w := &p.rows[i]; w.to == t.to {
			t.row = i
			return w
		}
	}
	t.row = len(p.rows)
	if len(p.rows) < cap(p.rows) {
		p.rows = p.rows[:len(p.rows)+1]
	} else {
		p.rows = append(p.rows, row{})
	}
	w := &p.rows[len(p.rows)-1]
	w.to, w.budget, w.ps = t.to, t.budget, w.ps[:0]
	return w
}

// flush hands the rows to their shards.
func (p *Publisher) flush() {
	for i := range p.rows {
		w := &p.rows[i]
		p.toMemory = p.toMemory || w.budget != nil
		if !w.to.Publish(w.ps) {
			p.waits.Add(1)
			w.to.Ready(p.opened)
		}
		if g := w.budget.full(); g != nil && g != &p.s.b.memory {
			p.over = g
		}
		clear(w.ps)
		w.to = nil
	}
	p.rows = p.rows[:0]
	p.finder.reset()
}

// Settle waits until the shards have taken or refused everything that was
// published: who asks a queue afterwards sees it.
func (p *Publisher) Settle(ctx context.Context) error {
	return p.after.wait(ctx)
}
