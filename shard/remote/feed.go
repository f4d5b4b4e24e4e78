package remote

import (
	"github.com/warrenmq/warren/shard"
)

// A feed is a consumer of this node while another node leads.
//
// It grants the leader credit for so many messages, and takes its Shared credit
// when they arrive. If that is refused because its connection has too much to
// write, it keeps them until it is kicked; if it is refused because a limit is
// reached that it shares with others, or too much is kept, it gives them back
// and stops: all that was sent before the leader knew of that goes back as well,
// so that the order stays.
type feed struct {
	c       *shard.Consumer
	granted uint32 // messages, since the report
	arrived uint32
	size    int  // of a message, lately; 0: none came
	gone    bool // it was cancelled: what comes goes back

	kept  []shard.Delivery
	bytes int // of kept

	flow   flowState
	kicked bool // while it is stopping
	// until is what the leader had sent when it stopped: what arrives of that goes
	// back, even after the consumer goes on.
	until   uint32
	resumed bool // until counts
}

// flowState is what a feed has asked of the leader.
type flowState uint8

const (
	flowing  flowState = iota
	stopping           // the leader was told, and did not answer
	stopped            // it answered
)

const (
	// mostKept bounds the bytes that a client keeps for connections that have
	// too much to write, and mostKeptOne what one consumer has of it.
	mostKept    = 8 << 20
	mostKeptOne = 1 << 20
)

// feed returns a consumer's feed, as one that was never sent anything.
func (c *Client) feed(sc *shard.Consumer) *feed {
	if f := c.feeds[sc.ID]; f != nil {
		c.forget(f)
	}
	f := &feed{c: sc, granted: uint32(c.h.o.Credit)}
	c.feeds[sc.ID] = f
	return f
}

// forget drops what is kept: nobody was handed it.
func (c *Client) forget(f *feed) {
	c.buffered -= f.bytes
	f.kept, f.bytes = nil, 0
}

// lose forgets all feeds: the leader that fed them leads no more. What is kept
// was handed to nobody, and nobody will claim it.
func (c *Client) lose() {
	clear(c.feeds)
	c.buffered = 0
}

func (c *Client) spec(sc *shard.Consumer, f *feed) spec {
	s := spec{
		id: sc.ID, queue: sc.Queue, session: sc.Session, noAck: sc.NoAck, exclusive: sc.Exclusive,
		priority: sc.Priority, prefetch: sc.Prefetch, window: sc.Window, grant: f.granted,
	}
	if c.h.o.Tell != nil {
		s.label = c.h.o.Tell(sc)
	}
	return s
}

// cancel ends a consumer.
func (c *Client) cancel(r *shard.Request) {
	for i := range c.held {
		if h := &c.held[i]; h.r.Kind == shard.ReqConsume && h.r.Consumer == r.Consumer {
			consume := h.r
			c.held = append(c.held[:i], c.held[i+1:]...)
			consume.Done(shard.ErrGone)
			r.Done(nil)
			return
		}
	}
	x := *r
	f := c.feeds[x.Consumer.ID]
	if f != nil && f.c == x.Consumer {
		f.gone = true
		kept := f.kept
		c.forget(f)
		if len(kept) > 0 {
			c.settle(c.o.Stray(f.c.Queue, kept))
		}
	}
	id, number, ss := c.o.Cancel(c.now, x)
	c.settle(number, ss)
	if id != 0 {
		c.ask(id, &x)
	}
}

// arrive takes a run of deliveries.
func (c *Client) arrive(f *feed, h *runHead, ds []shard.Delivery) {
	ordinal := uint32(h.ordinal)
	f.arrived = ordinal + uint32(h.n)
	f.measure(ds)
	n := 0
	switch {
	case f.gone || f.flow != flowing:
		n = len(ds)
	case f.resumed:
		n = min(len(ds), int(max(0, int32(f.until-ordinal))))
		f.resumed = n == len(ds)
	}
	if n > 0 {
		c.settle(c.o.Stray(f.c.Queue, ds[:n]))
		ds = ds[n:]
	}
	switch {
	case len(ds) == 0:
	case len(f.kept) > 0:
		c.keep(f, ds)
	default:
		if rest := c.hand(f, ds); len(rest) > 0 {
			c.refused(f, rest)
		}
	}
	c.grant(f)
}

