package amqp091

import (
	"errors"
	"net"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A writer turns items into bytes on the socket. A connection has one at a
// time, which ends when nothing waits; between connections they are reused.
type writer struct {
	c        *conn
	*pages          // being written
	acks     []byte // frames of confirms: they stand behind the items
	buf      []byte
	parts    net.Buffers // buf and large bodies in turn, if there are any
	large    int         // bytes of the large bodies in parts
	from     int         // of buf, not in parts yet
	frameMax uint32
	now      uint32 // on conn.clock, when the items were taken
	dead     bool   // nothing is written any more
	err      error

	settles      []broker.Settle // to be told after the next write
	runs         []settleRun     // whose they are
	taken, bytes int             // deliveries handled since the last write
}

// A settleRun says for whom the next n settles are.
type settleRun struct {
	to broker.Shard
	n  int
}

// Sizes of the writer's memory.
const (
	writeChunk = 128 << 10 // bytes made before they are written
	copyLimit  = 16 << 10  // larger bodies are written from where they are
	largeChunk = 1 << 20   // bytes of large bodies gathered for one write
)

// write is the writer's goroutine.
func (c *conn) write() {
	defer c.wg.Done()
	w, _ := c.f.writers.Get().(*writer)
	if w == nil {
		w = &writer{pages: &pages{}, buf: make([]byte, 0, writeChunk+copyLimit)}
	}
	w.c = c
	for w.take() {
		w.run()
	}
	switch {
	case errors.Is(w.err, protocol.ErrFenced):
		c.cancel(w.err)
	case w.err != nil:
		c.torn.Store(true)
		_ = c.nc.Close() // the reader ends with it
	}
	w.c, w.err, w.dead = nil, nil, false
	if cap(w.buf) <= 4*writeChunk && cap(w.items) <= maxBacklog && cap(w.frames) <= keepFrames {
		c.f.writers.Put(w)
	}
}

// take takes over what waits. If nothing does it returns false: the writer
// ended.
func (w *writer) take() bool {
	o := &w.c.out
	o.Lock()
	defer o.Unlock()
	o.dead = o.dead || w.err != nil
	if !o.waits() {
		o.writing = false
		o.close()
		o.drained.Broadcast()
		return false
	}
	o.open()
	w.pages, o.pages = o.pages, w.pages
	o.gets, o.replies, o.replied = 0, 0, 0
	for i, ch := range o.confirms {
		w.acks = ch.confirms.append(w.acks, ch.id)
		ch.confirms.listed = false
		o.confirms[i] = nil
	}
	o.confirms = o.confirms[:0]
	w.frameMax, w.dead, w.now = o.frameMax, o.dead, w.c.clock()
	o.drained.Broadcast()
	return true
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
		if len(w.buf) >= writeChunk || w.large >= largeChunk || len(w.settles) >= maxBacklog {
			w.flush()
		}
	}
	clear(w.items)
	w.items = w.items[:0]
	w.buf = append(w.buf, w.acks...)
	w.acks = w.acks[:0]
	w.flush()
	w.frames = w.frames[:0]
}

// flush writes what was made, then settles what is not the client's to settle.
func (w *writer) flush() {
	if !w.dead && w.err == nil && (len(w.buf) > 0 || len(w.parts) > 0) {
		if len(w.parts) == 0 {
			var n int
			n, w.err = w.c.nc.Write(w.buf)
			w.c.seen.wrote(int64(n))
		} else {
			w.cut()
			all := w.parts
			var n int64
			n, w.err = protocol.WriteBuffers(w.c.nc, &w.parts)
			w.c.seen.wrote(n)
			w.parts = all
		}
		w.c.wrote.Store(true)
	}
	clear(w.parts)
	w.buf, w.parts, w.from, w.large = w.buf[:0], w.parts[:0], 0, 0
	w.settle()
	if w.taken > 0 {
		w.c.out.written(w.taken, w.bytes)
		w.taken, w.bytes = 0, 0
	}
}

func (w *writer) settle() {
	if w.err != nil {
		for i := range w.settles {
			// It may have reached the client, or not.
			if s := &w.settles[i]; s.Outcome == broker.Accept {
				s.Outcome = broker.Abandon
			}
		}
	}
	at := 0
	for i := range w.runs {
		r := &w.runs[i]
		r.to.Settle(w.settles[at:at+r.n], nil)
		at += r.n
		r.to = nil
	}
	w.settles, w.runs = w.settles[:0], w.runs[:0]
}

