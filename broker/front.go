package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
)

// A front is what this node's sessions have of a queue that was declared in
// memory: here or on another node, and later, if it moves, in a shard. Sessions
// keep it, so they need not know.
//
// When the catalog says that the queue is in a shard, the front holds what comes,
// waits until all that went to the memory before is in the shard, has the
// consumers begin there, and lets go what it held, in order. Nothing is held by
// consumers then: the queue only moves when nothing is.
type front struct {
	id    shard.QueueID
	local bool // the memory is this node's
	left  func() bool
	// memory is where it was at first.
	memory shard.Shard

	at    atomic.Pointer[shard.Shard] // nil while what comes is held; set under mu
	under atomic.Int64                // calls that are in *at
	quiet chan struct{}               // one token: at is nil, and under may be 0

	mu struct {
		sync.Mutex
		followed bool // at is a shard, or about to be
		parked   []func(shard.Shard)
		size     int // bytes of publishes in parked
		ready    []func()
	}

	known struct {
		sync.Mutex
		// consumers are those that were registered, and as what.
		consumers map[*shard.Consumer]*fronted
		number    uint64 // of the one registered last
	}
}

// newFront returns the front of a queue in memory. left reports whether the queue
// is in a shard by now.
func newFront(id shard.QueueID, at shard.Shard, local bool, left func() bool) *front {
	f := &front{id: id, memory: at, local: local, left: left, quiet: make(chan struct{}, 1)}
	f.at.Store(&at)
	f.known.consumers = map[*shard.Consumer]*fronted{}
	return f
}

// A fronted is a consumer as the memory, or the shard, knows it. It is the sink of
// that, too.
type fronted struct {
	f      *front
	c      *shard.Consumer // the session's
	as     *shard.Consumer
	number uint64 // in the order of registration
	moved  bool   // it is in the shard
}

// Deliver implements shard.Sink.
func (x *fronted) Deliver(_ *shard.Consumer, ds []shard.Delivery) { x.c.Sink.Deliver(x.c, ds) }

// Cancelled implements shard.Sink. A memory that ends with its node ends no
// consumer of a queue that has left it.
func (x *fronted) Cancelled(*shard.Consumer) {
	if !x.moved && x.f.left() {
		return
	}
	x.f.forget(x)
	x.c.Sink.Cancelled(x.c)
}

// Wake implements shard.Sink.
func (x *fronted) Wake() { x.c.Sink.Wake() }

// enterAt returns where the queue is, or nil while that is not known. Who got it
// calls leaveAt; no lock is held meanwhile, for what is called there may come back.
func (f *front) enterAt() shard.Shard {
	f.under.Add(1)
	if at := f.at.Load(); at != nil {
		return *at
	}
	f.leaveAt()
	return nil
}

func (f *front) leaveAt() {
	if f.under.Add(-1) != 0 || f.at.Load() != nil {
		return
	}
	select {
	case f.quiet <- struct{}{}:
	default:
	}
}

