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

// A multi waits for the publishes that went to several shards, by their number
// in after.
type multi struct {
	p  *Publisher
	mu struct {
		sync.Mutex
		parts map[uint64]part
	}
}

// A part is a publish of which some shards have not answered.
type part struct {
	left             int
	tag              uint64 // of the sink, 0 if it did not ask
	refused, unknown bool
}

func (m *multi) expect(number uint64, x part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.parts == nil {
		m.mu.parts = map[uint64]part{}
	}
	m.mu.parts[number] = x
}

// Confirmed implements shard.Confirms.
func (m *multi) Confirmed(first uint64, n uint32, refused bool) {
	for i := range uint64(n) {
		m.ended(first+i, refused, false)
	}
}

// Unknown implements shard.Confirms.
func (m *multi) Unknown(first uint64, n uint32) {
	for i := range uint64(n) {
		m.ended(first+i, false, true)
	}
}

func (m *multi) ended(number uint64, refused, unknown bool) {
	m.mu.Lock()
	x := m.mu.parts[number]
	x.left--
	x.refused, x.unknown = x.refused || refused, x.unknown || unknown
	if x.left > 0 {
		m.mu.parts[number] = x
		m.mu.Unlock()
		return
	}
	delete(m.mu.parts, number)
	m.mu.Unlock()
	switch {
	case x.tag == 0:
	case x.unknown:
		m.p.sink.Unknown(x.tag, 1)
	default:
		m.p.sink.Confirmed(x.tag, 1, x.refused)
	}
	m.p.after.ended(1)
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
