package sim

import (
	"encoding/binary"
	"fmt"
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
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
)

// simQueues is how many queues a simulated shard has.
const simQueues = 4

// queues is what all clients of a run know: the truth that shards are held
// against. Messages have the ids of operations.
type queues struct {
	messages map[uint64]*simMessage
	lives    uint64 // incarnations given out
	orders   uint64

	live    map[[2]uint64]*shardMachine // by group and node
	current map[[2]uint64]queue.Incarnation
	ended   map[uint64]bool // incarnations that the catalog has ended
	patient bool            // clients settle nothing of a consumer that they end
}

// A simMessage is one publish, in each of its queues.
type simMessage struct {
	by        uint64 // the incarnation of its publisher
	order     uint64 // among all publishes
	confirmed bool
	in        map[uint64]*simCopy
}

type simCopy struct {
	delivered bool
	holder    uint64 // the incarnation whose client has it
	settling  uint64 // the incarnation whose client accepted it
	settled   bool   // and was told that this is committed
	drained   bool   // found at the end
}

// NewQueues returns a maker of machines that are shards of real queues, with
// clients at every node that publish, consume and settle. All machines of a run
// come from one maker.
func NewQueues(patient bool) func(Env) Machine {
	truth := &queues{
		messages: make(map[uint64]*simMessage), live: make(map[[2]uint64]*shardMachine),
		current: make(map[[2]uint64]queue.Incarnation), ended: make(map[uint64]bool),
		patient: patient,
	}
	return func(env Env) Machine {
		m := &shardMachine{env: env, truth: truth}
		m.open(state.NewMemory())
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
	consumers []*shard.Consumer
	held      []simHeld
	leaving   map[*shard.Consumer]bool // asked to end with all they hold
	last      map[simRow]uint64        // what was first delivered last
	cancelled map[uint64]bool          // queues that a consumer left: what waited for it comes later
	draining  bool
	drainEnd  time.Duration

	org     *origin.Origin
	dead    bool
	hub     *remote.Hub
	server  *remote.Server
	client  *remote.Client
	streams []*stream // that this node opened
}

// A simRow is what one consumer gets of one publisher.
type simRow struct {
	c  *shard.Consumer
	by uint64
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
	m.streams = nil
	m.leaving = make(map[*shard.Consumer]bool)
	m.cancelled, m.last = make(map[uint64]bool), make(map[simRow]uint64)
	m.truth.end(m.env.Group, m.truth.current[at])
	m.truth.current[at] = m.incarnation()
	m.org = origin.New(m.incarnation())
	m.connect()
	m.loader = replica.NewLoader(m.env.Log, st, m.fatal)
	s, _, err := replica.Open(replica.Options{
		Group: m.env.Group, Incarnation: m.incarnation(), Catalog: simCatalog{m.truth},
		Origin: m.org, Elsewhere: m.client, Answers: m.server, Suspect: m.suspect,
		OnLead:   func(term uint64) { m.server.Lead(remote.Target(m.env.Group), term) },
		OnFollow: func() { m.server.Follow(remote.Target(m.env.Group)) },
		State:    st, Log: m.env.Log, Loader: m.loader, Budget: 4 << 10, HotPages: 1, Wall: m.wall, Fatal: m.fatal,
		Ended: func(shard.QueueID) {},
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
func (m *shardMachine) wall() int64 {
	return int64((m.env.Now() + time.Duration(m.env.Node)*time.Hour) / time.Millisecond)
}

// simGroup lets the simulator plan all turns.
type simGroup struct{ m *shardMachine }

func (g simGroup) Wake()                        { g.m.env.Wake() }
func (g simGroup) TryTurn() bool                { g.m.env.Wake(); return false }
func (g simGroup) Compact(uint64)               {} // the guard's affair
func (g simGroup) AppendConf(dst []byte) []byte { return dst }

// simCatalog knows simQueues queues; one of them is small and refuses, and one
// has messages that expire long after the run.
type simCatalog struct{ truth *queues }

func (simCatalog) Queue(_ uint64, id shard.QueueID) (s shard.Settings, revision uint64, ok bool) {
	if id == simQueues {
		s.MaxLength, s.Overflow = queue.AtMost(20), queue.RejectPublish
	}
	if id == simQueues-1 {
		s.TTL, s.HasTTL = 1<<31, true
	}
	return s, 1, id >= 1 && id <= simQueues
}
func (simCatalog) Revision() uint64 { return 1 }

func (c simCatalog) Alive(i queue.Incarnation) bool { return !c.truth.ended[i.Number] }

// Offer implements Machine: a publish, and now and then something that a
// consumer does.
func (m *shardMachine) Offer(id uint64, r *rand.Rand) {
	if m.draining {
		return
	}
	m.publish(id, r)
	for range r.IntN(3) {
		switch n := r.IntN(8); {
		case n == 0 && len(m.consumers) > 0:
			m.cancel(m.consumers[r.IntN(len(m.consumers))])
		case n < 3 && len(m.consumers) < 6:
			m.consume(1+r.Uint64N(simQueues), uint32(r.IntN(8)))
		case len(m.held) > 0:
			m.settle(r.IntN(len(m.held)), r.IntN(4) == 0)
		}
	}
}

func (m *shardMachine) cancel(c *shard.Consumer) {
	m.leaving[c] = true
	m.shard.Cancel(c, true, func(error) {
		m.cancelled[c.Queue] = true
		m.forget(c)
	})
}

func (m *shardMachine) publish(id uint64, r *rand.Rand) {
	m.truth.orders++
	msg := &simMessage{by: m.inc, order: m.truth.orders, in: make(map[uint64]*simCopy)}
	p := shard.Publish{To: m, Tag: id}
	first := 1 + r.Uint64N(simQueues)
	for q := first; q <= simQueues && (q == first || r.IntN(4) == 0); q++ {
		p.Queues = append(p.Queues, q)
		msg.in[q] = &simCopy{}
	}
	m.truth.messages[id] = msg
	p.Message = &message.Message{Body: make([]byte, 8+r.IntN(200))}
	binary.BigEndian.PutUint64(p.Message.Body, id)
	m.shard.Publish([]shard.Publish{p})
}

func (m *shardMachine) consume(q uint64, prefetch uint32) {
	c := &shard.Consumer{Queue: q, Sink: m, Prefetch: prefetch, Session: 1}
	m.consumers = append(m.consumers, c)
	m.shard.Consume(c, func(err error) {
		if err != nil {
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
	if m.truth.patient && m.leaving[h.c] {
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
		m.deliver(c, ds[i])
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

// inOrder looks at what this leader sends to a consumer, wherever that is.
func (m *shardMachine) inOrder(c *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		id, msg, x := m.parse(c.Queue, &ds[i])
		if x == nil || ds[i].Redelivered {
			continue
		}
		row := simRow{c, msg.by}
		m.env.Trace("send %d q%d to inc%d.%d by=%d order=%d hold=%v", id, c.Queue, c.Incarnation.Number, c.ID, msg.by, msg.order, ds[i].Holding)
		if msg.order < m.last[row] && !m.cancelled[c.Queue] {
			m.env.Fail("message %d comes from queue %d behind a later one", id, c.Queue)
		}
		m.last[row] = msg.order
	}
}

// comesLater notes that messages are given back that nobody has seen: they come
// behind later ones.
func (m *shardMachine) comesLater(_ uint64, ss []shard.Settle) {
	for i := range ss {
		if ss[i].Outcome == shard.Release {
			m.cancelled[ss[i].Queue] = true
		}
	}
}

// reset forgets what was sent in which order: what was on its way and did not
// arrive comes again.
func (m *shardMachine) reset() {
	m.env.Trace("rows begin anew")
	m.last = make(map[simRow]uint64)
}

func (m *shardMachine) deliver(c *shard.Consumer, d shard.Delivery) {
	q := c.Queue
	id, _, x := m.parse(q, &d)
	if x == nil {
		return
	}
	if m.env.Trace != nil {
		m.env.Trace("deliver %d q%d seq=%d to inc%d.%d term=%d hold=%v re=%v leading=%v", id, q, d.Seq, m.inc, c.ID, m.org.Term(), d.Holding, d.Redelivered, m.term)
	}
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
	x.delivered, x.holder, x.settling = true, m.inc, 0
	x.drained = x.drained || m.draining && slices.Contains(m.consumers, c)
	m.held = append(m.held, simHeld{id, q, c, d})
}

// Apply implements commitlog.Machine.
func (m *shardMachine) Apply(ents []commitlog.Entry) { m.shard.Apply(ents) }

// Lead implements commitlog.Machine.
func (m *shardMachine) Lead(term uint64) {
	m.term, m.cancelled = term, make(map[uint64]bool)
	m.reset()
	m.org.Unsettled(m.comesLater)
	m.shard.Lead(term)
}

// Follow implements commitlog.Machine.
func (m *shardMachine) Follow(term, leader uint64) {
	m.term = 0
	m.shard.Follow(term, leader)
}

// Turn implements commitlog.Machine.
func (m *shardMachine) Turn(now time.Duration, p commitlog.Proposer) {
	m.streaming()
	m.shard.Turn(now, p)
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

// Checkpoint implements Machine.
func (m *shardMachine) Checkpoint() []byte {
	c := m.shard.CutNow()
	err := c.Bodies(m.state.NewBatch)
	b := m.state.NewBatch()
	if err == nil {
		err = c.State(b)
	}
	if err == nil {
		err = b.Commit()
	}
	if err == nil {
		err = m.state.Flush()
	}
	if err != nil {
		m.env.Fail("checkpoint: %v", err)
	}
	c.Durable()
	return dump(m.state)
}

func dump(st storage.State) (b []byte) {
	it, err := st.Iter(nil, nil)
	if err != nil {
		panic(fmt.Sprintf("sim: the state can not be read: %v", err))
	}
	for it.Next() {
		for _, x := range [...][]byte{it.Key(), it.Value()} {
			b = binary.AppendUvarint(b, uint64(len(x)))
			b = append(b, x...)
		}
	}
	if err := it.Close(); err != nil {
		panic(fmt.Sprintf("sim: the state can not be read: %v", err))
	}
	return b
}

// Restore implements Machine.
func (m *shardMachine) Restore(b []byte) {
	st := state.NewMemory()
	batch := st.NewBatch()
	next := func() []byte {
		n, k := binary.Uvarint(b)
		x := b[k : k+int(n)]
		b = b[k+int(n):]
		return x
	}
	for len(b) > 0 {
		k := next()
		batch.Set(k, next())
	}
	if err := batch.Commit(); err != nil {
		m.env.Fail("restore: %v", err)
	}
	if err := st.Flush(); err != nil {
		m.env.Fail("restore: %v", err)
	}
	m.open(st)
}

// Digest implements Machine.
func (m *shardMachine) Digest() uint64 {
	_, d := m.shard.Digest()
	return d
}

// Contains implements Machine: a confirmed message was settled, or is found in
// each of its queues at the end.
func (m *shardMachine) Contains(id uint64) bool {
	for _, x := range m.truth.messages[id].in {
		if x.settling == 0 && !x.drained {
			return false
		}
	}
	return true
}
