package origin

import (
	"time"

	"github.com/warrenmq/warren/shard"
)

// ParkTime is how long publishes wait for a leader.
const ParkTime = 30 * time.Second

// A parking is since when what was published waits without a leader.
type parking struct {
	inbox   time.Duration // not numbered yet; 0 if there is none
	pending time.Duration // numbered; the same
}

// Led says that somebody leads and answers: nothing is parked.
func (o *Origin) Led() { o.parking = parking{} }

// Unpark answers what has waited too long for a leader. What was never numbered
// has not left this node and never will: that is a refusal. What was may be in
// some log: nobody knows, and it stays pending. It is called in every turn
// without a leader.
func (o *Origin) Unpark(now time.Duration) {
	batches, _, _ := o.In.Pending()
	if waited(&o.parking.inbox, now, batches > 0) {
		o.parking.inbox = 0
		o.refuseParked(batches)
	}
	if waited(&o.parking.pending, now, o.untold() > 0) {
		o.parking.pending = 0
		for _, b := range o.pending {
			shard.Unknown(b.Runs)
			o.Wakes.LaterRuns(b.Runs)
			b.Runs = nil
		}
	}
}

// waited reports whether something has been there for ParkTime.
func waited(since *time.Duration, now time.Duration, there bool) bool {
	switch {
	case !there:
		*since = 0
	case *since == 0:
		*since = now
	default:
		return now-*since >= ParkTime
	}
	return false
}

func (o *Origin) refuseParked(batches int) {
	for range batches {
		b, runs, resume := o.In.TakeBatch(nil)
		for _, f := range resume {
			f()
		}
		if b == nil {
			return
		}
		refused := make([]uint32, b.Publishes())
		for i := range refused {
			refused[i] = uint32(i)
		}
		shard.Confirm(runs, refused)
		o.Wakes.LaterRuns(runs)
	}
}

// untold is how many batches are pending whose publishers were told nothing.
func (o *Origin) untold() (n int) {
	for _, b := range o.pending {
		if len(b.Runs) > 0 {
			n++
		}
	}
	return n
}
