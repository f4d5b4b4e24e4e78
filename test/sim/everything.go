package sim

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
)

// What clients do with Clients.All, beside publishing, consuming and settling:
// exclusive consumers, consumers with priorities and shared credit, sessions that
// end with what they hold or leave a consumer and keep it, gets, purges, rejects,
// transactions, counts. Leaders hand over when they are quiet, replicas take
// snapshots in place, letters are on their way.

// everything is what is known of that.
type everything struct {
	opened  time.Duration           // when a node started last, by the world's clock
	extra   uint64                  // messages beside those that were offered
	purges  map[uint64][]*simPurge  // by group and queue
	changes map[uint64][]simChange  // of the catalog, by group
	made    map[uint64]uint64       // queues that come and go, by group
	closing map[uint64]bool         // by group and queue
	members map[uint64][]*simMember // consumers by group and queue, as far as they are told
	active  map[uint64]simMember    // who got something last of a queue with one active consumer
}

func newEverything() everything {
	return everything{
		changes: make(map[uint64][]simChange), made: make(map[uint64]uint64), closing: make(map[uint64]bool),
		purges: make(map[uint64][]*simPurge), members: make(map[uint64][]*simMember), active: make(map[uint64]simMember),
	}
}

// A simMember is a consumer that was told that it is one.
type simMember struct {
	m   *shardMachine
	c   *shard.Consumer
	got bool // something: a leader that is none any more may have said that it is one
}

// A simTx is a transaction.
type simTx struct {
	inc     uint64
	done    bool
	err     error
	settles []*simCopy
	times   []int // how often they had been delivered
}

// extraID begins the ids of messages that the cluster knows nothing of.
const extraID = 1 << 40

// now is the world's time: the truth has no clock of its own.
func (q *queues) now(m *shardMachine) time.Duration { return m.env.World() }

// opened notes a new life.
func (m *shardMachine) opened() { m.truth.all.opened = m.truth.now(m) }

// A fullMachine is a shardMachine that does everything.
type fullMachine struct{ *shardMachine }

// Install implements Installer.
func (f *fullMachine) Install(index, term uint64, state []byte, done func()) {
	f.install(index, term, state, done)
}

// Hand implements Hander.
func (f *fullMachine) Hand(now func()) {
	s := f.shard
	s.Quiesce(now)
	f.env.After(time.Second, s.Resume)
}

// Verify implements Verifier.
func (f *fullMachine) Verify() { f.verify() }

// offerAll is one client's turn.
func (m *shardMachine) offerAll(id uint64, r *rand.Rand) {
	if m.behind() {
		return // its sessions know of no queue yet
	}
	if r.IntN(12) == 0 {
		m.reshape(r)
	}
	if r.IntN(8) == 0 {
		m.transact(id, r)
	} else {
		m.publishAll(id, r)
	}
	for range r.IntN(4) {
		switch n := r.IntN(24); {
		case n < 2 && len(m.consumers) > 0:
			m.cancel(m.consumers[r.IntN(len(m.consumers))])
		case n < 3 && len(m.consumers) > 0:
			m.leave(m.consumers[r.IntN(len(m.consumers))])
		case n < 7 && len(m.consumers) < 8:
			m.consumeAll(r)
		case n < 9:
			m.get(m.anyQueue(r))
		case n < 10 && r.IntN(6) == 0:
			m.purge(m.anyQueue(r))
		case n < 10 && len(m.old) > 0:
			m.settleOld(r)
		case n < 11:
			m.shard.Counts(m.anyQueue(r), func(shard.Counts, error) {})
		case len(m.held) > 0:
			m.settleAs(r.IntN(len(m.held)), []shard.Outcome{shard.Accept, shard.Accept, shard.Requeue, shard.Requeue, shard.Reject, shard.Abandon}[r.IntN(6)])
		}
	}
}

// message makes a message for some queues.
func (m *shardMachine) message(id uint64, r *rand.Rand) (*simMessage, shard.Publish) {
	m.truth.orders++
	msg := m.newMessage()
	p := shard.Publish{Tag: id}
	first := 1 + r.Uint64N(letterBox-1)
	for q := first; q < letterBox && (q == first || r.IntN(4) == 0); q++ {
		p.Queues = append(p.Queues, q)
		x := &simCopy{gone: q == dropping || m.purging(q)}
		msg.in[q] = x
		if hasLetters(q) && msg.in[letterBox] == nil {
			msg.in[letterBox] = &simCopy{from: x, gone: m.purging(letterBox)}
		}
		if q == mortal {
			break // a letter says of one death
		}
	}
	if ids := m.known(m.view); len(ids) > 0 && r.IntN(3) == 0 {
		q := ids[r.IntN(len(ids))]
		p.Queues = append(p.Queues, q)
		msg.in[q] = &simCopy{gone: m.truth.all.closing[m.env.Group<<8|q] || m.purging(q)}
	}
	if _, ok := msg.in[priorities]; ok {
		msg.priority = uint8(r.IntN(4))
		p.Priority = msg.priority
	}
	m.truth.messages[id] = msg
	p.Message = &message.Message{Body: make([]byte, 8+r.IntN(200))}
	binary.BigEndian.PutUint64(p.Message.Body, id)
	return msg, p
}

