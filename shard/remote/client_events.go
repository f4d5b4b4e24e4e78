package remote

import (
	"fmt"
	"time"

	"github.com/warrenmq/warren/shard"
)

// batchOutcomes is how many kinds of answers there are.
const batchOutcomes = uint8(shard.BatchEnded) + 1

// event does a frame of the leader. need is a revision that this node's View has
// to have first: if it has not, nothing was done.
func (c *Client) event(f *Frame) (need uint64, err error) {
	switch f.Type {
	case typeAnswer:
		return 0, c.answers(f.Body)
	case typeDeliver:
		return c.deliver(f.Body)
	case typeReply:
		return c.reply(f.Body)
	case typeSettled:
		x, err := parseNumbered(f.Body, "settled")
		if err == nil {
			c.o.Settled(x.n)
		}
		return 0, err
	case typeAttached:
		x, err := parseNumbered(f.Body, "attached")
		if err == nil && x.n == c.report && !c.attached {
			c.reported()
		}
		return 0, err
	case typeCancelled, typeStopped:
		return 0, c.ofConsumer(f)
	}
	return 0, fmt.Errorf("%w: type %d", ErrFrame, f.Type)
}

func (c *Client) answers(b []byte) error {
	r := reader{b: b}
	r.target()
	for {
		ok, err := r.answer(&c.answer, batchOutcomes)
		if err != nil || !ok {
			return err
		}
		c.o.Answer(c.answer.number, c.answer.refused, shard.BatchOutcome(c.answer.what))
	}
}

func (c *Client) deliver(b []byte) (need uint64, err error) {
	r, err := readDeliver(b)
	if err != nil || r.revision > c.h.o.View() {
		return r.revision, err
	}
	var h runHead
	for {
		ds, ok, err := r.next(&h, c.ds[:0])
		if err != nil || !ok {
			return 0, err
		}
		if f := c.feeds[h.consumer]; f != nil && h.term == c.leader.term {
			c.arrive(f, &h, ds)
		}
		clear(ds)
		c.ds = ds[:0]
	}
}

func (c *Client) ofConsumer(f *Frame) error {
	x, err := parseOfConsumer(f.Body, "of a consumer")
	if err != nil {
		return err
	}
	at := c.feeds[x.id]
	switch {
	case at == nil:
	case f.Type == typeStopped:
		c.halted(at, uint32(x.n))
	default:
		c.unfeed(x.id)
		c.o.Cancelled(x.id)
	}
	return nil
}

// reply takes the answer to a request.
func (c *Client) reply(b []byte) (need uint64, err error) {
	p, err := parseReply(b)
	if err != nil {
		return 0, err
	}
	if p.req&lookBit != 0 {
		return 0, c.looked(&p)
	}
	of, ok := c.asks[p.req]
	if !ok {
		return 0, nil
	}
	failed := errorOf(p.code)
	if p.code == codeUnavailable && c.unavailable(p.req, &of) {
		return 0, nil
	}
	switch {
	case of.kind == shard.ReqGet && failed == nil:
		return c.got(p.req, of.queue, p.payload)
	case of.kind == shard.ReqConsume:
		c.registered(p.req, of.consumer, failed)
	case of.kind == shard.ReqCancel:
		c.unfeed(of.consumer.ID)
		c.o.Told(p.req, nil)
	case failed != nil:
		c.refuse(p.req, of.kind, failed)
	default:
		err = c.answered(p.req, of.kind, p.payload)
	}
	delete(c.asks, p.req)
	return 0, err
}

// A leader that ceases to lead refuses what it has not done: the next one is
// asked then. Should it lead on, it is asked again, a few times.
const (
	askAgainAfter = 500 * time.Millisecond
	mostAsked     = 20
)

// unavailable keeps a request that its leader could not do; false if it was asked
// often enough.
func (c *Client) unavailable(id uint64, a *asked) bool {
	if a.times++; a.times >= mostAsked {
		return false
	}
	c.asks[id] = *a
	c.later[id] = c.now + askAgainAfter
	return true
}

// askAgain asks for what a leader refused and leads on.
func (c *Client) askAgain() {
	if len(c.later) == 0 {
		return
	}
	c.o.Asked(func(id uint64, r *shard.Request) {
		if at, ok := c.later[id]; ok && c.now >= at {
			delete(c.later, id)
			times := c.asks[id].times
			c.ask(id, r)
			a := c.asks[id]
			a.times = times
			c.asks[id] = a
		}
	})
}

// answered takes the answer to a request that was granted.
func (c *Client) answered(id uint64, kind shard.RequestKind, payload []byte) error {
	switch kind {
	case shard.ReqReopen:
		c.o.Told(id, nil)
	case shard.ReqPurge, shard.ReqClose:
		n, err := readNumber(payload)
		if err == nil {
			c.o.Numbered(id, n, nil)
		}
		return err
	case shard.ReqCounts:
		n, err := parseCounts(payload)
		if err == nil {
			c.o.Counted(id, n, nil)
		}
		return err
	}
	return nil
}

// registered takes the answer to the begin of a consumer.
func (c *Client) registered(id uint64, sc *shard.Consumer, err error) {
	if err != nil {
		c.unfeed(sc.ID)
	}
	if c.o.Consumed(id, err) {
		return
	}
	if f := c.feeds[sc.ID]; f != nil {
		f.gone = true
	}
	r := shard.Request{Kind: shard.ReqCancel, Consumer: sc, Done: func(error) {}}
	c.ask(c.o.Ask(c.now, r), &r)
}

// unfeed lets a consumer's feed go: the leader sends it nothing any more.
func (c *Client) unfeed(id uint64) {
	if f := c.feeds[id]; f != nil {
		c.forget(f)
		delete(c.feeds, id)
	}
}

// got takes the answer to a get.
func (c *Client) got(id uint64, q shard.QueueID, b []byte) (need uint64, err error) {
	r := reader{b: b}
	if need = r.u(); need > c.h.o.View() {
		return need, nil
	}
	g, err := parseGot(r.b)
	if err != nil || r.bad {
		return 0, malformed("got")
	}
	if !g.Empty && g.Holding.Term != c.leader.term {
		return 0, nil // asked again
	}
	delete(c.asks, id)
	if !c.o.Taken(id, c.leader.term, g, nil) {
		c.settle(c.o.Stray(q, []shard.Delivery{g.Delivery}))
	}
	return 0, nil
}
