package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// ConsumerSink receives what a consumer gets; see shard.Sink for what it may do.
type ConsumerSink = shard.Sink

// A Gate refuses deliveries while its protocol has too much to write. It is
// asked in the shard's turn for every delivery; pending is how many the consumer
// was granted and did not get yet. Once it refused, it owes a Consumer.Kick.
type Gate interface {
	Full(c *shard.Consumer, pending int) bool
}

// ConsumeOptions of Session.Consume.
type ConsumeOptions struct {
	Queue     string
	NoAck     bool
	Exclusive bool
	Priority  int32
	Prefetch  uint32 // unsettled deliveries at most, 0 for no limit
	// Limit is shared by several consumers; may be nil.
	Limit *Limit
	Gate  Gate // may be nil
	// Sink gets the deliveries. It has to call Delivered and Gone.
	Sink ConsumerSink
	// Count counts the consumer while it lives; may be nil.
	Count *ConsumerCount
	// Channel is the number of the protocol's channel, if it has any, for who
	// traces messages.
	Channel uint16
	// User comes back with every delivery.
	User any
}

// consumerWindow is how many bytes a consumer may have unsettled: for one that
// does not acknowledge, that is what was not yet written to its socket.
const (
	noAckWindow = 1 << 20
	ackWindow   = 64 << 20
)

// A Consumer is a consumer of one queue.
type Consumer struct {
	*shard.Consumer
	Name string // of its queue
	// Volatile says that what is settled there is never logged.
	Volatile bool
	// Quorum says that the queue was declared as a quorum queue: its consumers
	// are told how often a message was delivered.
	Quorum bool

	s     *Session
	to    shard.Shard
	limit *Limit // nil without acknowledgements
	count *ConsumerCount
	gone  atomic.Bool
	gate  Gate

	channel uint16 // of the protocol, for who traces messages

	pending    int       // granted and not delivered; owned by the shard's turn
	backlogged bool      // Take said no because of gate; the same
	trace      traceFlag // owned by the shard's turn
}

// Consume registers a consumer. Deliveries may reach its sink before Consume
// returns, but not before started was called, from the shard's turn.
func (s *Session) Consume(ctx context.Context, o ConsumeOptions, started func(*Consumer)) (*Consumer, error) {
	if err := s.check(opRead, QueueResource, o.Queue); err != nil {
		return nil, err
	}
	q, err := s.queue(o.Queue)
	if KindOf(err) == NotFound {
		q, err = s.queueNow(ctx, o.Queue)
	}
	if err != nil {
		return nil, err
	}
	to, err := s.b.shardOf(q)
	if err != nil {
		return nil, err
	}
	c := &Consumer{Name: q.Name, Volatile: q.Shard == 0, Quorum: q.Kind == catalog.Quorum, s: s, to: to, gate: o.Gate, channel: o.Channel, Consumer: &shard.Consumer{
		Queue: q.ID, Sink: o.Sink, NoAck: o.NoAck, Exclusive: o.Exclusive, Priority: o.Priority,
		Prefetch: o.Prefetch, Window: ackWindow, Session: s.number, User: o.User,
	}}
	c.Shared, c.count = c, o.Count
	c.count.add(1)
	if o.NoAck {
		c.Window = noAckWindow
	} else if o.Limit != nil {
		c.limit = o.Limit
		o.Limit.join(c)
	}
	err = await(ctx, func(done func(error)) {
		to.Consume(c.Consumer, func(err error) {
			if err == nil {
				started(c)
			}
			done(err)
		})
	})
	if err != nil {
		// If nobody waits for it any more, the consumer may begin yet.
		c.End(true)
		return nil, s.shardError(err, QueueResource, q.Name)
	}
	return c, nil
}

// Take implements queue.Credit, in the shard's turn.
func (c *Consumer) Take() bool {
	c.backlogged = c.gate != nil && c.gate.Full(c.Consumer, c.pending)
	if c.backlogged || c.limit != nil && !c.limit.take() {
		return false
	}
	c.pending++
	return true
}

// Backlogged implements shard.Backlog, in the shard's turn.
func (c *Consumer) Backlogged() bool { return c.backlogged }

// Ungrant implements shard.Ungranter: what was granted is given to others.
func (c *Consumer) Ungrant(n int) {
	c.pending -= n
	if c.limit != nil {
		c.limit.used.Add(-int64(n))
	}
}

// Delivered says that the sink got deliveries. It must be called by
// Sink.Deliver.
func (c *Consumer) Delivered(ds []shard.Delivery) {
	c.pending -= len(ds)
	if c.trace.in(c.s.b.View(), c.s.vhost) {
		c.s.trace(c.Name, c.channel, ds)
	}
}

// Gone says that the shard ended the consumer. It must be called by
// Sink.Cancelled.
func (c *Consumer) Gone() {
	if !c.gone.Swap(true) {
		c.count.add(-1)
	}
	if c.limit != nil {
		// What was granted and is not on its way is free again.
		c.limit.used.Add(-int64(c.pending))
		c.limit.leave(c)
	}
	c.pending = 0
}

// Kick has the consumer served again after its Gate refused.
func (c *Consumer) Kick() { c.to.Kick(c.Consumer) }