// do has op done where the queue is, now or when that is known.
func (f *front) do(op func(shard.Shard)) {
	if at := f.enterAt(); at != nil {
		op(at)
		f.leaveAt()
		return
	}
	f.mu.Lock()
	if f.at.Load() == nil {
		f.mu.parked = append(f.mu.parked, op)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	f.do(op) // it moves once
}

// Publish implements shard.Shard.
func (f *front) Publish(ps []shard.Publish) (ok bool) {
	if at := f.enterAt(); at != nil {
		ok = at.Publish(ps)
		f.leaveAt()
		return ok
	}
	copies, size := copied(ps)
	f.do(func(to shard.Shard) { to.Publish(copies) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at.Load() != nil {
		return true
	}
	f.mu.size += size
	return f.mu.size < shard.DefaultParking
}

// copied returns publishes that may be kept.
func copied(ps []shard.Publish) (out []shard.Publish, size int) {
	for i := range ps {
		p := ps[i]
		blob := message.AppendTo(nil, p.Message)
		size += len(blob)
		m, err := message.Parse(blob)
		if err != nil {
			panic("broker: what was encoded is no message: " + err.Error())
		}
		p.Message, p.Queues = &m, slices.Clone(p.Queues)
		if p.Origin != nil {
			o := *p.Origin
			p.Origin = &o
		}
		out = append(out, p)
	}
	return out, size
}

// Tx implements shard.Shard.
func (f *front) Tx(t *shard.Tx, done func(error)) {
	c := &shard.Tx{Settles: slices.Clone(t.Settles)}
	c.Publishes, _ = copied(t.Publishes)
	f.do(func(to shard.Shard) { to.Tx(c, done) })
}

// Ready implements shard.Shard.
func (f *front) Ready(g func()) {
	f.mu.Lock()
	if f.at.Load() == nil && f.mu.size >= shard.DefaultParking {
		f.mu.ready = append(f.mu.ready, g)
		f.mu.Unlock()
		return
	}
	f.mu.Unlock()
	at := f.enterAt()
	if at == nil {
		g()
		return
	}
	at.Ready(g)
	f.leaveAt()
}

// Settle implements shard.Shard.
func (f *front) Settle(ss []shard.Settle, done func(error)) {
	if at := f.enterAt(); at != nil {
		at.Settle(ss, done)
		f.leaveAt()
		return
	}
	ss = slices.Clone(ss)
	f.do(func(to shard.Shard) { to.Settle(ss, done) })
}

// Consume implements shard.Shard.
func (f *front) Consume(c *shard.Consumer, done func(error)) {
	f.do(func(to shard.Shard) { f.enter(to, c, to != f.memory, done) })
}

// enter registers a consumer.
func (f *front) enter(to shard.Shard, c *shard.Consumer, moved bool, done func(error)) {
	as := *c
	as.ID = 0 // whoever serves it gives it one
	x := &fronted{f: f, c: c, as: &as, moved: moved}
	as.Sink = x
	f.known.Lock()
	f.known.number++
	x.number = f.known.number
	f.known.consumers[c] = x
	f.known.Unlock()
	to.Consume(&as, func(err error) {
		if err != nil {
			f.forget(x)
		}
		done(err)
	})
}

// forget forgets a registration.
func (f *front) forget(x *fronted) {
	f.known.Lock()
	defer f.known.Unlock()
	if f.known.consumers[x.c] == x {
		delete(f.known.consumers, x.c)
	}
}

// named returns as what a consumer is registered.
func (f *front) named(c *shard.Consumer, leaves bool) *shard.Consumer {
	f.known.Lock()
	defer f.known.Unlock()
	x := f.known.consumers[c]
	if x == nil {
		return c
	}
	if leaves {
		delete(f.known.consumers, c)
	}
	return x.as
}

// Cancel implements shard.Shard.
func (f *front) Cancel(c *shard.Consumer, end bool, done func(error)) {
	f.do(func(to shard.Shard) { to.Cancel(f.named(c, true), end, done) })
}

// Kick implements shard.Shard.
func (f *front) Kick(c *shard.Consumer) {
	f.do(func(to shard.Shard) { to.Kick(f.named(c, false)) })
}

// Get implements shard.Shard.
func (f *front) Get(q shard.QueueID, session uint64, done func(shard.GetResult, error)) {
	f.do(func(to shard.Shard) { to.Get(q, session, done) })
}

// Purge implements shard.Shard.
func (f *front) Purge(q shard.QueueID, done func(uint64, error)) {
	f.do(func(to shard.Shard) { to.Purge(q, done) })
}

// Counts implements shard.Shard.
func (f *front) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	f.do(func(to shard.Shard) { to.Counts(q, done) })
}

// Renew implements shard.Shard.
func (f *front) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	f.do(func(to shard.Shard) { to.Renew(q, done) })
}

// Close implements shard.Shard.
func (f *front) Close(q shard.QueueID, c shard.Conditions, done func(uint64, error)) {
	f.do(func(to shard.Shard) { to.Close(q, c, done) })
}

// Reopen implements shard.Shard.
func (f *front) Reopen(q shard.QueueID, done func(error)) {
	f.do(func(to shard.Shard) { to.Reopen(q, done) })
}

// Changed implements shard.Shard.
func (f *front) Changed(q shard.QueueID) { f.do(func(to shard.Shard) { to.Changed(q) }) }

// Inspect implements shard.Inspector.
func (f *front) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	f.do(func(to shard.Shard) {
		if in, ok := to.(shard.Inspector); ok {
			in.Inspect(ids, consumers, done)
			return
		}
		done(nil)
	})
}

