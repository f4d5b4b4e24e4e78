package memory

import (
	"sync"
	"sync/atomic"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/shard"
)

// A queue in memory goes to a shard in two steps. Frozen, it gives nothing out
// and waits until nothing is held, so that no message is anybody's twice; it takes
// publishes as before. Then the catalog says where it is from now on, and all that
// it has, and all that comes yet from those who have not heard of it, is published
// there in order. What is asked of it meanwhile waits until that is committed: so
// an answer says that what was published here before is there.

// A moving is what a queue knows of its move; owned by the turn.
type moving struct {
	quiet func() // called once, when nothing is held; nil: it was
	to    shard.Shard
	later []shard.Request // that wait for the end, or for Thaw
	taken []taken         // handed to the shard and not confirmed, by tag
	first uint64          // tag of the first of them
	full  atomic.Bool     // the shard takes no more now

	mu      sync.Mutex // guards answers
	answers []answer
}

// A taken is a message that was handed to the shard.
type taken struct {
	seq     uint64
	holding queue.Holding
	publish shard.Publish
	done    bool
}

// An answer is what the shard said to a row of them.
type answer struct {
	first   uint64
	n       uint32
	refused bool
}

// Freeze has the queue give out nothing any more. quiet is called once, in a turn,
// when nothing is held: that may be never.
func (m *Queue) Freeze(quiet func()) {
	m.do(func() {
		if m.mv == nil {
			m.mv = &moving{quiet: quiet, first: 1}
		}
	})
}

// Thaw takes Freeze back, unless the queue has gone.
func (m *Queue) Thaw() {
	m.do(func() {
		mv := m.mv
		if mv == nil || mv.to != nil {
			return
		}
		m.mv = nil
		for _, r := range mv.later {
			m.in.Add(r)
		}
		m.e.Touch(m.q)
		m.run() // once more
	})
}

// Go moves all that is in the queue, which is frozen and still, to the shard that
// has it from now on. It ends here with its sessions' consumers, not by itself.
func (m *Queue) Go(to shard.Shard) {
	m.do(func() {
		if m.mv == nil || m.e.Queue(m.o.ID) == nil {
			return
		}
		m.mv.to = to
		m.stay()
	})
}

// stay has the queue end for no reason of its own.
func (m *Queue) stay() { m.q.Settings.AutoDelete, m.q.Settings.Expires = false, 0 }

// putOff keeps the requests whose answer depends on what the queue holds, and
// returns the others.
func (m *Queue) putOff(rs []shard.Request) []shard.Request {
	now := rs[:0]
	for _, r := range rs {
		switch r.Kind {
		case shard.ReqGet, shard.ReqPurge, shard.ReqCounts, shard.ReqClose, shard.ReqReopen:
			m.mv.later = append(m.mv.later, r)
		default:
			now = append(now, r)
		}
	}
	return now
}

// move is the rest of the turn of a queue that is frozen.
func (m *Queue) move() {
	m.e.Flush()
	mv := m.mv
	switch {
	case m.e.Queue(m.o.ID) == nil: // it was deleted
		m.mv, mv.to = nil, nil
		m.forward(mv)
	case mv.to == nil:
		if mv.quiet != nil && m.q.Still() {
			f := mv.quiet
			mv.quiet = nil
			f()
		}
	default:
		m.hear(mv)
		m.send(mv)
		if len(mv.taken) == 0 && m.q.Ledger.Total().Messages == 0 {
			step.At(step.MoveGone)
			m.forward(mv)
		}
	}
}

// mover is the session that holds what is on its way.
func (m *Queue) mover() queue.SessionID { return queue.SessionID{Incarnation: m.o.Incarnation} }

