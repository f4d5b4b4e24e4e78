package amqp091

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// An outbox is what waits to be written: items in the order in which they were
// queued, and the confirms of channels, which coalesce. Shards' turns and the
// reader fill it; a writer goroutine runs while there is something to write.
//
// Its bounds: the reader waits while its own replies are too many (waitDrained),
// and consumers are given nothing more while their deliveries are (full).
type outbox struct {
	sync.Mutex
	*pages   // nil while nothing waits
	confirms []*channel
	gets     int                // bytes of the items that answer basic.get
	replies  int                // items for direct reply-to consumers
	replied  int                // their bytes
	ended    []*consumer        // by the broker; the reader forgets them
	starving []*broker.Consumer // refused by full, to be kicked
	writing  bool               // a writer runs
	dead     bool               // the peer is gone: what waits is given back
	shut     bool               // no writer starts any more
	pool     *sync.Pool         // of *pages
	drained  sync.Cond
	frameMax uint32

	// Deliveries in items or with the writer.
	backlog, backlogBytes atomic.Int64
	hungry                atomic.Bool // there may be somebody in starving
	due                   atomic.Bool // the reader is to look at what is parked
}

// pages are what items are kept in; an idle connection has none.
type pages struct {
	items  []outItem
	frames []byte // of the items that are frames
}

// An outItem is frames made already, or a delivery to be made into frames.
type outItem struct {
	to        *consumer // nil: frames
	end       int       // of its frames in outbox.frames
	d         broker.Delivery
	remaining uint32 // of basic.get
	get       bool   // the delivery answers basic.get
	void      bool   // the channel had ended: the delivery goes back
}

// Bounds of the outbox.
const (
	maxQueued       = 4 << 20 // bytes of replies waiting: the reader waits beyond
	maxBacklog      = 16 << 10
	maxBacklogBytes = 8 << 20
	keepFrames      = 256 << 10 // memory for frames that is used again
)

func (o *outbox) setFrameMax(n uint32) {
	o.Lock()
	o.frameMax = n
	o.Unlock()
}

// method queues a method's frame.
func (o *outbox) method(channel uint16, m wire.Method) {
	o.Lock()
	o.add(channel, m)
	o.Unlock()
}

// add queues a method's frame, with o locked.
func (o *outbox) add(channel uint16, m wire.Method) {
	o.open()
	o.frames = m.AppendFrame(o.frames, channel)
	o.added()
}

// open makes sure that there are pages to append to, with o locked.
func (o *outbox) open() {
	if o.pages != nil {
		return
	}
	if o.pages, _ = o.pool.Get().(*pages); o.pages == nil {
		o.pages = &pages{}
	}
}

// close lets the pages go when nothing waits, with o locked.
func (o *outbox) close() {
	if o.pages == nil {
		return
	}
	if cap(o.items) <= maxBacklog && cap(o.frames) <= keepFrames {
		o.items, o.frames = o.items[:0], o.frames[:0]
		o.pool.Put(o.pages)
	}
	o.pages = nil
}

// waits reports whether there is something to write, with o locked.
func (o *outbox) waits() bool {
	return o.pages != nil && len(o.items) > 0 || len(o.confirms) > 0
}

// added makes an item of what was appended to frames, with o locked.
func (o *outbox) added() {
	if n := len(o.items); n > 0 && o.items[n-1].to == nil {
		o.items[n-1].end = len(o.frames)
		return
	}
	o.items = append(o.items, outItem{end: len(o.frames)})
}

// deliver queues deliveries, with o locked.
func (o *outbox) deliver(k *consumer, ds []broker.Delivery) {
	o.open()
	void, bytes := k.ch.gone.Load(), 0
	for i := range ds {
		bytes += len(ds[i].Blob)
		o.items = append(o.items, outItem{to: k, d: ds[i], void: void})
	}
	o.backlog.Add(int64(len(ds)))
	o.backlogBytes.Add(int64(bytes))
}

// got queues the answer of basic.get.
func (o *outbox) got(k *consumer, d broker.Delivery, remaining uint32) {
	o.Lock()
	defer o.Unlock()
	o.open()
	o.items = append(o.items, outItem{to: k, d: d, remaining: remaining, get: true, void: k.ch.gone.Load()})
	o.gets += len(d.Blob)
	o.backlog.Add(1)
	o.backlogBytes.Add(int64(len(d.Blob)))
}

