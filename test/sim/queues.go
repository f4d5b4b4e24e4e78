package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
	"github.com/warrenmq/warren/shard/remote"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/transfer"
)

// queues is what all clients of a run know: the truth that shards are held
// against. Messages have the ids of operations.
type queues struct {
	messages map[uint64]*simMessage
	lives    uint64 // incarnations given out
	orders   uint64

	live    map[[2]uint64]*shardMachine // by group and node
	current map[[2]uint64]queue.Incarnation
	ended   map[uint64]bool // incarnations that the catalog has ended
	clients Clients
	all     everything // of Clients.All
}

// A simMessage is one publish, in each of its queues.
type simMessage struct {
	by        uint64 // the incarnation of its publisher
	order     uint64 // among all publishes
	confirmed bool
	refused   bool
	in        map[uint64]*simCopy

	group    uint64
	at       time.Duration // when it was published
	priority uint8
	tx       *simTx // that it is a part of
}

type simCopy struct {
	delivered bool
	holder    uint64 // the incarnation whose client has it
	settling  uint64 // the incarnation whose client accepted it
	settled   bool   // and was told that this is committed
	drained   bool   // found at the end

	times            int      // delivered
	gone             bool     // nobody knows whether it is there: it may have been purged or dropped
	rejected         bool     // settling rejects it
	requeued         int      // requeues that count against the delivery limit
	acquired, failed uint16   // as delivered last
	from             *simCopy // whose letter this is
}

// Clients says what the clients of NewQueues do.
type Clients struct {
	// Patient ones settle nothing of a consumer that they end.
	Patient bool
	// All has them use everything that shards have; see everything.
	All bool
}

// NewQueues returns a maker of machines that are shards of real queues, with
// clients at every node that publish, consume and settle. All machines of a run
// come from one maker.
func NewQueues(clients Clients) func(Env) Machine {
	truth := &queues{
		messages: make(map[uint64]*simMessage), live: make(map[[2]uint64]*shardMachine),
		current: make(map[[2]uint64]queue.Incarnation), ended: make(map[uint64]bool),
		clients: clients, all: newEverything(),
	}
	return func(env Env) Machine {
		m := &shardMachine{env: env, truth: truth}
		m.open(state.NewMemory())
		if clients.All {
			return &fullMachine{m}
		}
		return m
	}
}

// A shardMachine is one life of a shard's replica and its clients.
type shardMachine struct {
	env    Env
	truth  *queues
	inc    uint64
	state  *state.Memory
	loader *replica.Loader
	shard  *replica.Shard
	step   bool // of the loader is planned

	term      uint64 // led, 0 if none
	leader    uint64 // who leads, as far as is known
	lived     bool   // something was applied while somebody led
	consumers []*shard.Consumer
	held      []simHeld
	leaving   map[*shard.Consumer]bool // asked to end with all they hold
	quitting  map[*shard.Consumer]bool // asked to end, and what they hold stays held
	orders    orders
	draining  bool
	drainEnd  time.Duration
	drains    map[uint64]*shard.Consumer // those of the end, by queue
	places    map[uint64]uint64          // what they got last

	org     *origin.Origin
	slots   *slot.Slots
	mail    *transfer.Transfer // if clients do everything
	mailAt  time.Duration      // when its next step is planned, or 0
	txs     []pendingTx
	old     []simHeld // settled
	view    uint64    // the revision of the catalog that the node knows
	dead    bool
	hub     *remote.Hub
	server  *remote.Server
	client  *remote.Client
	streams []*stream // that this node opened
}

type simHeld struct {
	id, queue uint64
	c         *shard.Consumer
	d         shard.Delivery
}

