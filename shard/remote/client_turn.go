package remote

import (
	"encoding/binary"
	"time"

	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
)

// Batches are sent one at a time, so that what comes meanwhile becomes the next
// one, unless they are worth sending.
const (
	bigBatch    = 64 << 10
	mostBatches = 4
)

// Turn implements shard.Elsewhere. It is called in turns in which this node does
// not lead.
func (c *Client) Turn(now time.Duration) {
	c.now = now
	leader := c.drain()
	if leader != nil && leader.term < c.o.Term() {
		leader = nil // it has not heard that it leads no more
	}
	if leader != c.leader {
		c.follow(leader)
	}
	if c.over.Load() {
		c.bury()
	} else {
		c.take1()
	}
	if c.leader == nil {
		c.o.Expire(now)
		c.o.Unpark(now)
	} else if c.attached {
		c.o.Led()
		c.askAgain()
	}
	c.expireLooks()
	c.send()
	c.o.Wakes.Wake()
}

// take1 takes what the sessions of this node want.
func (c *Client) take1() {
	c.takeLooks()
	_, _, waiting := c.o.In.Pending()
	c.batches(waiting)
	if waiting {
		c.requests, c.settles = c.o.In.TakeRequests(c.requests[:0], c.settles[:0])
		if len(c.settles) > 0 {
			c.settle(c.o.Settle(c.settles))
		}
		for i := range c.requests {
			c.begin(&c.requests[i])
			c.requests[i] = shard.Request{}
		}
	}
	c.release()
	if c.flush && c.attached {
		c.frame(typeSettle, func(dst []byte) []byte {
			return appendSettleFrame(dst, &settles{target: c.key.target, upTo: c.settled, flush: true})
		})
		c.flush = false
	}
}

// drain does the frames that came, up to one that this node's View is not ready
// for. What it returns leads from behind them on.
func (c *Client) drain() *leadership {
	c.mu.Lock()
	leader := c.mu.leader
	c.events = append(c.events, c.mu.events...)
	clear(c.mu.events)
	c.mu.events = c.mu.events[:0]
	c.mu.Unlock()
	for c.at < len(c.events) {
		e := &c.events[c.at]
		if c.leader == nil || e.by != c.leader.by {
			c.done(e)
			continue
		}
		need, err := c.event(&e.f)
		if err != nil {
			e.by.st.Close(err)
		}
		if need > c.h.o.View() {
			c.need.Store(need)
			if need > c.h.o.View() { // Viewed saw need, or we see what it came for
				return leader
			}
			continue
		}
		c.done(e)
	}
	c.need.Store(0)
	clear(c.events)
	c.events, c.at = c.events[:0], 0
	return leader
}

// done lets an event go.
func (c *Client) done(e *event) {
	if e.f.Type == typeDeliver {
		e.by.read(len(e.f.Body))
	}
	*e = event{}
	c.at++
}

// void lets all events go: they are of a leader that leads no more.
func (c *Client) void() {
	for c.at < len(c.events) {
		c.done(&c.events[c.at])
	}
	c.events, c.at = c.events[:0], 0
	c.need.Store(0)
}

// follow turns to whoever leads now, and tells it what this node has.
func (c *Client) follow(l *leadership) {
	c.out.reset()
	c.freeRoom()
	c.void()
	c.leader, c.attached = l, false
	c.lose()
	clear(c.asks)
	clear(c.later)
	c.o.Rewind()
	if l == nil || c.over.Load() {
		return
	}
	c.report++
	step.At(step.AttachBegun)
	for _, a := range c.o.Report(l.term) {
		x := attach{target: c.key.target, id: c.report, term: l.term, first: a.Begin, end: a.End, claims: a.Claims}
		for _, sc := range a.Consumers {
			f := c.feed(sc)
			if f.gone = c.o.Consumer(sc.ID) != sc; f.gone {
				f.granted = 0
			}
			x.specs = append(x.specs, c.spec(sc, f))
		}
		c.frame(typeAttach, func(dst []byte) []byte { return appendAttach(dst, &x) })
		step.At(step.AttachSent)
	}
}