// settled has a delivery settled after the next write.
func (w *writer) settled(it *outItem, outcome broker.Outcome) {
	if it.to.reply != nil {
		return // it is in no queue
	}
	if n := len(w.runs); n == 0 || w.runs[n-1].to != it.to.from {
		w.runs = append(w.runs, settleRun{to: it.to.from})
	}
	w.runs[len(w.runs)-1].n++
	w.settles = append(w.settles, broker.Settle{Queue: it.to.queue, Seq: it.d.Seq, Holding: it.d.Holding, Outcome: outcome})
}

// cut makes a part of what was appended to buf since the last.
func (w *writer) cut() {
	if len(w.buf) > w.from {
		w.parts = append(w.parts, w.buf[w.from:len(w.buf):len(w.buf)])
	}
	w.from = len(w.buf)
}

// deliver makes the frames of a delivery, or gives it back if it can not reach
// the client any more.
func (w *writer) deliver(it *outItem) {
	k := it.to
	w.taken++
	w.bytes += len(it.d.Blob)
	if it.void || w.dead || w.err != nil {
		w.settled(it, broker.Release)
		return
	}
	m, err := message.Parse(it.d.Blob)
	if err != nil {
		// What is stored was checked when it came in: this is our own fault,
		// and the message stays for who repairs it.
		w.c.log.Error("stored message can not be read", "queue", k.name, "err", err)
		w.settled(it, broker.Release)
		k.ch.broke(&wire.Error{Code: wire.CodeInternalError, Text: "a stored message can not be read"})
		return
	}
	props := properties(&m)
	if k.quorum {
		props = counted(props, &it.d)
	}
	if n := headerFrame + len(props); n > int(max(w.frameMax, minFrameMax)) {
		w.misfit(it, n)
		return
	}
	if n := max(len(m.Exchange), len(m.RoutingKey)); n > maxName {
		w.misfit(it, n)
		return
	}
	tag, ok := k.ch.delivered(it, w.now)
	if !ok {
		w.settled(it, broker.Release)
		return
	}
	if it.get {
		g := wire.BasicGetOK{DeliveryTag: tag, Redelivered: it.d.Redelivered, Exchange: m.Exchange, RoutingKey: m.RoutingKey, MessageCount: it.remaining}
		w.buf = g.AppendFrame(w.buf, k.ch.id)
	} else {
		w.buf = wire.AppendDeliver(w.buf, k.ch.id, k.tag, tag, it.d.Redelivered, m.Exchange, m.RoutingKey)
	}
	w.content(k.ch.id, props, m.Body)
	if k.noAck {
		w.settled(it, broker.Accept)
	}
}

// maxName is how long the name of an exchange and a routing key may be here. Others
// may know longer ones.
const maxName = 255

// misfit gives back a message whose header's frame of n bytes is larger than the
// client agreed to, or whose names are longer than the protocol's. A header can not be split; sent as it is, it ends the
// connection of some clients, and a channel that is closed for it is opened again
// to meet the same message. Whoever published it is to hurt neither: the client is
// sent what comes behind it.
func (w *writer) misfit(it *outItem, n int) {
	k := it.to
	if !k.misfits { // the first says it for all of them
		k.misfits = true
		w.c.log.Warn("message does not fit into a consumer's frames and is not sent to it", "peer", w.c.in.Peer.String(),
			"vhost", w.c.session.VHost(), "queue", k.name, "channel", k.ch.id, "bytes", n, "limit", w.frameMax)
	}
	w.settled(it, broker.Misfit)
	switch {
	case it.get:
		w.buf = (&wire.BasicGetEmpty{}).AppendFrame(w.buf, k.ch.id)
	case k.bc != nil && !k.noAck:
		k.ch.limit.Done(1)
	}
}

// headerFrame is the size of a content header's frame without its properties.
const headerFrame = wire.FrameOverhead + 12

// content appends header and body frames. A large body is not copied.
func (w *writer) content(channel uint16, props wire.Props, body []byte) {
	w.buf = wire.AppendHeader(w.buf, channel, props, uint64(len(body)))
	if len(body) <= copyLimit {
		w.buf = wire.AppendBodyFrames(w.buf, channel, body, w.frameMax)
		return
	}
	w.large += len(body)
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