func (m *shardMachine) open(st *state.Memory) {
	at := [2]uint64{m.env.Group, m.env.Node}
	old := m.truth.live[at]
	if old != nil && old != m {
		old.dead = true
	}
	m.disconnect()
	m.truth.live[at] = m
	m.truth.lives++
	m.inc, m.state, m.step = m.truth.lives, st, false
	m.term, m.consumers, m.held = 0, nil, nil
	m.leader, m.lived = 0, false
	m.streams, m.txs, m.old = nil, nil, nil
	m.leaving, m.quitting = make(map[*shard.Consumer]bool), make(map[*shard.Consumer]bool)
	m.orders = newOrders()
	m.truth.end(m.env.Group, m.truth.current[at])
	m.truth.current[at] = m.incarnation()
	m.org = origin.New(m.incarnation())
	m.connect()
	m.loader = replica.NewLoader(m.env.Log, st, m.fatal)
	slots, err := slot.Open(st)
	if err != nil {
		m.env.Fail("open: %v", err)
		return
	}
	m.slots = slots
	m.opened()
	m.learn()
	s, _, err := replica.Open(replica.Options{
		Group: m.env.Group, Incarnation: m.incarnation(), Catalog: simCatalog{m.truth, m},
		Origin: m.org, Elsewhere: m.client, Answers: m.server, Suspect: m.suspect,
		OnLead:   func(term uint64) { m.server.Lead(remote.Target(m.env.Group), term) },
		OnFollow: func() { m.server.Follow(remote.Target(m.env.Group)) },
		State:    st, Log: m.env.Log, Loader: m.loader, Budget: 4 << 10, HotPages: 1, Wall: m.wall, Fatal: m.fatal,
		Ended: m.ended, Slots: slots, Mail: m.post(),
	})
	if err != nil {
		m.env.Fail("open: %v", err)
		return
	}
	m.shard = s
	s.Bind(simGroup{m})
	m.client.Bind(s, simGroup{m}.TryTurn)
}

func (m *shardMachine) incarnation() queue.Incarnation {
	return queue.Incarnation{Node: m.env.Node, Number: m.inc}
}

func (m *shardMachine) fatal(err error) { m.env.Fail("fatal: %v", err) }

// wall is a clock that is wrong on most nodes.
func (m *shardMachine) wall() int64 { return int64(m.env.Wall() / time.Millisecond) }

// simGroup lets the simulator plan all turns.
type simGroup struct{ m *shardMachine }

func (g simGroup) Wake()                        { g.m.env.Wake() }
func (g simGroup) TryTurn() bool                { g.m.env.Wake(); return false }
func (g simGroup) Compact(uint64)               {} // the guard's affair
func (g simGroup) AppendConf(dst []byte) []byte { return dst }

// Offer implements Machine: a publish, and now and then something that a
// consumer does.
func (m *shardMachine) Offer(id uint64, r *rand.Rand) {
	if m.draining {
		return
	}
	if m.truth.clients.All {
		m.offerAll(id, r)
		return
	}
	m.publish(id, r)
	for range r.IntN(3) {
		switch n := r.IntN(8); {
		case n == 0 && len(m.consumers) > 0:
			m.cancel(m.consumers[r.IntN(len(m.consumers))])
		case n < 3 && len(m.consumers) < 6:
			m.consume(1+r.Uint64N(someQueues), uint32(r.IntN(8)))
		case len(m.held) > 0:
			m.settle(r.IntN(len(m.held)), r.IntN(4) == 0)
		}
	}
}

func (m *shardMachine) cancel(c *shard.Consumer) {
	if m.quitting[c] {
		return
	}
	m.leaving[c] = true
	m.overtake(c)
	m.shard.Cancel(c, true, func(error) {
		m.orders.behind[c.Queue] = true
		m.forget(c)
	})
}

func (m *shardMachine) publish(id uint64, r *rand.Rand) {
	m.truth.orders++
	msg := m.newMessage()
	p := shard.Publish{To: m, Tag: id}
	first := 1 + r.Uint64N(someQueues)
	for q := first; q <= someQueues && (q == first || r.IntN(4) == 0); q++ {
		p.Queues = append(p.Queues, q)
		msg.in[q] = &simCopy{}
	}
	m.truth.messages[id] = msg
	p.Message = &message.Message{Body: make([]byte, 8+r.IntN(200))}
	binary.BigEndian.PutUint64(p.Message.Body, id)
	m.shard.Publish([]shard.Publish{p})
}