// followTime bounds how long a front waits for the memory to answer: what does
// not answer by then is on a node that is gone.
const followTime = 30 * time.Second

// follow has the queue's users go where it is now. It waits for the memory that it
// was in, and does nothing if it was called before.
func (f *front) follow(ctx context.Context, to shard.Shard) {
	f.mu.Lock()
	if f.mu.followed {
		f.mu.Unlock()
		return
	}
	f.mu.followed = true
	from := *f.at.Swap(nil)
	f.mu.Unlock()
	for f.under.Load() != 0 {
		<-f.quiet // what is in the memory's calls comes before what is held
	}
	ctx, cancel := context.WithTimeout(ctx, followTime)
	defer cancel()
	step.At(step.MoveHeld)
	f.flush(ctx, from)
	step.At(step.MoveFlushed)
	f.known.Lock()
	xs := slices.SortedFunc(maps.Values(f.known.consumers), func(a, b *fronted) int { return cmp.Compare(a.number, b.number) })
	f.known.Unlock()
	for _, x := range xs {
		_ = await(ctx, func(done func(error)) { from.Cancel(x.as, false, done) })
	}
	for _, x := range xs {
		f.enter(to, x.c, true, func(err error) {
			if err != nil {
				x.c.Sink.Cancelled(x.c)
				x.c.Sink.Wake()
			}
		})
	}
	f.release(to)
}

// release has everything done that was held, and what is held meanwhile behind it;
// from then on all goes where the queue is.
func (f *front) release(to shard.Shard) {
	for {
		f.mu.Lock()
		ops := f.mu.parked
		f.mu.parked = nil
		if len(ops) == 0 {
			break
		}
		f.mu.Unlock()
		for _, op := range ops {
			op(to)
		}
	}
	ready := f.mu.ready
	f.mu.ready, f.mu.size = nil, 0
	f.at.Store(&to)
	f.mu.Unlock()
	for _, g := range ready {
		g()
	}
	step.At(step.MoveFollowed)
}

// followed reports whether the front is where its queue went, or about to be.
func (f *front) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.followed
}

// flush returns when all that was published to the memory before is in the shard,
// or when the memory is gone.
func (f *front) flush(ctx context.Context, from shard.Shard) {
	if !f.local {
		// It comes behind all that this node has published there, and is for no
		// queue.
		ch := make(chan struct{}, 1)
		from.Publish([]shard.Publish{{Message: &message.Message{}, Queues: []shard.QueueID{0}, To: arrival(ch), Tag: 1}})
		select {
		case <-ch:
		case <-ctx.Done():
			return
		}
	}
	_ = await(ctx, func(done func(error)) {
		from.Counts(f.id, func(_ shard.Counts, err error) { done(err) })
	})
}

// An arrival is closed by the answer to a publish.
type arrival chan struct{}

// Confirmed implements shard.Confirms.
func (a arrival) Confirmed(uint64, uint32, bool) { a <- struct{}{} }

// Unknown implements shard.Confirms.
func (a arrival) Unknown(uint64, uint32) { a <- struct{}{} }

// Wake implements shard.Confirms.
func (arrival) Wake() {}
