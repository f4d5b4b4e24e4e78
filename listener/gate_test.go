package listener

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// manual is a clock that the test moves.
type manual struct {
	machineClock
	now time.Time
}

func (m *manual) Now() time.Time { return m.now }

// closing notes that it was closed.
type closing struct {
	deadlines
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func newHalfOpen(t rapid.TB) (*budget, *closing) {
	raw := &closing{}
	b, err := newBudget(raw, 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return b, raw
}

// The peer that holds most of the half-open connections pays for the one more.
func TestGateGreediestPays(t *testing.T) {
	clock := &manual{now: time.Unix(0, 0)}
	g := NewGate(GateOptions{MaxHalfOpen: 4, Clock: clock})
	greedy, honest := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

	var raws []*closing
	for range 4 {
		b, raw := newHalfOpen(t)
		if err := g.enter(b, greedy); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
	}
	// Its own next one is not let in while the others are young.
	b, _ := newHalfOpen(t)
	var limit *limitError
	if err := g.enter(b, greedy); !errors.As(err, &limit) || limit.setting != "limits.max_half_open" {
		t.Fatalf("err %v", err)
	}
	// Another peer gets in at once, in place of the greedy one's oldest.
	b, _ = newHalfOpen(t)
	if err := g.enter(b, honest); err != nil || !raws[0].closed || raws[1].closed {
		t.Fatalf("err %v, closed %v %v", err, raws[0].closed, raws[1].closed)
	}
	// Later the greedy peer's own oldest makes room for its newest.
	clock.now = clock.now.Add(courtesy)
	b, _ = newHalfOpen(t)
	if err := g.enter(b, greedy); err != nil || !raws[1].closed {
		t.Fatalf("err %v, closed %v", err, raws[1].closed)
	}
	if s := g.Stats(); s.HalfOpen != 4 || s.Evicted != 2 || s.Refused != 1 {
		t.Errorf("stats %+v", s)
	}
}

// One customer's IPv6 addresses are one source.
func TestGateSources(t *testing.T) {
	for _, tc := range []struct{ a, b string }{
		{"2001:db8::1", "2001:db8::ffff:1"},
		{"192.0.2.1", "::ffff:192.0.2.1"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	} {
		if a, b := sourceOf(netip.MustParseAddr(tc.a)), sourceOf(netip.MustParseAddr(tc.b)); a != b {
			t.Errorf("%v and %v differ", a, b)
		}
	}
	if sourceOf(netip.MustParseAddr("2001:db8::1")) == sourceOf(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two customers are one source")
	}
}

// Whatever comes, logs in and goes, the counts are those of a plain list and the
// limits hold.
func TestGateModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxConns, maxHalf = 12, 5
		clock := &manual{now: time.Unix(0, 0)}
		g := NewGate(GateOptions{MaxConnections: maxConns, MaxHalfOpen: maxHalf, Clock: clock})
		type one struct {
			b    *budget
			raw  *closing
			half bool
		}
		var in []*one
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				clock.now = clock.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "ms")) * time.Millisecond)
				b, raw := newHalfOpen(t)
				from := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 3).Draw(t, "peer"))})
				if g.enter(b, from) == nil {
					in = append(in, &one{b, raw, true})
				}
			},
			"login": func(t *rapid.T) {
				if len(in) > 0 {
					o := in[rapid.IntRange(0, len(in)-1).Draw(t, "who")]
					g.loggedIn(o.b)
					o.half = false
				}
			},
			"leave": func(t *rapid.T) {
				if len(in) > 0 {
					i := rapid.IntRange(0, len(in)-1).Draw(t, "who")
					g.leave(in[i].b)
					in = append(in[:i], in[i+1:]...)
				}
			},
			"": func(t *rapid.T) {
				half := 0
				for _, o := range in {
					if o.half && !o.raw.closed {
						half++
					}
				}
				s := g.Stats()
				if s.Connections != len(in) || s.HalfOpen != half || half > maxHalf || len(in) > maxConns {
					t.Fatalf("stats %+v; %d connections, %d half-open", s, len(in), half)
				}
				linked := 0
				for _, p := range g.mu.peers {
					n := 0
					for b := p.oldest; b != nil; b = b.half.next {
						n++
					}
					if n != p.n || n == 0 {
						t.Fatalf("peer %v says %d, holds %d", p.source, p.n, n)
					}
					linked += n
				}
				if linked != half {
					t.Fatalf("%d linked, %d half-open", linked, half)
				}
			},
		})
	})
}
