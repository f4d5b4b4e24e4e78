package engine

import "github.com/warrenmq/warren/shard"

// Inspect describes queues. It gives none a dispatcher that has none: what such
// a queue holds is all ready.
func (e *Engine) Inspect(ids []shard.QueueID, consumers bool) []shard.QueueInfo {
	out := make([]shard.QueueInfo, 0, len(ids))
	for _, id := range ids {
		if q := e.queues[id]; q != nil {
			out = append(out, q.inspect(consumers))
		}
	}
	return out
}

func (q *Queue) inspect(consumers bool) shard.QueueInfo {
	in := shard.QueueInfo{ID: q.ID, SingleActive: q.Settings.SingleActive}
	total := q.Ledger.Total()
	if q.Disp == nil {
		in.Ready, in.ReadyBytes, in.Bytes = total.Messages, total.Bytes, total.Bytes
		return in
	}
	ready, held := q.Disp.Ready(), q.Disp.Held()
	in.Ready, in.ReadyBytes, in.Unacked = ready.Messages, ready.Bytes, held.Messages
	in.Bytes, in.Counts.Consumers = ready.Bytes+held.Bytes, q.Disp.Consumers()
	active, single := q.Disp.Active()
	for _, c := range q.consumers {
		if c == nil || c.gone {
			continue
		}
		if c.Exclusive || single && c.id == active {
			in.Only = c.Consumer
		}
		if consumers {
			in.Consumers = append(in.Consumers, c.Consumer)
		}
	}
	return in
}
