package replica

import (
	"time"

	"github.com/warrenmq/warren/shard"
)

// parkTime is how long publishes wait for a leader.
const parkTime = 30 * time.Second

// A parking is since when what was published waits without a leader.
type parking struct {
	inbox   time.Duration // not numbered yet; 0 if there is none
	pending time.Duration // numbered; the same
}

// unpark answers what has waited too long for a leader. What was never numbered
// has not left this node and never will: that is a refusal. What was may be in
// some log: nobody knows, and it stays pending.
func (s *Shard) unpark() {
	batches, _, _ := s.in.Pending()
	if waited(&s.parking.inbox, s.mono, batches > 0) {
		s.parking.inbox = 0
		s.refuseParked(batches)
	}
	if waited(&s.parking.pending, s.mono, s.untold() > 0) {
		s.parking.pending = 0
		for _, b := range s.pending {
			shard.Unknown(b.runs)
			s.tell(b.runs)
			b.runs = nil
		}
	}
}

// waited reports whether something has been there for parkTime.
func waited(since *time.Duration, now time.Duration, there bool) bool {
	switch {
	case !there:
		*since = 0
	case *since == 0:
		*since = now
	default:
		return now-*since >= parkTime
	}
	return false
}

func (s *Shard) refuseParked(batches int) {
	for range batches {
		b, runs, resume := s.in.TakeBatch(nil)
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
		s.tell(runs)
	}
}

// tell wakes who was answered.
func (s *Shard) tell(runs []shard.Run) {
	for i := range runs {
		if to := runs[i].To; to != nil {
			s.e.WakeLater(to)
		}
	}
}

// untold is how many batches are pending whose publishers were told nothing.
func (s *Shard) untold() (n int) {
	for _, b := range s.pending {
		if len(b.runs) > 0 {
			n++
		}
	}
	return n
}
