package amqp091

import (
	"context"
	"net"
	"sync"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/shard"
)

// An outbox is what waits to be written: items in the order in which they were
// queued, and the confirms of channels, which coalesce. Shards' turns and the
// reader fill it; a writer goroutine runs while there is something to write.
type outbox struct {
	sync.Mutex
	items    []outItem
	frames   []byte // of the items that are frames
	confirms []*channel
	writing  bool // a writer runs
	dead     bool // nothing is written any more
	drained  sync.Cond
	frameMax uint32
}

// An outItem is frames made already, or a delivery to be made into frames.
type outItem struct {
	to  *consumer // nil: frames
	end int       // of its frames in outbox.frames
	d   shard.Delivery
	get *getReply // the delivery answers basic.get
}

type getReply struct{ remaining uint32 }

// Bounds of the outbox and of one write.
const (
	maxQueued  = 4 << 20   // bytes of frames waiting: the reader waits beyond
	writeChunk = 128 << 10 // bytes made before they are written
	copyLimit  = 16 << 10  // larger bodies are written from where they are
)

func (o *outbox) setFrameMax(n uint32) {
	o.Lock()
	o.frameMax = n
	o.Unlock()
}

// method queues a method's frame.
func (o *outbox) method(channel uint16, m wire.Method) {
	o.Lock()
	o.frames = m.AppendFrame(o.frames, channel)
	o.add()
	o.Unlock()
}

// add makes an item of what was appended to frames, with o locked.
func (o *outbox) add() {
	if n := len(o.items); n > 0 && o.items[n-1].to == nil {
		o.items[n-1].end = len(o.frames)
		return
	}
	o.items = append(o.items, outItem{end: len(o.frames)})
}

// wake starts a writer if there is something to write and none runs.
func (o *outbox) wake(c *conn) {
	o.Lock()
	defer o.Unlock()
	if o.writing || o.dead || len(o.items) == 0 && len(o.confirms) == 0 {
		return
	}
	o.writing = true
	c.wg.Add(1)
	go c.write() // serve waits for it
}

// beat queues a heartbeat.
func (o *outbox) beat(c *conn) {
	o.Lock()
	o.frames = wire.AppendHeartbeat(o.frames)
	o.add()
	o.Unlock()
	o.wake(c)
}

// waitDrained waits while too much waits to be written.
func (o *outbox) waitDrained(ctx context.Context) {
	o.Lock()
	for len(o.frames) > maxQueued && !o.dead && ctx.Err() == nil {
		o.drained.Wait()
	}
	o.Unlock()
}

// shut has the writer end when it has written what waits now.
func (o *outbox) shut(c *conn) {
	o.wake(c)
	o.Lock()
	if !o.writing {
		o.dead = true
	}
	o.Unlock()
}

// write is the writer's goroutine.
func (c *conn) write() {
	defer c.wg.Done()
	o := &c.out
	bp, _ := c.f.buffers.Get().(*[]byte)
	if bp == nil {
		b := make([]byte, 0, writeChunk+copyLimit)
		bp = &b
	}
	w := writer{c: c, buf: (*bp)[:0]}
	for {
		o.Lock()
		if w.err != nil || len(o.items) == 0 && len(o.confirms) == 0 {
			o.writing = false
			o.dead = o.dead || w.err != nil
			o.drained.Broadcast()
			if len(w.items) > cap(o.items) {
				o.items = w.items[:0]
			}
			o.Unlock()
			break
		}
		w.items, o.items = o.items, w.items[:0]
		w.frames, o.frames = o.frames, w.frames[:0]
		w.confirm(o)
		w.frameMax = o.frameMax
		o.drained.Broadcast()
		o.Unlock()
		w.run()
	}
	if cap(w.buf) <= 2*writeChunk {
		*bp = w.buf[:0]
		c.f.buffers.Put(bp)
	}
	if w.err != nil {
		_ = c.nc.Close() // the reader ends with it
	}
}

