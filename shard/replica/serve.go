package replica

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage"
)

// Whom a shard serves is logged before the first delivery to them, so that a
// later leader knows for whom it has to wait: until each of them has attached or
// has ended, it delivers nothing and lets nothing expire, for it does not know
// who holds what.

const (
	// unserveAfter is how long an incarnation has had nothing here when it is
	// not served any more.
	unserveAfter = 60 * time.Second
	watchEvery   = 10 * time.Second
	// suspectAfter is how long a leader waits for somebody to attach.
	suspectAfter = 5 * time.Second
)

// serving is what a leader knows of those served. It belongs to the turn.
type serving struct {
	waits     []queue.Incarnation // neither attached nor ended
	at        time.Duration       // when it began to lead
	suspected time.Duration       // when they were suspected last
	asked     map[queue.Incarnation]bool
	watched   time.Duration
	idle      map[queue.Incarnation]time.Duration // since when it has nothing
}

// serves reports whether it is logged that an incarnation is served, and has it
// logged if it is not.
func (s *Shard) serves(i queue.Incarnation) bool {
	_, leaving := s.serving.asked[i]
	if s.served[i] && !leaving {
		return true
	}
	if s.serving.asked[i] || !s.leading {
		return false
	}
	s.logServe(i, true)
	return false
}

// logServe has it logged that an incarnation is served, or is not any more.
func (s *Shard) logServe(i queue.Incarnation, serve bool) {
	if s.serving.asked == nil {
		s.serving.asked = map[queue.Incarnation]bool{}
	}
	s.serving.asked[i] = serve
	kind := shard.CmdUnserve
	if serve {
		kind = shard.CmdServe
		step.At(step.ServeLogged)
	}
	s.section.Add(shard.Command{Kind: kind, Queue: i.Node, Seq: i.Number})
}

// serve applies that an incarnation is served, or is not any more.
func (s *Shard) serve(i queue.Incarnation, serve bool) {
	if serve {
		s.served[i] = true
		step.At(step.ServeApplied)
	} else {
		delete(s.served, i)
	}
	if asked, ok := s.serving.asked[i]; ok && asked == serve {
		delete(s.serving.asked, i)
	}
	if s.leading && serve {
		s.e.Served()
	}
}

// servedList lists those served, in order.
func (s *Shard) servedList() []queue.Incarnation {
	return slices.SortedFunc(maps.Keys(s.served), func(a, b queue.Incarnation) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Node, b.Node))
	})
}

// attach takes what an incarnation reports.
func (s *Shard) attach(a *shard.Attachment) shard.Attached {
	if a.Begin {
		s.dropBehind(a.From)
	}
	out := s.e.Attach(a)
	out.Term = s.term
	if a.End {
		step.At(step.AttachEnded)
		s.arrived(a.From)
	}
	return out
}

// arrived says that an incarnation is not waited for any more.
func (s *Shard) arrived(i queue.Incarnation) {
	s.serving.waits = slices.DeleteFunc(slices.Clone(s.serving.waits), func(x queue.Incarnation) bool { return x == i })
}

// endDead ends what the catalog has ended while nobody led.
func (s *Shard) endDead() {
	for _, i := range s.servedList() {
		if !s.o.Catalog.Alive(i) {
			s.endIncarnation(i)
		}
	}
	for _, node := range slices.Sorted(maps.Keys(s.streams)) {
		i := queue.Incarnation{Node: node, Number: s.streams[node].inc}
		if i.Number != 0 && !s.served[i] && !s.o.Catalog.Alive(i) {
			s.endIncarnation(i)
		}
	}
}

// endIncarnation ends what an incarnation has here, and has it logged.
func (s *Shard) endIncarnation(i queue.Incarnation) {
	st := s.streams[i.Node]
	if !s.served[i] && (st == nil || st.inc != i.Number) && !s.e.Busy(i) {
		return
	}
	if s.postponeEnd(i) {
		return
	}
	if s.again != nil && s.again.ID.Node == i.Node && s.again.ID.Incarnation == i.Number {
		s.addControl(func() { // what its batch settles has been decided
			if s.leading {
				s.endIncarnation(i)
			}
		})
		return
	}
	s.section.Add(shard.Command{Kind: shard.CmdEnd, Queue: i.Node, Seq: i.Number})
	s.e.EndIncarnation(i)
	s.dropBehind(i)
	for _, q := range s.e.Queues() {
		if q.Disp != nil && q.Disp.WantLost() {
			s.section.Add(shard.Command{Kind: shard.CmdLost, Queue: q.ID})
		}
	}
	s.arrived(i)
	delete(s.visits.streams, i)
}

// watch looks from time to time for those who have nothing here any more, and
// for those who do not come.
func (s *Shard) watch() {
	v := &s.serving
	if s.mono-max(v.at, v.suspected) >= suspectAfter && len(v.waits) > 0 {
		v.suspected = s.mono
		for _, i := range v.waits {
			if !s.o.Catalog.Alive(i) {
				s.endIncarnation(i)
			} else if s.o.Suspect != nil {
				s.o.Suspect(i)
			}
		}
	}
	if s.mono-v.watched < watchEvery {
		return
	}
	v.watched = s.mono
	for _, i := range s.servedList() {
		since, idle := v.idle[i]
		switch {
		case slices.Contains(v.waits, i) || s.e.Busy(i):
			delete(v.idle, i)
		case !idle:
			if v.idle == nil {
				v.idle = map[queue.Incarnation]time.Duration{}
			}
			v.idle[i] = s.mono
		case s.mono-since >= unserveAfter:
			delete(v.idle, i)
			if _, asked := v.asked[i]; !asked {
				s.logServe(i, false)
			}
		}
	}
}

// Quiesce stops dispatching and taking batches, and calls done, in a turn, when
// all that was decided is committed: then the lead may be handed over. If it is
// not, Resume goes on.
func (s *Shard) Quiesce(done func()) {
	s.Run(func() {
		if s.leading {
			s.quiet, s.quieted = done, false
		}
	})
}

// Resume takes Quiesce back.
func (s *Shard) Resume() {
	s.Run(func() { s.quiet, s.quieted = nil, false })
}

// EndIncarnation says that the catalog ended an incarnation. It may be called by
// any goroutine.
func (s *Shard) EndIncarnation(i queue.Incarnation) { s.guests.EndIncarnation(i) }

// Revised says that this node's view of the catalog is newer: batches may have
// waited for it.
func (s *Shard) Revised() { s.group.Wake() }

const servedVersion = 1

// appendServed encodes those served: a version, and varints.
func appendServed(dst []byte, is []queue.Incarnation) []byte {
	dst = binary.AppendUvarint(append(dst, servedVersion), uint64(len(is)))
	for _, i := range is {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, i.Node), i.Number)
	}
	return dst
}

func (s *Shard) restoreServed() error {
	return s.each(keyServed, func(_, v []byte) error {
		if len(v) == 0 || v[0] != servedVersion {
			return fmt.Errorf("%w: the record of those served", storage.ErrDamaged)
		}
		var n [2]uint64
		rest, err := uvarints(v[1:], n[:1])
		for range n[0] {
			if err != nil {
				return err
			}
			rest, err = uvarints(rest, n[:])
			s.served[queue.Incarnation{Node: n[0], Number: n[1]}] = true
		}
		return err
	})
}
