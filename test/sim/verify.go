package sim

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/transfer"
)

// checkMore is what a delivery is held against beside what deliver does.
func (m *shardMachine) checkMore(id uint64, msg *simMessage, x *simCopy, q uint64, c *shard.Consumer, d *shard.Delivery) {
	if msg.refused && (msg.tx != nil || len(msg.in) == 1) {
		m.env.Fail("message %d comes from queue %d, and was refused", id, q)
	}
	if d.Acquired < x.acquired || d.Failed < x.failed {
		m.env.Fail("message %d comes from queue %d after %d deliveries of which %d failed, before it was %d and %d", id, q, d.Acquired, d.Failed, x.acquired, x.failed)
	}
	if !m.truth.clients.All {
		return
	}
	if int(d.Failed) > x.requeued {
		m.env.Fail("message %d comes from queue %d and failed %d times, it was given back %d times", id, q, d.Failed, x.requeued)
	}
	if x.from != nil {
		m.checkLetter(id, msg, x)
	}
	m.checkOnly(q, c)
	if m.drains != nil && m.drains[q] == c && c != nil {
		m.checkPlaces(id, q, d)
	}
}

// checkPlaces: at the end, when all was given back that anybody had, messages come
// in their places. Those that rest, or were on their way as letters, come later.
func (m *shardMachine) checkPlaces(id, q uint64, d *shard.Delivery) {
	if q == resting || q == letterBox || q == mortal {
		return
	}
	last := m.places[q]
	if last != 0 && queue.PriorityOf(d.Seq) == queue.PriorityOf(last) && d.Seq < last {
		m.env.Fail("message %d comes from queue %d behind those that are later", id, q)
	}
	m.places[q] = d.Seq
}

// checkLetter: what is in the letter box died before.
func (m *shardMachine) checkLetter(id uint64, msg *simMessage, x *simCopy) {
	f := x.from
	lives := f.holder != 0 && !m.truth.ended[f.holder]
	_, wasMortal := msg.in[mortal]
	age := m.truth.now(m) - msg.at
	m.env.Count("letter")
	if !wasMortal && !f.rejected {
		m.env.Count("expired")
	} else if !f.rejected {
		m.env.Count("spent")
	}
	switch {
	case f.drained:
		m.env.Fail("message %d comes as a letter, and is in its queue", id)
	case wasMortal && lives:
		m.env.Fail("message %d comes as a letter, and %d holds it", id, f.holder)
	case wasMortal && !f.rejected && f.requeued <= deliveryLimit:
		m.env.Fail("message %d comes as a letter, after %d requeues", id, f.requeued)
	case !wasMortal && !f.rejected && msg.at > m.truth.all.opened && age < shortLife*time.Millisecond*8/10:
		m.env.Fail("message %d expired after %s", id, age)
	}
}

// checkOnly: who keeps others out is the only one.
func (m *shardMachine) checkOnly(q uint64, c *shard.Consumer) {
	if c == nil {
		return
	}
	if q == oneActive && (simMember{m: m, c: c}).counts() {
		x, known := m.truth.all.active[m.env.Group]
		if known && x.c != c && x.counts() {
			m.env.Fail("queue %d delivers to inc%d.%d, and inc%d.%d is the active consumer", q, m.inc, c.ID, x.m.inc, x.c.ID)
		}
		m.truth.all.active[m.env.Group] = simMember{m: m, c: c}
	}
	for _, x := range m.truth.all.members[m.env.Group<<8|q] {
		if x.c == c {
			x.got = true
		}
		if x.c == c || !x.got || !x.counts() || !(simMember{m: m, c: c}).counts() {
			continue
		}
		if c.Exclusive || x.c.Exclusive {
			m.env.Fail("queue %d delivers to inc%d.%d beside inc%d.%d, and one of them is exclusive", q, m.inc, c.ID, x.m.inc, x.c.ID)
		}
	}
}

