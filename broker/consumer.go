package broker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// ConsumerSink receives what a consumer gets; see shard.Sink for what it may do.
type ConsumerSink = shard.Sink

// ConsumeOptions of Session.Consume.
type ConsumeOptions struct {
	Queue     string
	NoAck     bool
	Exclusive bool
	Priority  int32
	Prefetch  uint32 // unsettled deliveries at most, 0 for no limit
	// Limit is shared by several consumers; may be nil.
	Limit *Limit
	Sink  ConsumerSink
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
	s    *Session
	to   shard.Shard
	// Ended is set when the broker ended the consumer.
	Ended atomic.Bool
}

// Consume registers a consumer. Deliveries may reach its sink before Consume
// returns, but not before started was called, from the shard's turn.
func (s *Session) Consume(ctx context.Context, o ConsumeOptions, started func(*Consumer)) (*Consumer, error) {
	q, err := s.queue(o.Queue)
	if err != nil {
		return nil, err
	}
	if err := s.check(opRead, QueueResource, q.Name); err != nil {
		return nil, err
	}
	to, err := s.b.shardOf(q)
	if err != nil {
		return nil, err
	}
	c := &Consumer{Name: q.Name, s: s, to: to, Consumer: &shard.Consumer{
		Queue: q.ID, Sink: o.Sink, NoAck: o.NoAck, Exclusive: o.Exclusive, Priority: o.Priority,
		Prefetch: o.Prefetch, Window: ackWindow, Session: s.number,
	}}
	if o.NoAck {
		c.Window = noAckWindow
	}
	c.User = o.User
	if o.Limit != nil && !o.NoAck {
		c.Shared = o.Limit
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
		if o.Limit != nil {
			o.Limit.leave(c)
		}
		return nil, s.shardError(err, QueueResource, q.Name)
	}
	return c, nil
}

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
	case errors.Is(err, shard.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = Unavailable
	default:
		e.Kind = Internal
	}
	return e
}

// Cancel ends the consumer: when it returns no delivery is made any more. What
// it holds stays held, unless end is set: then all of it goes back to its place.
func (c *Consumer) Cancel(ctx context.Context, end bool) error {
	return await(ctx, func(done func(error)) {
		c.to.Cancel(c.Consumer, end, func(err error) {
			if l, ok := c.Shared.(*Limit); ok {
				l.leave(c)
			}
			done(err)
		})
	})
}

// EndNow is Cancel with end, without waiting.
func (c *Consumer) EndNow() {
	c.to.Cancel(c.Consumer, true, func(error) {
		if l, ok := c.Shared.(*Limit); ok {
			l.leave(c)
		}
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
}

// Get takes one message. Without noAck it is held until it is settled.
func (s *Session) Get(ctx context.Context, name string, noAck bool) (Got, error) {
	q, err := s.queue(name)
	if err != nil {
		return Got{}, err
	}
	if err := s.check(opRead, QueueResource, q.Name); err != nil {
		return Got{}, err
	}
	to, err := s.b.shardOf(q)
	if err != nil {
		return Got{}, err
	}
	g := Got{Queue: q.Name, ID: q.ID, From: to}
	err = await(ctx, func(done func(error)) {
		to.Get(q.ID, s.number, func(r shard.GetResult, err error) {
			g.GetResult = r
			done(err)
		})
	})
	if err != nil {
		return Got{}, s.shardError(err, QueueResource, q.Name)
	}
	if noAck && !g.Empty {
		to.Settle([]shard.Settle{{Queue: q.ID, Seq: g.Seq, Holding: g.Holding, Outcome: shard.Accept}}, nil)
	}
	return g, nil
}

// A Limit bounds the unsettled deliveries of several consumers together, on
// whatever queues: the prefetch of an AMQP channel.
type Limit struct {
	max  atomic.Int64 // 0 is no limit
	used atomic.Int64
	mu   sync.Mutex
	all  map[*Consumer]struct{} // guarded by mu
}

var _ queue.Credit = (*Limit)(nil)

// NewLimit returns a limit of max deliveries.
func NewLimit(max uint32) *Limit {
	l := &Limit{all: map[*Consumer]struct{}{}}
	l.max.Store(int64(max))
	return l
}

// Take implements queue.Credit.
func (l *Limit) Take() bool {
	for {
		n, m := l.used.Load(), l.max.Load()
		if m != 0 && n >= m {
			return false
		}
		if l.used.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Set changes the limit.
func (l *Limit) Set(max uint32) {
	l.max.Store(int64(max))
	l.kick()
}

// Done gives back n deliveries that were settled.
func (l *Limit) Done(n int) {
	m := l.max.Load()
	if before := l.used.Add(-int64(n)) + int64(n); m != 0 && before >= m {
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
