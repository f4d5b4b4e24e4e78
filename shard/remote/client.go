package remote

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A Client is a shard as the sessions of this node use it, wherever it is led:
// here, by the replica that it is bound to, or on another node, over a stream.
// All that a session does goes through one origin, so that its order does not
// depend on who leads.
//
// A Client's state is owned by its turn. A client without a replica runs it
// itself, whoever calls first; a bound one is an Elsewhere of its replica, whose
// turns run it.
type Client struct {
	h   *Hub
	key clientKey
	o   *origin.Origin

	local atomic.Pointer[bound]
	turns sync.Mutex // held during a turn of its own, and while it is bound
	token commitlog.Token

	need     atomic.Uint64 // the revision of the View that deliveries wait for
	led      atomic.Bool   // the replica here leads: what comes is void
	over     atomic.Bool   // the memory it leads to is gone
	inflight atomic.Int32  // batches sent and not answered

	mu struct {
		sync.Mutex
		events []event
		leader *leadership // nil: nobody
		looks  []*look
	}

	// Owned by the turn.

	now      time.Duration
	leader   *leadership
	attached bool
	report   uint64                   // id of the report made last
	feeds    map[uint64]*feed         // by consumer
	asks     map[uint64]asked         // sent to the leader and not answered
	later    map[uint64]time.Duration // those of asks to be asked again, and when
	events   []event                  // taken; those before at are done
	at       int
	requests []shard.Request
	settles  []shard.Settle
	held     []heldRequest
	settled  uint64 // number of the settles sent last
	flush    bool   // somebody waits for them
	looks    []*look
	lookNo   uint64
	readings []reading
	out      out
	ds       []shard.Delivery
	answer   answer
	reserved int // bytes of batches in out
	buffered int // bytes in feeds
}

// A bound is the replica of this node.
type bound struct {
	shard shard.Shard
	turn  func() bool
}

// A leadership is who leads, and in which term. Each time that somebody comes to
// lead is another one.
type leadership struct {
	by   *outbound
	term uint64
}

// An event is a frame that a stream brought.
type event struct {
	by *outbound
	f  Frame
}

// An asked is what was asked for.
type asked struct {
	kind     shard.RequestKind
	queue    shard.QueueID
	consumer *shard.Consumer // of its begin and its end
	times    int             // that its leader could not do it
}

// A heldRequest waits until a batch was sent.
type heldRequest struct {
	number uint64
	r      shard.Request
}

func newClient(h *Hub, k clientKey, o *origin.Origin) *Client {
	return &Client{h: h, key: k, o: o, feeds: map[uint64]*feed{}, asks: map[uint64]asked{}, later: map[uint64]time.Duration{}}
}

// Origin is the client's origin.
func (c *Client) Origin() *origin.Origin { return c.o }

// ID returns the shard's id, 0 for memory.
func (c *Client) ID() uint64 { return uint64(c.key.target) }

// Bind hands the client's turns to a replica of the shard on this node, which
// has the client's origin, and calls to. It returns when the client's own turn,
// if there is one, is over; turn runs the replica's, the next of which finds what
// waits. It must not be called in a turn.
func (c *Client) Bind(to shard.Shard, turn func() bool) {
	c.turns.Lock()
	c.local.Store(&bound{to, turn})
	c.turns.Unlock()
}

// Unbind takes Bind back. The replica must have stopped.
func (c *Client) Unbind() {
	c.turns.Lock()
	c.local.Store(nil)
	c.led.Store(false)
	c.turns.Unlock()
	c.run()
}

// poke has a turn run.
func (c *Client) poke() {
	if l := c.local.Load(); l != nil {
		l.turn()
		return
	}
	c.run()
}

// run runs the client's own turn, unless somebody is at it: then he runs one
// more.
func (c *Client) run() {
	if !c.token.Take() {
		return
	}
	for {
		c.turns.Lock()
		if c.local.Load() == nil {
			c.Turn(c.h.o.Clock.Mono())
		}
		c.turns.Unlock()
		if !c.token.Release() {
			break
		}
	}
	if l := c.local.Load(); l != nil {
		l.turn() // it was bound meanwhile
	}
}