// reported goes on behind the end of a report: what is not known to be committed
// is settled again, and what is not answered is asked again.
func (c *Client) reported() {
	c.attached = true
	step.At(step.AttachAnswered)
	c.o.Attached(&shard.Attached{Term: c.leader.term}, true)
	c.batches(true)
	c.o.Unsettled(func(number uint64, ss []shard.Settle) { c.settle(number, ss) })
	c.flush = true
	c.o.Asked(func(id uint64, r *shard.Request) { c.ask(id, r) })
	step.At(step.AttachResent)
	c.lookAgain()
	for _, sc := range c.o.Consumers() {
		if f := c.feeds[sc.ID]; f != nil {
			c.grant(f)
		}
	}
}

// frame makes a frame; f appends its head.
func (c *Client) frame(kind uint8, f func(dst []byte) []byte) {
	c.out.begin(kind)
	c.out.buf = f(c.out.buf)
	c.out.end(nil)
}

// send sends what the turn made.
func (c *Client) send() {
	if c.leader == nil {
		c.out.reset()
		return
	}
	c.leader.by.send(&c.out)
	c.freeRoom()
}

// freeRoom gives back the room that was made for batches.
func (c *Client) freeRoom() {
	if c.leader != nil {
		c.leader.by.room.Add(-int64(c.reserved))
	}
	c.reserved = 0
}

// batches sends batches: those that are sent again, and the one that waits, if
// there is nothing to wait for, or all.
func (c *Client) batches(all bool) {
	for c.leader != nil {
		if !c.o.Waiting() {
			n, size, _ := c.o.In.Pending()
			inflight := c.o.Number() - c.o.Answered()
			if n == 0 || !all && inflight > 0 && (size < bigBatch || inflight >= mostBatches) {
				break
			}
		}
		b := c.o.Next(c.h.o.View())
		if b == nil {
			break
		}
		data := b.Bytes()
		if !c.leader.by.reserve(c, len(data)) {
			break
		}
		c.reserved += len(data)
		c.out.begin(typeBatch)
		c.out.buf = appendTarget(c.out.buf, c.key.target)
		c.out.end(data)
		c.o.Sent()
	}
	c.inflight.Store(int32(c.o.Number() - c.o.Answered()))
}

// settle sends settles, unless a report does so.
func (c *Client) settle(number uint64, ss []shard.Settle) {
	if len(ss) == 0 {
		return
	}
	c.settled = max(c.settled, number)
	if c.attached {
		c.frame(typeSettle, func(dst []byte) []byte {
			return appendSettleFrame(dst, &settles{target: c.key.target, upTo: number, ss: ss})
		})
	}
}

// begin does a request of a session.
func (c *Client) begin(r *shard.Request) {
	switch r.Kind {
	case shard.ReqRun:
		r.Run()
	case shard.ReqSettle:
		c.o.Committed(r.Done)
		c.flush = true
	case shard.ReqKick:
		if f := c.feeds[r.Consumer.ID]; f != nil && f.c == r.Consumer {
			c.kick(f)
		}
	case shard.ReqCancel:
		c.cancel(r)
	case shard.ReqLetters: // an outbox is at its leader
		r.DoneLetters(shard.LettersResult{}, shard.ErrUnavailable)
	case shard.ReqLeft, shard.ReqChanged:
	default:
		// What was published before it has to be before it.
		if n, _, _ := c.o.In.Pending(); n > 0 && c.leader != nil || len(c.held) > 0 {
			c.held = append(c.held, heldRequest{c.o.Number() + uint64(n), *r})
			return
		}
		c.ask(c.o.Ask(c.now, *r), r)
	}
}

// release asks the requests whose batches were sent.
func (c *Client) release() {
	for len(c.held) > 0 && (c.leader == nil || c.o.Number() >= c.held[0].number && !c.o.Waiting()) {
		r := c.held[0].r
		c.held = c.held[1:]
		c.ask(c.o.Ask(c.now, r), &r)
	}
	if len(c.held) == 0 {
		c.held = nil
	}
}