// settledDown reports whether nothing is on its way any more, at the end.
func (m *shardMachine) settledDown() bool {
	for node := uint64(1); node <= maxNodes; node++ {
		if x := m.truth.live[[2]uint64{m.env.Group, node}]; x != nil && x.lives() && !x.mail.Idle() {
			return false
		}
	}
	return m.env.Now() >= m.drainEnd
}

// verify holds the leader's drained queues against everything.
func (m *shardMachine) verify() {
	if n := m.mail.Counts().Dropped; n > 0 {
		m.env.Fail("%d letters were dropped", n)
	}
	for id, msg := range m.truth.messages {
		if msg.group != m.env.Group {
			continue
		}
		for q, x := range msg.in {
			if msg.confirmed && x.from == nil && !msg.accounted(q, x) {
				m.env.Fail("message %d is lost in queue %d", id, q)
			}
			if y := msg.in[letterBox]; y != nil && y.from == x && x.drained && y.delivered {
				m.env.Fail("message %d is in queue %d and came as a letter", id, q)
			}
		}
		if msg.tx != nil {
			m.verifyTx(id, msg)
		}
	}
}

// verifyTx: all of a transaction happened, or nothing.
func (m *shardMachine) verifyTx(id uint64, msg *simMessage) {
	tx := msg.tx
	happened, surely := false, tx.done && tx.err == nil
	for _, x := range msg.in {
		happened = happened || x.from == nil && x.delivered
	}
	if !tx.done {
		m.env.Count("tx unknown")
	}
	if tx.done && errors.Is(tx.err, shard.ErrRefused) && happened {
		m.env.Fail("message %d is there, and its transaction was refused", id)
	}
	for q, x := range msg.in {
		if happened && x.from == nil && !msg.accounted(q, x) {
			m.env.Fail("message %d of a transaction that happened is not in queue %d", id, q)
		}
	}
	for i, x := range tx.settles {
		if (happened || surely) && x.times != tx.times[i] {
			m.env.Fail("message %d is there, and what its transaction settled came again", id)
		}
	}
}

// post is where letters go: to the letterBox of the same shard.
func (m *shardMachine) post() shard.Mail {
	if !m.truth.clients.All {
		return nil
	}
	m.mail, m.mailAt = transfer.New(transfer.Options{Router: simRouter{m}, Clock: simClock{m}, Logger: slog.New(slog.DiscardHandler)}), 0
	return m.mail
}

// deliverMail has the transfer of letters work.
func (m *shardMachine) deliverMail() {
	if m.mail != nil && m.mail.Pending() {
		m.mailAfter(100 * time.Microsecond)
	}
}

func (m *shardMachine) mailAfter(d time.Duration) {
	t := m.mail
	at := m.env.Now() + d
	if t == nil || m.mailAt != 0 && m.mailAt <= at {
		return
	}
	m.mailAt = at
	m.env.After(d, func() {
		if t != m.mail || m.mailAt != at {
			return
		}
		m.mailAt = 0
		if next, ok := t.Step(); ok {
			m.mailAfter(max(next-m.env.Now(), time.Millisecond))
		}
	})
}

// simRouter sends all letters to the letterBox.
type simRouter struct{ m *shardMachine }

// Address implements transfer.Router: as a node does, it knows of nothing that its
// view of the catalog has not.
func (r simRouter) Address(q shard.QueueID) (transfer.Address, bool) {
	return transfer.Address{Queue: fmt.Sprint(q), Exchange: "letters"}, !r.m.behind()
}

// Route implements transfer.Router.
func (r simRouter) Route(_ *transfer.Address, _ *message.Message, _ [][]byte, dst []transfer.Target) ([]transfer.Target, bool) {
	if r.m.behind() {
		return dst, false // it knows of no such exchange
	}
	return append(dst, transfer.Target{Queue: letterBox, Name: fmt.Sprint(letterBox), To: r.m.shard}), true
}