// send hands messages to the shard, as long as it takes them.
func (m *Queue) send(mv *moving) {
	for !mv.full.Load() {
		d, blob, ok := m.e.Take(m.q, m.mover())
		if !ok {
			return
		}
		msg, err := message.Parse(blob)
		if err != nil {
			panic("memory: a message that was taken is none: " + err.Error())
		}
		r := &d.Record
		p := shard.Publish{
			Message: &msg, Queues: []shard.QueueID{m.o.ID}, Priority: r.Priority, Acquired: r.Acquired, Failed: r.Failed,
			To: told{m, mv}, Tag: mv.first + uint64(len(mv.taken)),
		}
		if r.Expires != 0 {
			p.HasTTL, p.TTL = true, uint32(min(max(r.Expires-m.e.Now, 0), int64(^uint32(0))))
		}
		mv.taken = append(mv.taken, taken{seq: d.Seq, holding: d.Holding, publish: p})
		m.hand(mv, p)
		step.At(step.MoveHanded)
	}
}

// hand publishes to the shard.
func (m *Queue) hand(mv *moving, p shard.Publish) {
	if !mv.to.Publish([]shard.Publish{p}) {
		mv.full.Store(true)
		mv.to.Ready(func() {
			mv.full.Store(false)
			m.run()
		})
	}
}

// hear takes what the shard answered. What it refused, because nobody led it for
// long, is handed to it again, in order.
func (m *Queue) hear(mv *moving) {
	mv.mu.Lock()
	as := mv.answers
	mv.answers = nil
	mv.mu.Unlock()
	var ss []shard.Settle
	for _, a := range as {
		for i := range uint64(a.n) {
			k := int(a.first + i - mv.first)
			if k < 0 || k >= len(mv.taken) || mv.taken[k].done {
				continue
			}
			t := &mv.taken[k]
			if a.refused {
				m.hand(mv, t.publish)
				continue
			}
			t.done = true
			ss = append(ss, shard.Settle{Queue: m.o.ID, Seq: t.seq, Holding: t.holding})
		}
	}
	n := 0
	for n < len(mv.taken) && mv.taken[n].done {
		mv.taken[n] = taken{}
		n++
	}
	mv.taken, mv.first = mv.taken[n:], mv.first+uint64(n)
	if len(ss) > 0 {
		step.At(step.MoveTaken)
		m.e.Settle(ss)
		m.e.Flush()
	}
}

// forward answers what waited: all that was published here before is in the shard.
func (m *Queue) forward(mv *moving) {
	later := mv.later
	mv.later = nil
	for i := range later {
		r := &later[i]
		err := shard.ErrGone
		switch {
		case r.Kind == shard.ReqGet && mv.to != nil:
			r.DoneGet(shard.GetResult{Empty: true}, nil)
		case r.Kind == shard.ReqGet:
			r.DoneGet(shard.GetResult{}, err)
		case r.Kind == shard.ReqCounts && mv.to != nil:
			r.Counts(shard.Counts{}, nil)
		case r.Kind == shard.ReqCounts:
			r.Counts(shard.Counts{}, err)
		case mv.to == nil && r.Kind == shard.ReqReopen:
			r.Done(err)
		case mv.to == nil:
			r.DoneN(0, err)
		case r.Kind == shard.ReqPurge:
			mv.to.Purge(m.o.ID, r.DoneN)
		case r.Kind == shard.ReqClose:
			mv.to.Close(m.o.ID, r.If, r.DoneN)
		case r.Kind == shard.ReqReopen:
			mv.to.Reopen(m.o.ID, r.Done)
		}
	}
}

// A told is told what became of what was handed to the shard.
type told struct {
	m  *Queue
	mv *moving
}

// Confirmed implements shard.Confirms.
func (t told) Confirmed(first uint64, n uint32, refused bool) {
	t.mv.mu.Lock()
	t.mv.answers = append(t.mv.answers, answer{first, n, refused})
	t.mv.mu.Unlock()
}

// Unknown implements shard.Confirms: this life of the node has ended, and the
// queue here with it.
func (t told) Unknown(uint64, uint32) {}

// Wake implements shard.Confirms.
func (t told) Wake() { t.m.run() }
