package amqp091

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
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
	tx        *transaction
	lastQueue string // declared last

	held   bool   // the publisher is: what comes is parked
	parked []byte // frames
	late   []late // publishes in front of them

	consumers map[string]*consumer
	getter    map[string]*consumer // of basic.get, by queue
	prefetch  uint32               // of consumers to come
	limit     *broker.Limit        // global prefetch
	replies   *consumer            // of direct reply-to

	confirms confirms // guarded by c.out
	seen     channelSeen

	// gone is set, with c.out locked, when the last frame of the channel is
	// queued: what comes from the broker after that is not for the client.
	gone atomic.Bool
	// broken says that channel.close was sent by another goroutine; the reader
	// has still to give back what the channel holds.
	broken atomic.Bool

	mu struct {
		sync.Mutex
		tag     uint64 // given last
		unacked unacked
	}
}

// A consumer is a consumer of a channel, or what stands for basic.get on one
// queue. What is not said to be otherwise is set before its first delivery and
// not changed.
type consumer struct {
	ch       *channel
	tag      string
	name     string // of its queue
	queue    broker.QueueID
	noAck    bool
	from     broker.Shard
	volatile bool             // what is settled at from is never logged
	args     message.Table    // for operators to see
	quorum   bool             // the queue was declared as one of RabbitMQ's quorum queues
	bc       *broker.Consumer // nil for basic.get and for replies
	reply    *broker.Reply    // of direct reply-to: nothing is settled

	patience    time.Duration // how long it may hold a message, 0 is for ever; the reader's
	ownPatience bool          // it said that itself

	starving, ended bool // guarded by ch.c.out
	misfits         bool // it was not sent a message; the writer's
}

func newChannel(c *conn, id uint16) *channel {
	ch := &channel{c: c, id: id, consumers: map[string]*consumer{}}
	ch.confirms.low = 1
	ch.content.ch = ch
	return ch
}

// send queues a method, unless the channel ended meanwhile.
func (ch *channel) send(m wire.Method) {
	o := &ch.c.out
	o.Lock()
	if !ch.gone.Load() {
		o.add(ch.id, m)
	}
	o.Unlock()
}

// frame handles a frame of the channel.
func (ch *channel) frame(f wire.Frame) error {
	if ch.broken.Load() && !ch.closing {
		ch.closing = true
		ch.giveUp()
	}
	if ch.closing {
		return ch.closingFrame(f)
	}
	if ch.held {
		ch.waiting(f)
		return nil
	}
	switch state := ch.content.state; {
	case state == noContent && f.Type == wire.FrameMethod:
		return ch.failed(ch.method(f))
	case state == wantHeaderFrame && f.Type == wire.FrameHeader:
		return ch.failed(inPublish(ch.content.header(f)))
	case state == wantBodyFrame && f.Type == wire.FrameBody:
		return ch.failed(inPublish(ch.content.bodyFrame(f)))
	default:
		return state.unexpected()
	}
}

// inPublish names the method whose content an error is about.
func inPublish(err error) error {
	if err == nil {
		return nil
	}
	var we *wire.Error
	if errors.As(err, &we) && we.Method == 0 {
		we.Method = wire.IDBasicPublish
	}
	return err
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
	ch.c.log.Warn("channel closed on an error of the client", "peer", ch.c.in.Peer.String(), "channel", ch.id, "err", e.Error())
	ch.closing = true
	ch.end(closeMethod(e))
	ch.giveUp()
	return nil
}

func closeMethod(e *wire.Error) *wire.ChannelClose {
	return &wire.ChannelClose{ReplyCode: e.Code, ReplyText: e.Error(), ClassID: e.Method.Class(), MethodID: e.Method.Method()}
}

// end queues the last frame of the channel, which may be nil. Confirms that are
// due go before it.
func (ch *channel) end(last wire.Method) bool {
	o := &ch.c.out
	o.Lock()
	defer o.Unlock()
	if ch.gone.Load() {
		return false
	}
	o.confirmed(ch)
	ch.gone.Store(true)
	if last != nil {
		o.add(ch.id, last)
	}
	return true
}

