package replica

import (
	"slices"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// early is what a leader was told before all whom an earlier leader served have
// attached. A holding that a node claims may be an old one: its return was
// committed and the message given to somebody else, whose claim comes yet, before
// the node heard of it. Until everybody has reported, nothing ends a holding; then
// the latest claim of each message stands, and the settles of all others are void.
type early struct {
	settles  []shard.Settle  // of this node's sessions
	requests []shard.Request // of this node's sessions, behind them
	guests   []shard.Request // settles of other nodes' sessions
	ends     []queue.Incarnation
}

// awaiting reports whether somebody is waited for whose claims may come yet.
func (s *Shard) awaiting() bool {
	for _, i := range s.serving.waits {
		if !slices.Contains(s.early.ends, i) {
			return true
		}
	}
	return false
}

// postpone takes what this node's sessions want while somebody is waited for.
func (s *Shard) postpone() {
	x := &s.early
	x.settles = append(x.settles, s.settles...)
	for i := range s.requests {
		switch s.requests[i].Kind {
		case shard.ReqRun, shard.ReqKick, shard.ReqLetters, shard.ReqLeft:
			s.e.Requests(s.requests[i : i+1])
		default:
			x.requests = append(x.requests, s.requests[i])
			s.requests[i] = shard.Request{}
		}
	}
}

// postponeGuest takes a request of another node's session if it settles.
func (s *Shard) postponeGuest(r *shard.Request) {
	if r.Kind == shard.ReqSettles {
		s.early.guests = append(s.early.guests, *r)
		*r = shard.Request{Kind: shard.ReqKick}
	}
}

// postponeEnd reports whether the end of an incarnation has to wait: it gives
// back what somebody else may claim.
func (s *Shard) postponeEnd(i queue.Incarnation) bool {
	x := &s.early
	if slices.Contains(x.ends, i) {
		return true
	}
	x.ends = append(x.ends, i)
	if s.awaiting() {
		return true
	}
	x.ends = x.ends[:len(x.ends)-1]
	return false
}

// resume does what was postponed, once nobody is waited for.
func (s *Shard) resume() {
	x := s.early
	if s.awaiting() || len(x.settles)+len(x.requests)+len(x.guests)+len(x.ends) == 0 {
		return
	}
	s.early = early{}
	s.settleOwn(x.settles)
	s.e.Requests(x.requests)
	s.e.Requests(x.guests)
	for _, i := range x.ends {
		s.endIncarnation(i)
	}
}
