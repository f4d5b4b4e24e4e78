package transfer

import (
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// What shards say inside their turns is noted here and handled by Step.

type eventKind uint8

const (
	posted    eventKind = iota // src has letters; only key is set
	answered                   // a shard gave letters
	confirmed                  // publishes with tags first..first+n-1 have an outcome
	lost                       // theirs can not be learnt
	dropped                    // n dead messages of a queue were dropped by it
	resumed                    // a shard takes publishes again
)

type event struct {
	kind     eventKind
	key      sourceKey
	src      *source
	letters  shard.LettersResult
	err      error
	first, n uint64
	refused  bool
}

func (t *Transfer) note(e event) {
	t.mu.Lock()
	t.mu.events = append(t.mu.events, e)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Posted implements shard.Mail.
func (t *Transfer) Posted(from shard.Outbox, q shard.QueueID) {
	t.note(event{kind: posted, key: sourceKey{from, q}})
}

// Dropped implements shard.Mail.
func (t *Transfer) Dropped(q shard.QueueID, n uint64) {
	t.note(event{kind: dropped, key: sourceKey{nil, q}, n: n})
}

// Confirmed implements shard.Confirms.
func (t *Transfer) Confirmed(first uint64, n uint32, refused bool) {
	t.note(event{kind: confirmed, first: first, n: uint64(n), refused: refused})
}

// Unknown implements shard.Confirms.
func (t *Transfer) Unknown(first uint64, n uint32) {
	t.note(event{kind: lost, first: first, n: uint64(n)})
}

// Wake implements shard.Confirms; note did it already.
func (t *Transfer) Wake() {}

func (t *Transfer) handle(e *event) {
	switch e.kind {
	case posted:
		src := t.sources[e.key]
		if src == nil {
			src = &source{sourceKey: e.key}
			t.sources[e.key] = src
		}
		src.more = true
		t.list(src)
	case answered:
		t.take(e.src, &e.letters, e.err)
	case confirmed, lost:
		for tag := e.first; tag < e.first+e.n; tag++ {
			t.outcome(tag, e.refused, e.kind == lost)
		}
	case dropped:
		t.drop(e.key.queue, noRoom, e.n)
	case resumed:
		t.parked--
	}
}

// take takes over what a shard gave.
func (t *Transfer) take(src *source, r *shard.LettersResult, err error) {
	src.asking = false
	if err != nil {
		t.forget(src)
		return
	}
	if len(r.Letters) == 0 {
		src.more = false
		t.settleDown(src)
		return
	}
	a, ok := t.o.Router.Address(src.queue)
	src.open += len(r.Letters)
	for i := range r.Letters {
		x := &r.Letters[i]
		l := &letter{src: src, number: x.Number, size: x.Size, blob: x.Blob, why: x.Why, at: x.At}
		t.bytes += len(x.Blob)
		if !r.Volatile {
			l.origin = &queue.Origin{
				Source: queue.Source{Space: queue.OutboxSpace, ID: src.queue}, Seq: x.Number, Floor: r.Floor,
			}
		}
		if !ok {
			t.drop(src.queue, noTarget, 1)
			t.end(l)
			continue
		}
		t.send(l, &a)
	}
	t.list(src)
}

// outcome is what became of one publish.
func (t *Transfer) outcome(tag uint64, refused, unknown bool) {
	p, ok := t.parts[tag]
	if !ok {
		return
	}
	delete(t.parts, tag)
	l, now := p.l, t.o.Clock.Mono()
	l.left--
	if p.gate != nil {
		p.gate.open--
	}
	switch {
	case !refused && !unknown:
		l.took = append(l.took, p.queues...)
		if p.gate != nil {
			p.gate.took()
		}
	case len(p.queues) > 1:
		l.resend = true // nobody says which of them refused
	default:
		l.refused = true
		l.waits = t.gate(p.queues[0])
		l.waits.refused(now)
	}
	if l.left == 0 {
		t.attempted(l)
	}
}