// broke ends the channel from any goroutine, for a reason that the client did
// not give. The reader gives back what the channel holds when it hears of the
// client's answer, or of the end of the connection.
func (ch *channel) broke(e *wire.Error) {
	if !ch.end(closeMethod(e)) {
		return
	}
	ch.broken.Store(true)
	ch.c.log.Warn("channel closed", "peer", ch.c.in.Peer.String(), "channel", ch.id, "err", e.Error())
	ch.c.out.wake(ch.c)
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
		ch.closed()
	case wire.IDChannelCloseOK:
		ch.remove()
	}
	return nil
}

func (ch *channel) remove() {
	ch.content.drop()
	ch.c.loseChannel(ch.id)
	ch.c.session.CloseChannel()
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
	if err := ch.settlePublishes(); err != nil {
		return err
	}
	crossed := !ch.end(nil)
	ch.giveUp()
	if crossed {
		ch.closing = true // our own close is on its way
	} else if err := ch.c.awaitSettled(); err != nil {
		return err
	}
	ch.closed()
	return nil
}

// settlePublishes waits until what the channel published is in its queues. What
// a queue does not say for too long nobody knows, and that ends the connection.
func (ch *channel) settlePublishes() error {
	if ch.publisher == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ch.c.ctx, ch.c.f.o.SettleTimeout)
	defer cancel()
	err := ch.publisher.Settle(ctx)
	if err != nil && ch.c.ctx.Err() == nil {
		return &wire.Error{Code: wire.CodeInternalError, Text: "the outcome of a publish is unknown: its queue does not answer", Method: wire.IDBasicPublish}
	}
	return err
}

// closed answers channel.close.
func (ch *channel) closed() {
	ch.c.out.method(ch.id, &wire.ChannelCloseOK{})
	ch.remove()
}

// giveUp lets go of everything that the channel has, after end.
func (ch *channel) giveUp() {
	ch.giveBack()
	ch.endReply()
	ch.unhold()
	if ch.publisher != nil {
		ch.publisher.Close()
	}
}

// giveBack ends the consumers and gives back what was not settled.
//
// A consumer that acknowledges gives back all it holds. One that does not may
// hold what is written just now: the writer settles that, and gives back what
// it does not write.
func (ch *channel) giveBack() {
	for _, k := range ch.consumers {
		if k.reply == nil {
			ch.c.touch(k)
			k.bc.End(!k.noAck)
		}
	}
	clear(ch.consumers)
	clear(ch.getter)
	var hs []held
	hs = append(hs, ch.txDrop()...)
	ch.mu.Lock()
	hs = ch.mu.unacked.take(hs, 0, true)
	ch.mu.Unlock()
	for i := range hs {
		hs[i].outcome = broker.Abandon
	}
	ch.c.settle(hs) // of consumers that were cancelled, and of gets
}

// delivered gives a delivery its tag and keeps it until it is settled. It is
// called by the writer; ok is false if the channel ended.
func (ch *channel) delivered(it *outItem, at uint32) (tag uint64, ok bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.gone.Load() && !it.to.noAck {
		return 0, false
	}
	ch.mu.tag++
	tag = ch.mu.tag
	if !it.to.noAck {
		ch.mu.unacked.add(held{to: it.to, tag: tag, seq: it.d.Seq, holding: it.d.Holding, at: at})
	}
	return tag, true
}

// Deliver implements shard.Sink.
func (ch *channel) Deliver(sc *broker.ShardConsumer, ds []broker.Delivery) {
	k, _ := sc.User.(*consumer)
	k.bc.Delivered(ds)
	o := &ch.c.out
	o.Lock()
	o.deliver(k, ds)
	o.Unlock()
}

// Full implements broker.Gate.
func (ch *channel) Full(sc *broker.ShardConsumer, pending int) bool {
	k, _ := sc.User.(*consumer)
	return ch.c.out.full(k, pending)
}

// Cancelled implements shard.Sink: the queue is gone.
func (ch *channel) Cancelled(sc *broker.ShardConsumer) {
	k, _ := sc.User.(*consumer)
	k.bc.Gone()
	o := &ch.c.out
	o.Lock()
	defer o.Unlock()
	if ch.gone.Load() {
		return
	}
	k.ended = true
	o.ended = append(o.ended, k)
	if ch.c.caps.cancelNotify {
		o.add(ch.id, &wire.BasicCancel{ConsumerTag: k.tag, NoWait: true})
	}
}

// A held is a delivery that was not settled.
type held struct {
	to      *consumer
	tag     uint64
	seq     uint64
	holding queue.Holding
	outcome broker.Outcome
	at      uint32 // when it was delivered, on conn.clock
}
