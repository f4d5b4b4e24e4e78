package engine

import (
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
	if q.Returning > 0 {
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
	if at, p := q.Disp.NextExpiry(); at != 0 {
		e.expiring[q] = struct{}{}
	} else if p.Why == queue.NeedPage {
		e.loadPage(q, p.Page)
	}
}

// Tick expires what is due at the head of queues; e.Now is set.
func (e *Engine) Tick() {
	for q := range e.expiring {
		if q.Disp == nil {
			delete(e.expiring, q)
			continue
		}
		if t, _ := q.Disp.NextExpiry(); t == 0 {
			delete(e.expiring, q)
		} else if t <= e.Now {
			e.Touch(q)
		}
	}
}

// expire logs the expiry of what is due at the head. It reports whether
// dispatch may go on.
func (e *Engine) expire(q *Queue) bool {
	any := false
	for {
		runs, p := q.Disp.Expired(e.Now, perCall, e.runs[:0])
		for _, r := range runs {
			e.Log.Remove(q, r, queue.Expired)
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
			e.Log.Remove(q, r, queue.Dropped)
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
	for _, p := range q.pages {
		if p == page {
			return
		}
	}
	q.pages = q.Disp.ReadAhead(2, append(q.pages, page))
	for _, p := range q.pages {
		e.Log.LoadPage(q, p)
	}
}

// PageLoaded says that LoadPage is done with a page.
func (e *Engine) PageLoaded(q *Queue, page uint64) {
	for i, p := range q.pages {
		if p == page {
			q.pages = append(q.pages[:i], q.pages[i+1:]...)
			break
		}
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
			e.forward(c, nil)
		}
	}
}

// send hands over the deliveries up to the first whose body is not in memory,
// and returns their number.
func (e *Engine) send(c *Consumer, ds []queue.Delivery) int {
	out := e.out[:0]
	for i := range ds {
		d := &ds[i]
		data := e.Residents.Get(d.Record.Body.Index)
		if data == nil {
			break
		}
		out = append(out, delivery(d, data[d.Record.Body.Off:d.Record.Body.Off+d.Record.Body.Len]))
	}
	e.hand(c, out)
	clear(out)
	e.out = out[:0]
	return len(out)
}

func delivery(d *queue.Delivery, blob []byte) shard.Delivery {
	return shard.Delivery{Blob: blob, Seq: d.Seq, Holding: d.Holding, Redelivered: d.Redelivered, Acquired: d.Record.Acquired}
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

// forward hands over what waits for c, as far as bodies are there: those in
// memory, and the blobs given for the first of them. It asks for what misses.
func (e *Engine) forward(c *Consumer, blobs [][]byte) {
	if len(blobs) > 0 {
		out := make([]shard.Delivery, len(blobs))
		for i, b := range blobs {
			out[i] = delivery(&c.waiting[i], b)
		}
		e.hand(c, out)
		c.waiting = c.waiting[len(blobs):]
	}
	c.waiting = c.waiting[e.send(c, c.waiting):]
	if len(c.waiting) == 0 {
		c.waiting = nil
		return
	}
	bodies := make([]queue.Body, min(len(c.waiting), perCall))
	for i := range bodies {
		bodies[i] = c.waiting[i].Record.Body
	}
	e.Log.Load(c, bodies)
}

// Loaded takes the bodies that Load was asked for.
func (e *Engine) Loaded(c *Consumer, blobs [][]byte) {
	if c.gone || c.q.Disp == nil {
		if c.get != nil {
			c.get(shard.GetResult{}, shard.ErrGone)
		}
		return
	}
	e.forward(c, blobs)
}
