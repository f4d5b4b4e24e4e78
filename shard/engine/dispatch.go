package engine

import (
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// perCall bounds what one call of a dispatcher hands out, so that the scratch
// slices stay small.
const perCall = 512

func (e *Engine) flushTouched() {
	for _, q := range e.touched {
		e.flush(q)
	}
}

// Dispatch logs what was decided for the queues touched and hands out their
// messages.
func (e *Engine) Dispatch() {
	for i := 0; i < len(e.touched); i++ { // it may grow
		q := e.touched[i]
		e.touched[i] = nil
		q.touched = false
		e.flush(q)
		if q.Disp == nil {
			continue
		}
		e.dispatch(q)
	}
	e.touched = e.touched[:0]
}

func (e *Engine) dispatch(q *Queue) {
	e.Ask(q)
	e.flushLate(q)
	defer e.offer(q) // what dies here at once, in the memory of a node
	if q.Returning > 0 {
		return
	}
	if q.Settings.Schedule {
		e.due(q)
		return
	}
	if q.Closing() || e.unused(q) {
		if len(q.waits) > 0 {
			e.retry(q)
		}
		return
	}
	for {
		ds, p := q.Disp.Dispatch(e.Now, perCall, e.deliveries[:0])
		e.deliver(q, ds)
		e.deliveries = ds[:0]
		switch p.Why {
		case queue.LimitReached:
			continue
		case queue.NeedExpiry:
			if e.expire(q) {
				continue
			}
		case queue.NeedPage:
			e.loadPage(q, p.Page)
		}
		break
	}
	if len(q.waits) > 0 {
		e.retry(q)
	}
	e.expire(q)
	e.overflow(q)
	at, p := q.Disp.NextExpiry()
	if p.Why == queue.NeedPage {
		e.loadPage(q, p.Page)
	}
	e.expireAt(q, sooner(sooner(at, q.Disp.NextRetry()), q.endsAt()))
}

// expire logs the expiry of what is due at the head. It reports whether
// dispatch may go on.
func (e *Engine) expire(q *Queue) bool {
	any := false
	for {
		runs, p := q.Disp.Expired(e.Now, perCall, e.runs[:0])
		for _, r := range runs {
			e.die(q, r, queue.Expired)
		}
		any = any || len(runs) > 0
		e.runs = runs[:0]
		switch p.Why {
		case queue.LimitReached:
			continue
		case queue.NeedPage:
			e.loadPage(q, p.Page)
			return false
		}
		return any
	}
}

func (e *Engine) overflow(q *Queue) {
	for {
		runs, p := q.Disp.Overflow(perCall, e.runs[:0])
		for _, r := range runs {
			e.die(q, r, queue.Dropped)
		}
		e.runs = runs[:0]
		if p.Why == queue.NeedPage {
			e.loadPage(q, p.Page)
		}
		if p.Why != queue.LimitReached {
			return
		}
	}
}

func (e *Engine) loadPage(q *Queue, page uint64) {
	if slices.Contains(q.pages, page) {
		return
	}
	ahead := 2
	if q.Settings.Schedule {
		ahead = 0 // what is due next is not next to it
	}
	for _, p := range append([]uint64{page}, q.Disp.ReadAhead(ahead, nil)...) {
		if !slices.Contains(q.pages, p) {
			q.pages = append(q.pages, p)
			e.Log.LoadPage(q, p)
		}
	}
}

// PageLoaded says that LoadPage is done with a page.
func (e *Engine) PageLoaded(q *Queue, page uint64) {
	if i := slices.Index(q.pages, page); i >= 0 {
		q.pages = slices.Delete(q.pages, i, i+1)
	}
	e.Touch(q)
}

// deliver hands deliveries to their sinks, grouped by consumer as they come. A
// consumer whose next body is not in memory waits, with all that follows.
func (e *Engine) deliver(q *Queue, ds []queue.Delivery) {
	for len(ds) > 0 {
		ref := ds[0].Ref
		n := 1
		for n < len(ds) && ds[n].Ref == ref {
			n++
		}
		c := q.consumers[ref-1]
		part := ds[:n]
		ds = ds[n:]
		if len(c.waiting) > 0 {
			c.waiting = append(c.waiting, part...)
			continue
		}
		if k := e.send(c, part); k < len(part) {
			c.waiting = append(c.waiting, part[k:]...)
			e.forward(c)
		}
	}
}

// send hands over the deliveries up to the first whose body is not in memory,
// and returns their number.
func (e *Engine) send(c *Consumer, ds []queue.Delivery) int {
	out := e.out[:0]
	for i := range ds {
		d := &ds[i]
		blob := e.Residents.Body(d.Record.Body)
		if blob == nil {
			break
		}
		out = append(out, delivery(d, blob))
	}
	e.hand(c, out)
	clear(out)
	e.out = out[:0]
	return len(out)
}

func delivery(d *queue.Delivery, blob []byte) shard.Delivery {
	return shard.Delivery{Blob: blob, Seq: d.Seq, Holding: d.Holding, Redelivered: d.Redelivered, Acquired: d.Record.Acquired, Failed: d.Record.Failed, Size: d.Record.Size}
}

func (e *Engine) hand(c *Consumer, out []shard.Delivery) {
	if len(out) == 0 {
		return
	}
	if c.get != nil {
		c.get(shard.GetResult{Delivery: out[0], Remaining: c.q.Disp.Ready().Messages}, nil)
		return
	}
	c.Sink.Deliver(c.Consumer, out)
	e.WakeLater(c.Sink)
}

// loadBytes bounds the bodies asked for at once, but for one that is larger.
const loadBytes = 1 << 20

// forward hands over what waits for c, as far as bodies are there, and asks for
// what misses.
func (e *Engine) forward(c *Consumer) {
	c.waiting = c.waiting[e.send(c, c.waiting):]
	if len(c.waiting) == 0 {
		c.waiting = nil
		return
	}
	var bodies []queue.Body
	size := 0
	for i := range c.waiting[:min(len(c.waiting), perCall)] {
		b := c.waiting[i].Record.Body
		if size += int(b.Len); size > loadBytes && i > 0 {
			break
		}
		bodies = append(bodies, b)
	}
	e.Log.Load(c, bodies)
}

// Loaded takes the bodies that Load was asked for; nil is one that was not
// found. It returns a message that is in its queue and whose body is lost.
func (e *Engine) Loaded(c *Consumer, blobs [][]byte) (lost *queue.Delivery) {
	if c.post != nil {
		return e.lettersLoaded(c, blobs)
	}
	if c.asked != nil {
		c.q.fetching = slices.DeleteFunc(c.q.fetching, func(x *Consumer) bool { return x == c })
	}
	if c.gone || c.q.Disp == nil || c.q.Disp != c.disp {
		// The message was never handed over, and is ready again for others.
		if c.get != nil {
			err := shard.ErrUnavailable
			if e.queues[c.q.ID] != c.q {
				err = shard.ErrGone
			}
			c.get(shard.GetResult{}, err)
		}
		return nil
	}
	out := make([]shard.Delivery, 0, len(blobs))
	for i, b := range blobs {
		if b == nil {
			return &c.waiting[i]
		}
		out = append(out, delivery(&c.waiting[i], b))
	}
	e.hand(c, out)
	c.waiting = c.waiting[len(blobs):]
	e.forward(c)
	return nil
}
