package broker

import (
	"context"
	"sync"
	"sync/atomic"
)

// What becomes of publishes comes from the turns of shards, in one of three
// ways: told to the sink, silent, or through multi from several shards.

// told passes outcomes on to the sink.
type told struct{ p *Publisher }

// Confirmed implements shard.Confirms.
func (t *told) Confirmed(first uint64, n uint32, refused bool) {
	t.p.sink.Confirmed(first, n, refused)
	t.p.after.ended(n)
}

// Unknown implements shard.Confirms.
func (t *told) Unknown(first uint64, n uint32) {
	t.p.sink.Unknown(first, n)
	t.p.after.ended(n)
}

// Wake implements shard.Confirms.
func (t *told) Wake() { t.p.sink.Wake() }

// silent counts outcomes that nobody asked for.
type silent struct{ p *Publisher }

// Confirmed implements shard.Confirms.
func (s *silent) Confirmed(_ uint64, n uint32, _ bool) { s.p.after.ended(n) }

// Unknown implements shard.Confirms.
func (s *silent) Unknown(_ uint64, n uint32) { s.p.after.ended(n) }

// Wake implements shard.Confirms.
func (s *silent) Wake() {}

// A multi waits for the publishes that went to several shards. It numbers them
// itself, one after the other, so that shards answer them in runs.
type multi struct {
	p  *Publisher
	mu struct {
		sync.Mutex
		parts []part // from head on in order of their numbers
		head  int    // the oldest that is not answered whole
		first uint64 // number of the part at head
	}
}

// A part is a publish of which some shards have not answered.
type part struct {
	left             int
	tag              uint64 // of the sink
	refused, unknown bool
}

// keptParts is how many parts a multi has room for while nothing waits.
const keptParts = 1 << 10

// expect returns the number of one more publish.
func (m *multi) expect(x part) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.parts = append(m.mu.parts, x)
	return m.mu.first + uint64(len(m.mu.parts)-m.mu.head) - 1
}

// Confirmed implements shard.Confirms.
func (m *multi) Confirmed(first uint64, n uint32, refused bool) { m.ended(first, n, refused, false) }

// Unknown implements shard.Confirms.
func (m *multi) Unknown(first uint64, n uint32) { m.ended(first, n, false, true) }

// ended notes a shard's answer to n publishes. What is answered whole by it is
// passed on in runs of consecutive tags with one outcome.
func (m *multi) ended(first uint64, n uint32, refused, unknown bool) {
	for end := first + uint64(n); first < end; {
		var run part
		var count uint32
		first, run, count = m.answer(first, end, refused, unknown)
		if count == 0 {
			return
		}
		if run.unknown {
			m.p.sink.Unknown(run.tag, count)
		} else {
			m.p.sink.Confirmed(run.tag, count, run.refused)
		}
		m.p.after.ended(count)
	}
}

// answer notes answers up to the end of a run. It returns the first number that
// it did not come to, how the run begins, and its length.
func (m *multi) answer(from, end uint64, refused, unknown bool) (next uint64, run part, count uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; from < end; from++ {
		x := &m.mu.parts[m.mu.head+int(from-m.mu.first)]
		y := part{left: x.left - 1, tag: x.tag, refused: x.refused || refused, unknown: x.unknown || unknown}
		if y.left == 0 {
			if count > 0 && (y.tag != run.tag+uint64(count) || y.refused != run.refused || y.unknown != run.unknown) {
				break
			}
			if count == 0 {
				run = y
			}
			count++
		}
		*x = y
	}
	m.forget()
	return from, run, count
}

// forget lets go of what is answered whole, from the oldest on.
func (m *multi) forget() {
	mu := &m.mu
	for mu.head < len(mu.parts) && mu.parts[mu.head].left == 0 {
		mu.head++
		mu.first++
	}
	switch {
	case mu.head == len(mu.parts) && cap(mu.parts) > keptParts:
		mu.parts, mu.head = nil, 0
	case mu.head == len(mu.parts):
		mu.parts, mu.head = mu.parts[:0], 0
	case mu.head > len(mu.parts)/2:
		mu.parts, mu.head = mu.parts[:copy(mu.parts, mu.parts[mu.head:])], 0
	}
}

// Wake implements shard.Confirms.
func (m *multi) Wake() { m.p.sink.Wake() }

// after lets a publisher wait until what it gave to shards has ended there.
type after struct {
	given   uint64 // publishes; owned by the publisher's goroutine
	over    atomic.Uint64
	want    atomic.Uint64 // over is waited for to be this; 0: nobody waits
	reached chan struct{}
}

func (a *after) ended(n uint32) {
	if over := a.over.Add(uint64(n)); over == a.want.Load() {
		select {
		case a.reached <- struct{}{}:
		default:
		}
	}
}

func (a *after) wait(ctx context.Context) error {
	if a.over.Load() == a.given {
		return nil
	}
	a.want.Store(a.given)
	defer a.want.Store(0)
	for a.over.Load() < a.given {
		select {
		case <-a.reached:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
