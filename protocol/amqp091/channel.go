package amqp091

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
	"github.com/warrenmq/warren/shard"
)

// A channel is one channel of a connection. Its fields belong to the reader
// unless they say otherwise.
type channel struct {
	c  *conn
	id uint16

	closing   bool // channel.close was sent: all but close-ok is ignored
	content   content
	publisher *broker.Publisher
	confirm   bool
	published uint64 // tag of the publish last read, in confirm mode
	lastQueue string // declared last

	consumers map[string]*consumer
	getter    map[string]*consumer // of basic.get, by queue
	prefetch  uint32               // of consumers to come
	limit     *broker.Limit        // global prefetch

	confirms confirms // guarded by c.out
	gone     atomic.Bool
	lost     atomic.Bool // the outcome of a publish can not be learnt

	mu struct {
		sync.Mutex
		tag     uint64 // given last
		unacked unacked
	}
}

// A consumer is a consumer of a channel, or what stands for basic.get on one
// queue.
type consumer struct {
	ch    *channel
	tag   string
	name  string // of its queue
	queue shard.QueueID
	noAck bool
	from  shard.Shard
	ended bool // the broker ended it; the reader's
	*broker.Consumer
}

func (k *consumer) shard() shard.Shard { return k.from }

func newChannel(c *conn, id uint16) *channel {
	ch := &channel{c: c, id: id, consumers: map[string]*consumer{}}
	ch.confirms.low = 1
	ch.content.ch = ch
	return ch
}

func (ch *channel) send(m wire.Method) { ch.c.out.method(ch.id, m) }

// frame handles a frame of the channel.
func (ch *channel) frame(f wire.Frame) error {
	if ch.closing {
		return ch.closingFrame(f)
	}
	if ch.lost.Load() {
		return ch.close(&wire.Error{Code: wire.CodeInternalError, Text: "the outcome of a publish is unknown"})
	}
	var err error
	switch f.Type {
	case wire.FrameMethod:
		if ch.content.state != noContent {
			return wire.UnexpectedFrame(f)
		}
		err = ch.method(f.Payload)
	case wire.FrameHeader:
		err = ch.content.header(f)
	case wire.FrameBody:
		err = ch.content.bodyFrame(f)
	default:
		return wire.UnexpectedFrame(f)
	}
	return ch.failed(err)
}

// failed turns an error of the client into channel.close, if that is enough.
func (ch *channel) failed(err error) error {
	if we := softError(err); we != nil {
		return ch.close(we)
	}
	return err
}

// close sends channel.close, gives everything back, and ignores the channel
// until the client answers.
func (ch *channel) close(e *wire.Error) error {
	if err := ch.c.flush(); err != nil && softError(err) == nil {
		return err
	}
	if ch.closing {
		return nil
	}
	ch.c.log.Warn("channel closed on an error of the client", "conn", ch.c.in.Peer.String(), "channel", ch.id, "err", e.Error())
	ch.abandon()
	ch.send(&wire.ChannelClose{ReplyCode: e.Code, ReplyText: e.Error(), ClassID: e.Method.Class(), MethodID: e.Method.Method()})
	ch.closing = true
	return nil
}

func (ch *channel) closingFrame(f wire.Frame) error {
	if f.Type != wire.FrameMethod {
		return nil
	}
	id, _, err := wire.SplitMethod(f.Payload)
	if err != nil {
		return err
	}
	switch id {
	case wire.IDChannelClose:
		ch.send(&wire.ChannelCloseOK{})
		ch.remove()
	case wire.IDChannelCloseOK:
		ch.remove()
	}
	return nil
}

func (ch *channel) remove() {
	delete(ch.c.channels, ch.id)
	if ch.c.last == ch {
		ch.c.last = nil
	}
}

// peerCloses answers channel.close once what the channel settled and gave back
// is committed.
func (ch *channel) peerCloses() error {
	if err := ch.c.flush(); err != nil {
		return err
	}
	for _, s := range ch.abandon() {
		if err := ch.c.f.o.Broker.Await(ch.c.ctx, s); err != nil {
			return err
		}
	}
	ch.send(&wire.ChannelCloseOK{})
	ch.remove()
	return nil
}

// abandon ends the consumers and gives back what was not settled. It returns
// the shards that were told.
func (ch *channel) abandon() []shard.Shard {
	if ch.gone.Swap(true) {
		return nil
	}
	var shards []shard.Shard
	note := func(s shard.Shard) {
		for _, x := range shards {
			if x == s {
				return
			}
		}
		shards = append(shards, s)
	}
	ch.mu.Lock()
	var held []held
	held = ch.mu.unacked.take(held, 0, true)
	ch.mu.Unlock()
	for i := range held {
		held[i].outcome = shard.Requeue
	}
	settle(held, note)
	for _, k := range ch.consumers {
		note(k.from)
		k.EndNow()
	}
	clear(ch.consumers)
	return shards
}

// delivered gives a delivery its tag and keeps it until it is settled. It is
// called by the writer; ok is false if the channel ended.
func (ch *channel) delivered(it *outItem) (tag uint64, ok bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.gone.Load() {
		return 0, false
	}
	ch.mu.tag++
	tag = ch.mu.tag
	if !it.to.noAck {
		ch.mu.unacked.add(held{to: it.to, tag: tag, seq: it.d.Seq, holding: it.d.Holding})
	}
	return tag, true
}

// Deliver implements shard.Sink.
func (ch *channel) Deliver(sc *shard.Consumer, ds []shard.Delivery) {
	k, _ := sc.User.(*consumer)
	o := &ch.c.out
	o.Lock()
	for i := range ds {
		o.items = append(o.items, outItem{to: k, d: ds[i]})
	}
	o.Unlock()
}

// Cancelled implements shard.Sink: the queue is gone.
func (ch *channel) Cancelled(sc *shard.Consumer) {
	k, _ := sc.User.(*consumer)
	if k.Consumer != nil {
		k.Ended.Store(true)
	}
	if ch.c.caps.cancelNotify && !ch.gone.Load() {
		ch.send(&wire.BasicCancel{ConsumerTag: k.tag, NoWait: true})
	}
}

// A held is a delivery that was not settled.
type held struct {
	to      *consumer
	tag     uint64
	seq     uint64
	holding queue.Holding
	outcome shard.Outcome
}

// settle ends holdings, in one call for every row of the same shard.
func settle(hs []held, note func(shard.Shard)) {
	var ss []shard.Settle
	for i := 0; i < len(hs); {
		to := hs[i].to.from
		ss = ss[:0]
		for ; i < len(hs) && hs[i].to.from == to; i++ {
			h := &hs[i]
			ss = append(ss, shard.Settle{Queue: h.to.queue, Seq: h.seq, Holding: h.holding, Outcome: h.outcome})
		}
		to.Settle(ss, nil)
		note(to)
	}
}

func unknownTag(tag uint64, id wire.ID) error {
	return &wire.Error{Code: wire.CodePreconditionFailed, Text: fmt.Sprintf("unknown delivery tag %d", tag), Method: id}
}