func (m *shardMachine) publishAll(id uint64, r *rand.Rand) {
	_, p := m.message(id, r)
	p.To = m
	m.shard.Publish([]shard.Publish{p})
}

// transact publishes two messages and settles what is held, as one.
func (m *shardMachine) transact(id uint64, r *rand.Rand) {
	tx := &simTx{inc: m.inc}
	t := &shard.Tx{}
	ids := []uint64{id, extraID + m.truth.all.extra}
	m.truth.all.extra++
	for _, id := range ids {
		msg, p := m.message(id, r)
		msg.tx = tx
		p.Tag = 0
		t.Publishes = append(t.Publishes, p)
	}
	var held []simHeld
	for range min(r.IntN(4), len(m.held)) {
		i := r.IntN(len(m.held))
		h := m.held[i]
		if h.c != nil && m.leaving[h.c] {
			continue
		}
		held = append(held, h)
		m.held = slices.Delete(m.held, i, i+1)
		x := m.copyOf(h)
		x.holder, x.settling = 0, m.inc
		tx.settles, tx.times = append(tx.settles, x), append(tx.times, x.times)
		t.Settles = append(t.Settles, shard.Settle{Queue: h.queue, Seq: h.d.Seq, Holding: h.d.Holding, Outcome: shard.Accept})
	}
	m.env.Trace("tx %v by inc%d settles %d", ids, m.inc, len(held))
	m.txs = append(m.txs, pendingTx{tx, held})
	m.shard.Tx(t, func(err error) { m.transacted(tx, ids, held, err) })
}

// A pendingTx is a transaction without an answer, and what it settles.
type pendingTx struct {
	tx   *simTx
	held []simHeld
}

// overtake has a consumer give back what a transaction settles that is under
// way: it is refused, if the consumer's end is there first.
func (m *shardMachine) overtake(c *shard.Consumer) {
	for _, t := range m.txs {
		for i, x := range t.tx.settles {
			if t.held[i].c == c && x.settling == m.inc {
				x.settling, x.gone = 0, true
			}
		}
	}
}

// transacted takes the outcome of a transaction.
func (m *shardMachine) transacted(tx *simTx, ids []uint64, held []simHeld, err error) {
	m.env.Trace("tx %v: %v", ids, err)
	switch {
	case err == nil:
		m.env.Count("tx happened")
	case errors.Is(err, shard.ErrRefused):
		m.env.Count("tx refused")
	}
	tx.done, tx.err = true, err
	m.txs = slices.DeleteFunc(m.txs, func(x pendingTx) bool { return x.tx == tx })
	switch {
	case err == nil:
		for _, x := range tx.settles {
			x.settled = true
		}
		for _, id := range ids {
			m.truth.messages[id].confirmed = true
		}
		m.env.Confirm(ids[0], m.env.Committed())
	case errors.Is(err, shard.ErrRefused):
		m.env.Refuse()
		for _, id := range ids {
			m.truth.messages[id].refused = true
		}
		// What it would have settled is held yet, or was given back if the lead
		// changed meanwhile: its session ends.
		var ss []shard.Settle
		for i, x := range tx.settles {
			if x.settling == m.inc && x.times == tx.times[i] {
				x.settling = 0
				h := held[i]
				ss = append(ss, shard.Settle{Queue: h.queue, Seq: h.d.Seq, Holding: h.d.Holding, Outcome: shard.Abandon})
			}
		}
		m.env.After(0, func() { m.shard.Settle(ss, nil) })
	}
}

// simCredit is what consumers of a session share.
type simCredit struct{ left int }

// Take implements queue.Credit.
func (c *simCredit) Take() bool {
	if c.left == 0 {
		return false
	}
	c.left--
	return true
}

// Ungrant implements shard.Ungranter.
func (c *simCredit) Ungrant(n int) { c.left += n }

func (m *shardMachine) consumeAll(r *rand.Rand) {
	c := &shard.Consumer{
		Queue: m.anyQueue(r), Sink: m, Prefetch: uint32(r.IntN(8)), Session: 1 + r.Uint64N(2),
		Exclusive: r.IntN(12) == 0, Priority: int32(r.IntN(8) / 7),
	}
	if r.IntN(4) == 0 {
		c.Shared = &simCredit{left: 1 + r.IntN(5)}
	}
	m.register(c)
}

// register has a consumer registered, and knows of it once it is.
func (m *shardMachine) register(c *shard.Consumer) {
	m.consumers = append(m.consumers, c)
	key := m.env.Group<<8 | c.Queue
	m.shard.Consume(c, func(err error) {
		m.env.Trace("consumer inc%d.%d q%d exclusive=%v: %v", m.inc, c.ID, c.Queue, c.Exclusive, err)
		if errors.Is(err, shard.ErrExclusive) {
			m.env.Count("exclusive refused")
		}
		if err != nil {
			m.forget(c)
			return
		}
		all := m.truth.all.members
		all[key] = append(slices.DeleteFunc(all[key], func(x *simMember) bool { return !x.counts() }), &simMember{m: m, c: c})
	})
}