// await calls f and waits for what it hands over, or for ctx.
func await(ctx context.Context, f func(done func(error))) error {
	ch := make(chan error, 1)
	f(func(err error) { ch <- err })
	select {
	case err := <-ch:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shardError translates what a shard answered.
func (s *Session) shardError(err error, r Resource, name string) error {
	e := &Error{Resource: r, Name: name, VHost: s.vhost, Err: err}
	switch {
	case errors.Is(err, shard.ErrGone):
		e.Kind, e.Err = NotFound, nil
	case errors.Is(err, shard.ErrExclusive):
		e.Kind, e.Err = ExclusiveUse, nil
	case errors.Is(err, shard.ErrInUse):
		e.Kind, e.Err = InUse, nil
	case errors.Is(err, shard.ErrNotEmpty):
		e.Kind, e.Err = NotEmpty, nil
	case errors.Is(err, shard.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = Unavailable
	default:
		e.Kind = Internal
	}
	return e
}

// Cancel ends the consumer: when it returns no delivery is made any more. What
// it holds stays held.
func (c *Consumer) Cancel(ctx context.Context) error {
	err := await(ctx, func(done func(error)) {
		c.to.Cancel(c.Consumer, false, func(err error) {
			c.Gone()
			done(err)
		})
	})
	if c.limit != nil {
		c.limit.kick()
	}
	return err
}

// End ends the consumer without waiting; the end of the session does. With all
// set, what it holds goes back to its place.
func (c *Consumer) End(all bool) {
	c.s.ends.begin()
	c.to.Cancel(c.Consumer, all, func(error) {
		c.Gone()
		c.s.ends.done()
	})
}

// Settle ends holdings of the consumer's shard. It does not wait.
func (c *Consumer) Settle(ss []shard.Settle) { c.to.Settle(ss, nil) }

// Shard is where the consumer's holdings are settled.
func (c *Consumer) Shard() shard.Shard { return c.to }

// A Got is what Get took.
type Got struct {
	shard.GetResult
	Queue string
	ID    shard.QueueID
	From  shard.Shard // where it is settled
	// Volatile says that what is settled there is never logged.
	Volatile bool
	Quorum   bool // see Consumer
}

// Trace has what was taken traced, if its vhost is.
func (g *Got) Trace(s *Session, channel uint16) {
	if !g.Empty && Tracing(s.b.View().VHost(s.vhost)) {
		s.trace(g.Queue, channel, []shard.Delivery{g.Delivery})
	}
}

// Get takes one message, which is held until it is settled.
func (s *Session) Get(ctx context.Context, name string) (Got, error) {
	if err := s.check(opRead, QueueResource, name); err != nil {
		return Got{}, err
	}
	q, err := s.queue(name)
	if KindOf(err) == NotFound {
		q, err = s.queueNow(ctx, name)
	}
	if err != nil {
		return Got{}, err
	}
	if q.Kind == catalog.Quorum && Settings(q).SingleActive {
		return Got{}, &Error{
			Kind: Locked, Resource: QueueResource, Name: q.Name, VHost: s.vhost,
			Detail: "basic.get operations are not supported by quorum queues with single active consumer",
		}
	}
	to, err := s.b.shardOf(q)
	if err != nil {
		return Got{}, err
	}
	ch := make(chan taken, 1)
	to.Get(q.ID, s.number, func(r shard.GetResult, err error) { ch <- taken{r, err} })
	select {
	case t := <-ch:
		if t.err != nil {
			return Got{}, s.shardError(t.err, QueueResource, q.Name)
		}
		return Got{GetResult: t.r, Queue: q.Name, ID: q.ID, From: to, Volatile: q.Shard == 0, Quorum: q.Kind == catalog.Quorum}, nil
	case <-ctx.Done():
		s.orphans = append(s.orphans, orphan{q.ID, to, ch})
		return Got{}, s.shardError(ctx.Err(), QueueResource, q.Name)
	}
}

// A taken is a shard's answer to Get.
type taken struct {
	r   shard.GetResult
	err error
}

// An orphan is a Get that nobody waits for any more.
type orphan struct {
	queue shard.QueueID
	to    shard.Shard
	ch    chan taken
}

// A Limit bounds the unsettled deliveries of several consumers together, on
// whatever queues: the prefetch of an AMQP channel.
type Limit struct {
	max  atomic.Int64
	used atomic.Int64
	mu   sync.Mutex
	all  map[*Consumer]struct{} // guarded by mu
}

var (
	_ queue.Credit  = (*Consumer)(nil)
	_ shard.Backlog = (*Consumer)(nil)
)

// mostUnsettled bounds a Limit without a maximum: what a client holds costs us
// memory.
const mostUnsettled = 1 << 20

// NewLimit returns a limit of max deliveries, 0 for no limit of the client's.
func NewLimit(max uint32) *Limit {
	l := &Limit{all: map[*Consumer]struct{}{}}
	l.max.Store(bound(max))
	return l
}

func bound(max uint32) int64 {
	if max == 0 {
		return mostUnsettled
	}
	return int64(max)
}

// take takes one delivery.
func (l *Limit) take() bool {
	for {
		n := l.used.Load()
		if n >= l.max.Load() {
			return false
		}
		if l.used.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Set changes the limit.
func (l *Limit) Set(max uint32) {
	l.max.Store(bound(max))
	l.kick()
}

// Done gives back n deliveries that were settled.
func (l *Limit) Done(n int) {
	if before := l.used.Add(-int64(n)) + int64(n); before >= l.max.Load() {
		l.kick()
	}
}

func (l *Limit) kick() {
	l.mu.Lock()
	cs := make([]*Consumer, 0, len(l.all))
	for c := range l.all {
		cs = append(cs, c)
	}
	l.mu.Unlock()
	for _, c := range cs {
		c.to.Kick(c.Consumer)
	}
}

func (l *Limit) join(c *Consumer) {
	l.mu.Lock()
	l.all[c] = struct{}{}
	l.mu.Unlock()
}

func (l *Limit) leave(c *Consumer) {
	l.mu.Lock()
	delete(l.all, c)
	l.mu.Unlock()
}
