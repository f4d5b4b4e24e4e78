package replica

import "github.com/warrenmq/warren/shard"

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

var _ shard.Inspector = (*Shard)(nil)