// counts reports whether a consumer is one yet, as far as it knows itself.
func (x simMember) counts() bool {
	return !x.m.truth.ended[x.m.inc] && !x.m.leaving[x.c] && !x.m.quitting[x.c] && slices.Contains(x.m.consumers, x.c)
}

// leave ends a consumer whose session keeps what it holds.
func (m *shardMachine) leave(c *shard.Consumer) {
	if m.leaving[c] || m.quitting[c] {
		return
	}
	m.quitting[c] = true
	m.env.Trace("leave inc%d.%d q%d", m.inc, c.ID, c.Queue)
	m.shard.Cancel(c, false, func(error) {
		m.orders.behind[c.Queue] = true
		m.consumers = slices.DeleteFunc(m.consumers, func(x *shard.Consumer) bool { return x == c })
	})
}

func (m *shardMachine) get(q uint64) {
	if q == oneActive || m.draining {
		return
	}
	inc := m.inc
	m.shard.Get(q, 1, func(g shard.GetResult, err error) {
		if err == nil && !g.Empty && inc == m.inc {
			m.env.Count("got")
			m.deliver(q, nil, g.Delivery)
		}
	})
}

// purge forgets what is known of a queue: nobody knows which of its messages it
// finds ready.
func (m *shardMachine) purge(q uint64) {
	all := &m.truth.all
	m.env.Trace("purge q%d", q)
	m.env.Count("purged")
	for _, msg := range m.truth.messages {
		if x := msg.in[q]; x != nil && msg.group == m.env.Group {
			x.gone = true
		}
	}
	p := &simPurge{by: m.inc}
	key := m.env.Group<<8 | q
	all.purges[key] = append(all.purges[key], p)
	m.shard.Purge(q, func(uint64, error) { p.done = true })
}

// A simPurge is one that was asked for.
type simPurge struct {
	by   uint64
	done bool
	over time.Duration // when it ends that was asked by who is not there any more
}

// purging reports whether a purge may take what is published now.
func (m *shardMachine) purging(q uint64) bool {
	key, now := m.env.Group<<8|q, m.truth.now(m)
	m.truth.all.purges[key] = slices.DeleteFunc(m.truth.all.purges[key], func(p *simPurge) bool {
		if m.truth.ended[p.by] && p.over == 0 {
			p.over = now + 5*time.Second
		}
		return p.done || p.over != 0 && now >= p.over
	})
	return len(m.truth.all.purges[key]) > 0
}

// settleAs settles the i-th message held.
func (m *shardMachine) settleAs(i int, as shard.Outcome) {
	h := m.held[i]
	if h.c != nil && m.leaving[h.c] {
		return
	}
	m.held = slices.Delete(m.held, i, i+1)
	m.old = append(m.old[max(0, len(m.old)-20):], h)
	x := m.copyOf(h)
	x.holder = 0
	m.env.Trace("settle %d q%d by inc%d as %d leading=%v", h.id, h.queue, m.inc, as, m.term)
	s := shard.Settle{Queue: h.queue, Seq: h.d.Seq, Holding: h.d.Holding, Outcome: as}
	switch as {
	case shard.Accept, shard.Reject:
		x.settling, x.rejected = m.inc, as == shard.Reject
		if x.rejected {
			m.env.Count("rejected")
		}
		times := x.times
		m.shard.Settle([]shard.Settle{s}, func(err error) { x.settled = x.settled || err == nil && x.times == times })
	default:
		if as == shard.Requeue {
			x.requeued++
		}
		m.shard.Settle([]shard.Settle{s}, nil)
	}
	if h.c == nil {
		return
	}
	if credit, ok := h.c.Shared.(*simCredit); ok {
		credit.left++
		m.shard.Kick(h.c)
	}
}

// settleOld settles what was settled before: it must change nothing, whoever has
// the message now.
func (m *shardMachine) settleOld(r *rand.Rand) {
	h := m.old[r.IntN(len(m.old))]
	m.env.Trace("settle old %d q%d by inc%d hold=%v", h.id, h.queue, m.inc, h.d.Holding)
	m.shard.Settle([]shard.Settle{{Queue: h.queue, Seq: h.d.Seq, Holding: h.d.Holding, Outcome: shard.Accept}}, nil)
}

// giveBackRest gives back what sessions hold, at the end.
func (m *shardMachine) giveBackRest() {
	if !m.truth.clients.All {
		return
	}
	for i := len(m.held) - 1; i >= 0; i-- {
		m.settleAs(i, shard.Abandon)
	}
}

// giveBackGets gives back what sessions got without a consumer.
func (m *shardMachine) giveBackGets() {
	for i := len(m.held) - 1; i >= 0; i-- {
		if m.held[i].c == nil {
			m.settleAs(i, shard.Abandon)
		}
	}
}