// reply queues a message for a direct reply-to consumer and wakes the writer.
// It reports false if the client does not read what it is sent: what it asked
// others for has to be bounded here, nobody waits for it.
func (o *outbox) reply(k *consumer, blob []byte) bool {
	o.Lock()
	defer o.Unlock()
	if k.ch.gone.Load() || o.dead {
		return true // as if it had been sent just before
	}
	if o.replies >= maxBacklog || o.replied >= maxBacklogBytes {
		return false
	}
	o.open()
	o.items = append(o.items, outItem{to: k, d: broker.Delivery{Blob: blob}})
	o.replies++
	o.replied += len(blob)
	o.backlog.Add(1)
	o.backlogBytes.Add(int64(len(blob)))
	o.start(k.ch.c)
	return true
}

// confirmed tells a channel's confirms in their place among the items instead
// of behind them, with o locked: nothing of a channel follows its close.
func (o *outbox) confirmed(ch *channel) {
	if !ch.confirms.listed {
		return
	}
	ch.confirms.listed = false
	for i, x := range o.confirms {
		if x == ch {
			o.confirms = append(o.confirms[:i], o.confirms[i+1:]...)
			break
		}
	}
	o.open()
	o.frames = ch.confirms.append(o.frames, ch.id)
	o.added()
}

// full reports whether a consumer may not be given more for now, and remembers
// it in that case. pending is what it was given and did not get yet.
func (o *outbox) full(k *consumer, pending int) bool {
	if !o.over(pending) {
		return false
	}
	o.Lock()
	defer o.Unlock()
	// The writer lowers the backlog, then looks whether somebody is hungry.
	o.hungry.Store(true)
	if !o.over(pending) {
		return false
	}
	if !k.starving {
		k.starving = true
		o.starving = append(o.starving, k.bc)
	}
	return true
}

func (o *outbox) over(pending int) bool {
	return o.backlog.Load()+int64(pending) >= maxBacklog || o.backlogBytes.Load() >= maxBacklogBytes
}

// written lowers the backlog and has the consumers served again that starved.
func (o *outbox) written(n, bytes int) {
	left, leftBytes := o.backlog.Add(-int64(n)), o.backlogBytes.Add(-int64(bytes))
	if left > maxBacklog/2 || leftBytes > maxBacklogBytes/2 || !o.hungry.Load() {
		return
	}
	o.Lock()
	o.hungry.Store(false)
	ks := o.starving
	o.starving = nil
	for _, k := range ks {
		k.User.(*consumer).starving = false
	}
	o.Unlock()
	for _, k := range ks {
		k.Kick()
	}
}

// wake starts a writer if there is something to write and none runs.
func (o *outbox) wake(c *conn) {
	o.Lock()
	o.start(c)
	o.Unlock()
}

// start is wake with o locked.
func (o *outbox) start(c *conn) {
	if o.writing || o.shut || !o.waits() {
		return
	}
	o.writing = true
	c.wg.Add(1)
	go c.write() // stop waits for it
}

// beat queues a heartbeat, unless something is being written anyway.
func (o *outbox) beat(c *conn) {
	o.Lock()
	if !o.writing && !o.shut {
		o.open()
		o.frames = wire.AppendHeartbeat(o.frames)
		o.added()
	}
	o.Unlock()
	o.wake(c)
}

// waitDrained waits while too much waits to be written.
func (o *outbox) waitDrained(ctx context.Context) {
	o.Lock()
	for o.pages != nil && len(o.frames)+o.gets > maxQueued && !o.dead && ctx.Err() == nil {
		o.drained.Wait()
	}
	o.Unlock()
}

// waitDue waits until the reader is to look at what is parked. It returns
// false if nobody is there to read for any more.
func (o *outbox) waitDue(ctx context.Context) bool {
	o.Lock()
	defer o.Unlock()
	for !o.due.Load() && !o.dead && ctx.Err() == nil {
		o.drained.Wait()
	}
	return !o.dead && ctx.Err() == nil
}

// release ends waitDrained and waitDue.
func (o *outbox) release() {
	o.Lock()
	o.drained.Broadcast()
	o.Unlock()
}

// kill has everything that waits given back: the peer does not listen.
func (o *outbox) kill() {
	o.Lock()
	o.dead = true
	o.drained.Broadcast()
	o.Unlock()
}

// stop returns when all that was queued is written or given back. Deliveries
// must not come any more.
func (o *outbox) stop(c *conn) {
	o.wake(c)
	o.Lock()
	o.shut = true
	o.Unlock()
	c.wg.Wait()
	o.Lock()
	left := o.waits()
	if left {
		o.writing = true
		c.wg.Add(1)
	}
	o.Unlock()
	if left {
		c.write()
	}
}

// takeEnded returns the consumers that the broker ended since it was called.
func (o *outbox) takeEnded() []*consumer {
	o.Lock()
	defer o.Unlock()
	ks := o.ended
	o.ended = nil
	return ks
}