// ask sends a request, unless a report does so.
func (c *Client) ask(id uint64, r *shard.Request) {
	if !c.attached {
		return
	}
	c.asks[id] = asked{kind: r.Kind, queue: r.Queue, consumer: r.Consumer}
	a := ask{target: c.key.target, req: id, queue: r.Queue}
	switch r.Kind {
	case shard.ReqConsume:
		f := c.feed(r.Consumer)
		x := consume{target: c.key.target, req: id, spec: c.spec(r.Consumer, f)}
		c.frame(typeConsume, func(dst []byte) []byte { return appendConsume(dst, &x) })
		return
	case shard.ReqCancel:
		c.frame(typeCancel, func(dst []byte) []byte {
			return appendOfConsumer(dst, ofConsumer{c.key.target, r.Consumer.ID, id})
		})
		return
	case shard.ReqGet:
		a.op, a.arg = opGet, r.Session
	case shard.ReqPurge:
		a.op = opPurge
	case shard.ReqCounts:
		a.op = opCounts
		if r.Renew {
			a.op = opRenew
		}
	case shard.ReqClose:
		a.op = opClose
		a.arg = uint64(bit(r.If.IfEmpty, closeIfEmpty) | bit(r.If.IfUnused, closeIfUnused))
	case shard.ReqReopen:
		a.op = opReopen
	default:
		return
	}
	c.frame(typeAsk, func(dst []byte) []byte { return appendAsk(dst, &a) })
}

// Follow implements shard.Elsewhere: the next turn looks who leads. Whom the
// replica takes for its leader does not matter, he says so himself.
func (c *Client) Follow(uint64) {
	if c.led.Swap(false) {
		c.leader, c.attached = nil, false
	}
}

// Lead implements shard.Elsewhere.
func (c *Client) Lead() {
	c.led.Store(true)
	c.mu.Lock()
	c.events = append(c.events, c.mu.events...)
	clear(c.mu.events)
	c.mu.events = c.mu.events[:0]
	c.mu.Unlock()
	c.void()
	c.out.reset()
	c.freeRoom()
	c.leader, c.attached = nil, false
	c.lose()
	c.release()
	c.inflight.Store(0)
	c.looksHere()
}

// bury ends everything: the memory that held the queues is gone. What was
// published was never routed there.
func (c *Client) bury() {
	c.freeRoom()
	c.leader, c.attached = nil, false
	c.void()
	c.lose()
	c.takeLooks()
	c.o.Rewind() // what was sent is not answered any more
	for b := c.o.Next(0); b != nil; b = c.o.Next(0) {
		c.o.Sent()
		for n := c.o.Answered() + 1; n <= c.o.Number(); n++ {
			c.o.Answer(n, nil, shard.BatchTook)
		}
	}
	for _, sc := range c.o.Consumers() {
		c.o.Cancelled(sc.ID)
	}
	c.requests, c.settles = c.o.In.TakeRequests(c.requests[:0], c.settles[:0])
	for i := range c.requests {
		c.begin(&c.requests[i])
		c.requests[i] = shard.Request{}
	}
	c.release()
	c.o.Asked(func(id uint64, r *shard.Request) { c.refuse(id, r.Kind, shard.ErrGone) })
	c.o.Settled(^uint64(0))
	c.inflight.Store(0)
}

// refuse answers a request with an error.
func (c *Client) refuse(id uint64, kind shard.RequestKind, err error) {
	switch kind {
	case shard.ReqConsume:
		c.o.Consumed(id, err)
	case shard.ReqCancel, shard.ReqReopen:
		c.o.Told(id, err)
	case shard.ReqGet:
		c.o.Taken(id, c.o.Term(), shard.GetResult{}, err)
	case shard.ReqPurge, shard.ReqClose:
		c.o.Numbered(id, 0, err)
	case shard.ReqCounts:
		c.o.Counted(id, shard.Counts{}, err)
	}
}

// readNumber is a payload that is one number.
func readNumber(b []byte) (uint64, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || k != len(b) {
		return 0, malformed("number")
	}
	return n, nil
}