// A writer turns items into bytes on the socket.
type writer struct {
	c        *conn
	items    []outItem
	frames   []byte
	acks     []byte // frames of confirms: they stand behind the items
	buf      []byte
	parts    net.Buffers // buf and large bodies in turn, if there are any
	from     int         // of buf, not in parts yet
	frameMax uint32
	settles  []shard.Settle // of deliveries that need no acknowledgement
	settleTo shard.Shard
	err      error
}

func (w *writer) run() {
	at := 0
	for i := range w.items {
		it := &w.items[i]
		if it.to == nil {
			w.buf = append(w.buf, w.frames[at:it.end]...)
			at = it.end
		} else {
			w.deliver(it)
		}
		if len(w.buf) >= writeChunk {
			w.flush()
		}
	}
	clear(w.items)
	w.buf = append(w.buf, w.acks...)
	w.acks = w.acks[:0]
	w.flush()
	if cap(w.frames) > writeChunk {
		w.frames = nil
	}
}

// flush writes what was made, then settles the deliveries of it that their
// consumers do not acknowledge.
func (w *writer) flush() {
	if w.err == nil && (len(w.buf) > 0 || len(w.parts) > 0) {
		if len(w.parts) == 0 {
			_, w.err = w.c.nc.Write(w.buf)
		} else {
			w.cut()
			_, w.err = protocol.WriteBuffers(w.c.nc, &w.parts)
		}
		w.c.wrote.Store(true)
	}
	w.buf, w.parts, w.from = w.buf[:0], nil, 0
	if len(w.settles) > 0 && w.err == nil {
		w.settleTo.Settle(w.settles, nil)
	}
	w.settles = w.settles[:0]
}

// cut makes a part of what was appended to buf since the last.
func (w *writer) cut() {
	if len(w.buf) > w.from {
		w.parts = append(w.parts, w.buf[w.from:len(w.buf):len(w.buf)])
	}
	w.from = len(w.buf)
}

func (w *writer) deliver(it *outItem) {
	k := it.to
	m, err := message.Parse(it.d.Blob)
	if err != nil {
		// What is stored was checked when it came in: this is our own fault.
		w.c.log.Error("stored message can not be read", "queue", k.name, "err", err)
		return
	}
	tag, ok := k.ch.delivered(it)
	if !ok {
		return // the channel ended: what it held went back
	}
	if it.get != nil {
		g := wire.BasicGetOK{DeliveryTag: tag, Redelivered: it.d.Redelivered, Exchange: m.Exchange, RoutingKey: m.RoutingKey, MessageCount: it.get.remaining}
		w.buf = g.AppendFrame(w.buf, k.ch.id)
	} else {
		w.buf = wire.AppendDeliver(w.buf, k.ch.id, k.tag, tag, it.d.Redelivered, m.Exchange, m.RoutingKey)
	}
	w.content(k.ch.id, properties(&m), m.Body)
	if k.noAck && it.get == nil {
		if w.settleTo != k.shard() && len(w.settles) > 0 {
			w.flush()
		}
		w.settleTo = k.shard()
		w.settles = append(w.settles, shard.Settle{Queue: k.queue, Seq: it.d.Seq, Holding: it.d.Holding, Outcome: shard.Accept})
	}
}

// content appends header and body frames. A large body is not copied.
func (w *writer) content(channel uint16, props wire.Props, body []byte) {
	w.buf = wire.AppendHeader(w.buf, channel, props, uint64(len(body)))
	if len(body) <= copyLimit {
		w.buf = wire.AppendBodyFrames(w.buf, channel, body, w.frameMax)
		return
	}
	most := int(max(w.frameMax, minFrameMax)) - wire.FrameOverhead
	for len(body) > 0 {
		part := body[:min(len(body), most)]
		body = body[len(part):]
		w.buf = append(w.buf, wire.FrameBody, byte(channel>>8), byte(channel),
			byte(len(part)>>24), byte(len(part)>>16), byte(len(part)>>8), byte(len(part)))
		// The buffer may move while it grows: what was cut stays as it is.
		w.cut()
		w.parts = append(w.parts, part)
		w.buf = append(w.buf, frameEnd)
	}
}

const frameEnd = 0xCE
