package replica

import "github.com/warrenmq/warren/shard"

// A new leader may know less of the catalog than its shard's log depends on. Its
// letters are routed by what this node knows: with an older view they would find
// no queue, no exchange or no target, and be dropped. So nobody gets letters
// before the view is as new as whatever was applied here.

// viewed reports whether it is.
func (s *Shard) viewed() bool { return s.o.Catalog.Revision() >= s.guests.revision.Load() }

// holdLetters takes the requests for letters out that have to wait for that.
func (s *Shard) holdLetters(rs []shard.Request) {
	if s.viewed() {
		return
	}
	for i := range rs {
		if rs[i].Kind == shard.ReqLetters {
			s.unknown = append(s.unknown, rs[i])
			rs[i] = shard.Request{Kind: shard.ReqKick}
		}
	}
}

// giveLetters answers those that waited.
func (s *Shard) giveLetters() {
	if len(s.unknown) == 0 || !s.viewed() {
		return
	}
	rs := s.unknown
	s.unknown = nil
	s.e.Requests(rs)
}