// measure notes how big messages are.
func (f *feed) measure(ds []shard.Delivery) {
	if len(ds) == 0 {
		return
	}
	n := 0
	for i := range ds {
		n += len(ds[i].Blob)
	}
	f.size = max(n/len(ds), 1)
}

// window is how many messages may be on their way: as many as could be kept, if
// the connection has too much to write, within bounds. Too few, and the leader
// waits for every grant: what a consumer gets in a second is this many for each
// way there and back.
func (c *Client) window(f *feed) int32 {
	credit := c.h.o.Credit
	if f.size == 0 {
		return int32(credit)
	}
	return int32(min(max(mostKeptOne/f.size, credit/8, 1), 16*credit))
}

// hand hands over what the consumer's Shared credit allows, and returns the
// rest.
func (c *Client) hand(f *feed, ds []shard.Delivery) (rest []shard.Delivery) {
	n := len(ds)
	if s := f.c.Shared; s != nil {
		for n = 0; n < len(ds) && s.Take(); {
			n++
		}
	}
	if n > 0 {
		c.o.Deliver(f.c, c.leader.term, ds[:n])
	}
	return ds[n:]
}

// refused does what is to be done with deliveries that Take refused.
func (c *Client) refused(f *feed, ds []shard.Delivery) {
	if b, ok := f.c.Shared.(shard.Backlog); ok && b.Backlogged() {
		c.keep(f, ds)
		return
	}
	c.stop(f, ds)
}

// keep keeps deliveries until the consumer is kicked, if there is room.
func (c *Client) keep(f *feed, ds []shard.Delivery) {
	n := 0
	for n < len(ds) && f.bytes < mostKeptOne && c.buffered < mostKept {
		size := len(ds[n].Blob)
		f.bytes += size
		c.buffered += size
		n++
	}
	f.kept = append(f.kept, ds[:n]...)
	if n < len(ds) {
		c.stop(f, ds[n:])
	}
}

// stop gives deliveries back and takes back the credit.
func (c *Client) stop(f *feed, ds []shard.Delivery) {
	c.settle(c.o.Stray(f.c.Queue, ds))
	if f.flow != flowing {
		return
	}
	f.flow, f.kicked = stopping, false
	c.frame(typeStop, func(dst []byte) []byte { return appendOfConsumer(dst, ofConsumer{target: c.key.target, id: f.c.ID}) })
}

// halted takes the leader's answer to a stop: how many messages it ever sent the
// consumer.
func (c *Client) halted(f *feed, sent uint32) {
	if f.flow != stopping {
		return
	}
	f.flow, f.until, f.granted = stopped, sent, sent
	if f.kicked {
		c.resume(f)
	}
}

// resume has a consumer go on that stopped.
func (c *Client) resume(f *feed) {
	if f.flow == stopped {
		f.flow, f.resumed = flowing, true
	}
	c.grant(f)
}

// kick serves a consumer again whose Shared credit was refused.
func (c *Client) kick(f *feed) {
	f.kicked = true
	if len(f.kept) > 0 && c.leader != nil {
		kept := f.kept
		c.forget(f)
		if rest := c.hand(f, kept); len(rest) > 0 {
			c.refused(f, rest)
			return
		}
	}
	c.resume(f)
}

// grant lets the leader send more, once half of what it may is used.
func (c *Client) grant(f *feed) {
	left := int32(f.granted - f.arrived) // what was given back counts as arrived
	most := c.window(f)
	if f.gone || f.flow != flowing || len(f.kept) > 0 || !c.attached || left > most/2 {
		return
	}
	n := most - max(left, 0)
	f.granted += uint32(n)
	c.frame(typeGrant, func(dst []byte) []byte {
		return appendOfConsumer(dst, ofConsumer{c.key.target, f.c.ID, uint64(n)})
	})
}
