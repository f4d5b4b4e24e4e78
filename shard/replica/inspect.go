package replica

import (
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// Inspect implements shard.Inspector.
func (s *Shard) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	if x, ok := s.o.Elsewhere.(shard.Inspector); ok && s.guests.term.Load() == 0 {
		x.Inspect(ids, consumers, done)
		return
	}
	s.InspectHere(ids, consumers, done)
}

// InspectHere is Inspect of this replica, whoever leads.
func (s *Shard) InspectHere(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	// A request, not a control: behind what was settled before.
	s.request(shard.Request{Kind: shard.ReqRun, Run: func() { done(s.e.Inspect(ids, consumers)) }})
}

// LastHolding returns the number of a queue's holding that was given out last; ok
// is false if this replica does not dispatch it. It is to be called inside a turn,
// by who holds deliveries against the order they were decided in.
func (s *Shard) LastHolding(id shard.QueueID) (h queue.Holding, ok bool) {
	if q := s.e.Queue(id); q != nil && q.Disp != nil {
		return q.Disp.Last(), true
	}
	return h, false
}

var _ shard.Inspector = (*Shard)(nil)

// Standing describes what is in queues, and the log time of the last entry, in
// milliseconds. It is to be called inside a turn.
func (s *Shard) Standing(ids []shard.QueueID) (queues []shard.QueueInfo, stamp int64) {
	return s.e.Inspect(ids, false), s.stamp
}
