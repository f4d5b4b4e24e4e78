package origin

import (
	"cmp"
	"maps"
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A claim is what one of this node's sessions holds.
type claim struct {
	holding  queue.Holding
	session  uint64
	consumer uint64
	size     uint32
	acquired uint16
}

// A group is settles that were sent together. They are kept until the leader
// says that they are committed.
type group struct {
	number  uint64
	settles []shard.Settle
	holders []uint64 // the sessions that held, 0 if that is not known
	done    []func(error)
}

// Consumer returns a consumer that the node has, nil if it has ended.
func (o *Origin) Consumer(id uint64) *shard.Consumer { return o.consumers[id] }

// Consumers returns the node's consumers by their IDs.
func (o *Origin) Consumers() []*shard.Consumer {
	cs := slices.Collect(maps.Values(o.consumers))
	slices.SortFunc(cs, func(a, b *shard.Consumer) int { return cmp.Compare(a.ID, b.ID) })
	return cs
}

// Term is the term of the leader that was attached to last. What one of an
// older term sends is void.
func (o *Origin) Term() uint64 { return o.term }

// Deliver hands over messages that the leader of a term sent to a consumer, and
// keeps what the consumer holds from then on. What it may have of them, as its
// Shared credit says, is the caller's affair. It reports false if the messages
// are void, because that leader is not the leader any more. If the consumer has
// ended they are given back: what Stray returns has to be sent.
func (o *Origin) Deliver(c *shard.Consumer, term uint64, ds []shard.Delivery) bool {
	if term < o.term {
		return false
	}
	held := o.heldIn(c.Queue)
	for i := range ds {
		d := &ds[i]
		held[d.Seq] = claim{d.Holding, c.Session, c.ID, d.Size, d.Acquired}
	}
	c.Sink.Deliver(c, ds)
	o.Wakes.Later(c.Sink)
	return true
}

// Got keeps what a session took without a consumer.
func (o *Origin) Got(q shard.QueueID, session uint64, d *shard.Delivery) {
	o.heldIn(q)[d.Seq] = claim{holding: d.Holding, session: session, size: d.Size, acquired: d.Acquired}
}

func (o *Origin) heldIn(q shard.QueueID) map[uint64]claim {
	m := o.held[q]
	if m == nil {
		m = map[uint64]claim{}
		o.held[q] = m
	}
	return m
}

// Stray gives back messages that nobody is there for: they never left this node.
// The settles returned are to be sent under the number.
func (o *Origin) Stray(q shard.QueueID, ds []shard.Delivery) (number uint64, ss []shard.Settle) {
	for i := range ds {
		d := &ds[i]
		ss = append(ss, shard.Settle{Queue: q, Seq: d.Seq, Holding: d.Holding, Outcome: shard.Release, Size: d.Size, Acquired: d.Acquired})
	}
	return o.keep(ss, nil), ss
}

// Settle takes what sessions settled; what is not held any more is left out. The
// settles returned are to be sent under the number; there may be none.
func (o *Origin) Settle(ss []shard.Settle) (number uint64, live []shard.Settle) {
	var holders []uint64
	for i := range ss {
		s := ss[i]
		m := o.held[s.Queue]
		x, ok := m[s.Seq]
		if !ok || x.holding != s.Holding {
			continue
		}
		delete(m, s.Seq)
		s.Size, s.Acquired = x.size, x.acquired
		live, holders = append(live, s), append(holders, x.session)
	}
	if len(live) == 0 {
		return 0, nil
	}
	return o.keep(live, holders), live
}

// keep keeps settles until they are known to be committed. holders may be nil.
func (o *Origin) keep(ss []shard.Settle, holders []uint64) uint64 {
	if holders == nil {
		holders = make([]uint64, len(ss))
	}
	o.groupNo++
	o.groups = append(o.groups, group{number: o.groupNo, settles: ss, holders: holders})
	return o.groupNo
}

// Committed calls done once all that was settled so far is committed.
func (o *Origin) Committed(done func(error)) {
	if n := len(o.groups); n > 0 {
		o.groups[n-1].done = append(o.groups[n-1].done, done)
		return
	}
	done(nil)
}

// Settled says that everything settled up to a number is committed.
func (o *Origin) Settled(number uint64) {
	n := 0
	for n < len(o.groups) && o.groups[n].number <= number {
		n++
	}
	done := o.groups[:n]
	o.groups = o.groups[n:]
	for i := range done {
		for _, f := range done[i].done {
			f(nil)
		}
	}
	if len(o.groups) == 0 {
		o.groups = nil
	}
}

// Unsettled calls f for what was settled and is not known to be committed, in
// order: it has to be sent again behind the end of a report.
func (o *Origin) Unsettled(f func(number uint64, ss []shard.Settle)) {
	for i := range o.groups {
		f(o.groups[i].number, o.groups[i].settles)
	}
}

// drop forgets what a transaction settled.
func (o *Origin) drop(ss []shard.Settle) {
	for i := range ss {
		s := &ss[i]
		if m := o.held[s.Queue]; m[s.Seq].holding == s.Holding {
			delete(m, s.Seq)
		}
	}
}

// End ends a consumer of this node. Nothing is handed to it from now on; its end
// has to be told to the leader, with Cancel. What it holds stays held by its
// session, unless all is set: then it is given back, and the settles returned
// have to be sent under the number.
func (o *Origin) End(c *shard.Consumer, all bool) (number uint64, ss []shard.Settle) {
	delete(o.consumers, c.ID)
	var holders []uint64
	m := o.held[c.Queue]
	for _, seq := range slices.Sorted(maps.Keys(m)) {
		switch x := m[seq]; {
		case x.consumer != c.ID:
		case all:
			ss = append(ss, shard.Settle{Queue: c.Queue, Seq: seq, Holding: x.holding, Outcome: shard.Abandon, Size: x.size, Acquired: x.acquired})
			holders = append(holders, x.session)
			delete(m, seq)
		default:
			x.consumer = 0
			m[seq] = x
		}
	}
	if len(ss) == 0 {
		return 0, nil
	}
	return o.keep(ss, holders), ss
}

// Cancelled says that the leader ended a consumer: its queue is gone.
func (o *Origin) Cancelled(id uint64) {
	if c := o.consumers[id]; c != nil {
		delete(o.consumers, id)
		c.Sink.Cancelled(c)
		o.Wakes.Later(c.Sink)
	}
}
