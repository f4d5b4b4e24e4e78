package memory

import "github.com/warrenmq/warren/shard"

// Inspect implements shard.Inspector.
func (m *Queue) Inspect(ids []shard.QueueID, consumers bool, done func([]shard.QueueInfo)) {
	m.request(shard.Request{Kind: shard.ReqRun, Run: func() { done(m.e.Inspect(ids, consumers)) }})
}

var _ shard.Inspector = (*Queue)(nil)