func (m *shardMachine) newMessage() *simMessage {
	return &simMessage{by: m.inc, order: m.truth.orders, in: make(map[uint64]*simCopy), group: m.env.Group, at: m.truth.now(m)}
}

func (m *shardMachine) consume(q uint64, prefetch uint32) {
	c := &shard.Consumer{Queue: q, Sink: m, Prefetch: prefetch, Session: 1}
	m.consumers = append(m.consumers, c)
	m.shard.Consume(c, func(err error) {
		if err != nil {
			m.env.Trace("no consumer of q%d: %v", q, err)
			m.forget(c)
		}
	})
}

func (m *shardMachine) forget(c *shard.Consumer) {
	m.consumers = slices.DeleteFunc(m.consumers, func(x *shard.Consumer) bool { return x == c })
	m.held = slices.DeleteFunc(m.held, func(h simHeld) bool {
		if h.c == c {
			m.env.Trace("forget %d q%d by inc%d leading=%v", h.id, h.queue, m.inc, m.term)
			m.copyOf(h).holder = 0
		}
		return h.c == c
	})
}

func (m *shardMachine) settle(i int, requeue bool) {
	h := m.held[i]
	if m.truth.clients.Patient && m.leaving[h.c] {
		return // what it held goes back: a settle behind that changes nothing
	}
	m.held = slices.Delete(m.held, i, i+1)
	x := m.copyOf(h)
	x.holder = 0
	m.env.Trace("settle %d q%d by inc%d requeue=%v leading=%v", h.id, h.queue, m.inc, requeue, m.term)
	s := shard.Settle{Queue: h.queue, Seq: h.d.Seq, Holding: h.d.Holding, Outcome: shard.Accept}
	if requeue {
		s.Outcome = shard.Requeue
		m.shard.Settle([]shard.Settle{s}, nil)
		return
	}
	x.settling = m.inc
	m.shard.Settle([]shard.Settle{s}, func(err error) { x.settled = x.settled || err == nil })
}

func (m *shardMachine) copyOf(h simHeld) *simCopy { return m.truth.messages[h.id].in[h.queue] }

// Confirmed implements shard.Confirms.
func (m *shardMachine) Confirmed(first uint64, n uint32, refused bool) {
	for id := first; id < first+uint64(n); id++ {
		msg := m.truth.messages[id]
		if msg.by != m.inc {
			m.env.Fail("message %d of incarnation %d is confirmed to %d", id, msg.by, m.inc)
		}
		if refused {
			msg.refused = true
			m.env.Refuse()
		} else {
			msg.confirmed = true
			m.env.Confirm(id, m.env.Committed())
		}
	}
}

// Unknown implements shard.Confirms.
func (m *shardMachine) Unknown(uint64, uint32) {}

// Wake implements shard.Confirms and shard.Sink.
func (m *shardMachine) Wake() {}

// Cancelled implements shard.Sink.
func (m *shardMachine) Cancelled(c *shard.Consumer) { m.forget(c) }

// Deliver implements shard.Sink.
func (m *shardMachine) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	if m.term != 0 {
		m.inOrder(c, ds)
	}
	for i := range ds {
		m.deliver(c.Queue, c, ds[i])
	}
}

// parse returns the message of a delivery and what is known of it.
func (m *shardMachine) parse(q uint64, d *shard.Delivery) (id uint64, msg *simMessage, x *simCopy) {
	b, err := message.Parse(d.Blob)
	if err != nil || len(b.Body) < 8 {
		m.env.Fail("a delivery that is no message: %v", err)
		return 0, nil, nil
	}
	id = binary.BigEndian.Uint64(b.Body)
	msg = m.truth.messages[id]
	if msg == nil || msg.in[q] == nil {
		m.env.Fail("message %d was never published to queue %d", id, q)
		return 0, nil, nil
	}
	return id, msg, msg.in[q]
}