// leads is told who leads.
func (c *Client) leads(by *outbound, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.mu.leader
	switch {
	case by == nil:
		c.mu.leader = nil
	case l == nil || l.by != by || l.term != term:
		c.mu.leader = &leadership{by, term}
	}
}

// take queues a frame; false if it is void.
func (c *Client) take(by *outbound, f *Frame) bool {
	if c.led.Load() || c.over.Load() {
		return false
	}
	c.mu.Lock()
	c.mu.events = append(c.mu.events, event{by, *f})
	c.mu.Unlock()
	return true
}

// request queues a request for the turn.
func (c *Client) request(r shard.Request) {
	c.o.In.Add(r)
	c.run()
}

// Publish implements shard.Shard.
func (c *Client) Publish(ps []shard.Publish) bool {
	if l := c.local.Load(); l != nil {
		return l.shard.Publish(ps)
	}
	size, ok := c.o.In.Publish(ps)
	c.published(size)
	return ok
}

// published runs a turn, unless the answer to a batch under way does so and
// this one can wait. The turn that makes inflight zero looks into the inbox after
// that, so one of the two sees the other.
func (c *Client) published(size int) {
	if c.inflight.Load() == 0 || size >= bigBatch {
		c.run()
	}
}

// Tx implements shard.Shard.
func (c *Client) Tx(t *shard.Tx, done func(error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Tx(t, done)
		return
	}
	c.published(c.o.Tx(t, done))
}

// Ready implements shard.Shard.
func (c *Client) Ready(f func()) { c.o.In.Ready(f) }

// Settle implements shard.Shard.
func (c *Client) Settle(ss []shard.Settle, done func(error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Settle(ss, done)
		return
	}
	c.o.In.Settle(ss, done)
	c.run()
}

// Consume implements shard.Shard.
func (c *Client) Consume(sc *shard.Consumer, done func(error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Consume(sc, done)
		return
	}
	c.o.Name(sc)
	c.request(shard.Request{Kind: shard.ReqConsume, Queue: sc.Queue, Consumer: sc, Done: done})
}

// Cancel implements shard.Shard.
func (c *Client) Cancel(sc *shard.Consumer, end bool, done func(error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Cancel(sc, end, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqCancel, Consumer: sc, End: end, Done: done})
}

// Kick implements shard.Shard.
func (c *Client) Kick(sc *shard.Consumer) {
	if l := c.local.Load(); l != nil {
		l.shard.Kick(sc)
		return
	}
	c.request(shard.Request{Kind: shard.ReqKick, Consumer: sc})
}

// Get implements shard.Shard.
func (c *Client) Get(q shard.QueueID, session uint64, done func(shard.GetResult, error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Get(q, session, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqGet, Queue: q, Session: session, DoneGet: done})
}

// Purge implements shard.Shard.
func (c *Client) Purge(q shard.QueueID, done func(uint64, error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Purge(q, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqPurge, Queue: q, DoneN: done})
}

// Counts implements shard.Shard.
func (c *Client) Counts(q shard.QueueID, done func(shard.Counts, error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Counts(q, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done})
}

// Renew implements shard.Shard.
func (c *Client) Renew(q shard.QueueID, done func(shard.Counts, error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Renew(q, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqCounts, Queue: q, Counts: done, Renew: true})
}

// Close implements shard.Shard.
func (c *Client) Close(q shard.QueueID, x shard.Conditions, done func(uint64, error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Close(q, x, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqClose, Queue: q, If: x, DoneN: done})
}

// Reopen implements shard.Shard.
func (c *Client) Reopen(q shard.QueueID, done func(error)) {
	if l := c.local.Load(); l != nil {
		l.shard.Reopen(q, done)
		return
	}
	c.request(shard.Request{Kind: shard.ReqReopen, Queue: q, Done: done})
}

// Changed implements shard.Shard. A leader elsewhere looks at its own View.
func (c *Client) Changed(q shard.QueueID) {
	if l := c.local.Load(); l != nil {
		l.shard.Changed(q)
	}
}

var (
	_ shard.Shard     = (*Client)(nil)
	_ shard.Elsewhere = (*Client)(nil)
	_ shard.Inspector = (*Client)(nil)
	_ shard.Browser   = (*Client)(nil)
	_ shard.Answers   = (*Server)(nil)
)
