package transfer

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/warrenmq/warren/shard"
)

// A cause is why a dead message is nowhere.
type cause string

const (
	noTarget   cause = "its queue names no exchange for dead letters any more"
	noExchange cause = "the exchange for dead letters does not exist"
	noRoute    cause = "the exchange for dead letters has no queue for it"
	unbound    cause = "no queue was bound for it when it was due"
	cycle      cause = "it would come back to a queue where it died, and nobody rejected it"
	notTaken   cause = "a queue did not take it, and it is not to be sent again"
	noRoom     cause = "too many are on their way, and it is not to wait"
	unreadable cause = "it can not be read"
)

// drops counts what was dropped and not told yet, by queue and cause.
type drops map[drop]uint64

type drop struct {
	queue shard.QueueID
	cause cause
}

const (
	// reportEvery is how often what was dropped is told.
	reportEvery = 10 * time.Second
	// reportMost bounds the lines of a report.
	reportMost = 16
)

func (t *Transfer) drop(q shard.QueueID, why cause, n uint64) {
	t.counts.Dropped += n
	t.drops[drop{q, why}] += n
}

// report tells what was dropped: at once, and then together what followed. It
// returns when the next report is due, 0 if none is.
func (t *Transfer) report(now time.Duration) time.Duration {
	if len(t.drops) == 0 {
		return 0
	}
	if now < t.reportAt {
		return t.reportAt
	}
	t.reportAt = now + reportEvery
	all := make([]drop, 0, len(t.drops))
	for d := range t.drops {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b drop) int {
		return cmp.Or(cmp.Compare(a.queue, b.queue), cmp.Compare(a.cause, b.cause))
	})
	for _, d := range all[:min(len(all), reportMost)] {
		name, vhost := strconv.FormatUint(d.queue, 10), "" // all that is left of it
		if a, ok := t.o.Router.Address(d.queue); ok {
			if name, vhost = a.Queue, a.VHost; a.Due {
				t.log.Warn("delayed messages were dropped", "vhost", vhost, "exchange", name, "reason", string(d.cause), "count", t.drops[d])
				continue
			}
		}
		t.log.Warn("dead letters were dropped", "vhost", vhost, "queue", name, "reason", string(d.cause), "count", t.drops[d])
	}
	if n := len(all) - reportMost; n > 0 {
		t.log.Warn("dead letters of more queues were dropped", "suppressed", n)
	}
	clear(t.drops)
	return 0
}