// accounted reports whether a copy was settled, or is found at the end, be it as
// a letter.
func (msg *simMessage) accounted(q uint64, x *simCopy) bool {
	if y := msg.in[letterBox]; y != nil && y.from == x && (y.drained || y.settling != 0 || y.gone) {
		return true
	}
	return x.gone || x.drained || x.settling != 0 && !(x.rejected && hasLetters(q))
}

// deliver takes what a consumer got, or a get if there is none.
func (m *shardMachine) deliver(q uint64, c *shard.Consumer, d shard.Delivery) {
	id, msg, x := m.parse(q, &d)
	if x == nil {
		return
	}
	m.env.Note(8, m.env.Node, m.env.Group, id, q, d.Seq, d.Holding.Term, d.Holding.Counter)
	m.env.Trace("deliver %d q%d seq=%d to inc%d term=%d hold=%v re=%v leading=%v", id, q, d.Seq, m.inc, m.org.Term(), d.Holding, d.Redelivered, m.term)
	lives := func(inc uint64) bool { return inc != 0 && !m.truth.ended[inc] }
	switch {
	case x.settled:
		m.env.Fail("message %d comes from queue %d again, though its settling was committed", id, q)
	case x.delivered && !d.Redelivered:
		m.env.Fail("message %d comes from queue %d again, unflagged", id, q)
	case lives(x.settling):
		m.env.Fail("message %d comes from queue %d again, and %d which settled it lives", id, q, x.settling)
	case lives(x.holder):
		m.env.Fail("message %d comes from queue %d to %d, and %d which holds it lives", id, q, m.inc, x.holder)
	}
	if c == nil && m.draining {
		m.env.After(0, m.giveBackGets) // its session has ended meanwhile
	}
	m.checkMore(id, msg, x, q, c, &d)
	x.delivered, x.holder, x.settling, x.rejected = true, m.inc, 0, false
	x.times, x.acquired, x.failed = x.times+1, d.Acquired, d.Failed
	x.drained = x.drained || m.draining && slices.Contains(m.consumers, c) && !m.leaving[c] && !m.quitting[c]
	if m.truth.clients.All { // what it had before under another number is not held any more
		m.held = slices.DeleteFunc(m.held, func(h simHeld) bool { return h.id == id && h.queue == q })
	}
	m.held = append(m.held, simHeld{id, q, c, d})
}

// Apply implements commitlog.Machine.
func (m *shardMachine) Apply(ents []commitlog.Entry) {
	m.lived = m.lived || m.term != 0 || m.leader != 0
	m.shard.Apply(ents)
}

// Lead implements commitlog.Machine.
func (m *shardMachine) Lead(term uint64) {
	m.term, m.orders = term, newOrders()
	if !m.lived {
		m.lived = true
		m.opened() // by its wall clock, for it does not know how long ago the last entry was
	}
	m.org.Unsettled(m.comesLater)
	m.shard.Lead(term)
}

// Follow implements commitlog.Machine.
func (m *shardMachine) Follow(term, leader uint64) {
	m.term, m.leader = 0, leader
	m.shard.Follow(term, leader)
}

// Turn implements commitlog.Machine.
func (m *shardMachine) Turn(now time.Duration, p commitlog.Proposer) {
	m.streaming()
	m.shard.Turn(now, p)
	m.load()
	m.deliverMail()
}

// load has the loader work in a while.
func (m *shardMachine) load() {
	if m.loader.Pending() && !m.step {
		m.step = true
		l := m.loader
		m.env.After(time.Millisecond, func() {
			m.step = false
			for l == m.loader && l.Step() {
			}
		})
	}
}

// Digest implements Machine.
func (m *shardMachine) Digest() uint64 {
	_, d := m.shard.Digest()
	return d
}

// Contains implements Machine: a confirmed message was settled, or is found in
// each of its queues at the end.
func (m *shardMachine) Contains(id uint64) bool {
	for q, x := range m.truth.messages[id].in {
		if x.from == nil && !m.truth.messages[id].accounted(q, x) {
			return false
		}
	}
	return true
}
