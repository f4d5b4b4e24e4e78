package queue

import (
	"slices"
	"testing"
)

// A node that has not heard that what it gave back was given to another claims
// it still: the claim of the later holding stands, whichever comes first.
func TestLaterClaimStands(t *testing.T) {
	a, b := Incarnation{Node: 1, Number: 1}, Incarnation{Node: 2, Number: 2}
	early := Claim{Seq: 1, Holding: Holding{Term: 4, Counter: 9}, Size: 10, Session: SessionID{Incarnation: a, Number: 1}}
	late := Claim{Seq: 1, Holding: Holding{Term: 4, Counter: 41}, Size: 10, Session: SessionID{Incarnation: b, Number: 1}}
	for name, claims := range map[string][]Claim{"early first": {early, late}, "late first": {late, early}} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(Settings{})
			l.Enqueue(Record{Body: Body{Index: 1, Len: 10}, Size: 10})
			d := NewDispatcher(l, Life{Term: 5, Waits: []Incarnation{a, b}})
			for _, c := range claims {
				if _, err := d.Attach(c.Session.Incarnation, nil, []Claim{c}, true, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !d.Open() || d.Holds(1, early.Holding) || !d.Holds(1, late.Holding) {
				t.Errorf("open %v, early %v, late %v", d.Open(), d.Holds(1, early.Holding), d.Holds(1, late.Holding))
			}
			if h := d.Held(); h != (Amount{1, 10}) || d.Holding(a) {
				t.Errorf("held %+v, by the first %v", h, d.Holding(a))
			}
			if size, ok := d.Settle(1, late.Holding); !ok || size != 10 {
				t.Errorf("settled %d %v", size, ok)
			}
		})
	}
}

// claims attaches one node with one claim to a dispatcher that waits for it.
func claims(t *testing.T, l *Ledger, term uint64, c Claim) (d *Dispatcher, refused []Claim) {
	t.Helper()
	d = NewDispatcher(l, Life{Term: term, Waits: []Incarnation{c.Session.Incarnation}})
	refused, err := d.Attach(c.Session.Incarnation, nil, []Claim{c}, true, nil)
	if err != nil || !d.Open() {
		t.Fatal(err, d.Open())
	}
	return d, refused
}

// What was given back since, by whatever leader, is not held any more: its
// node settles it again and nothing must count twice.
func TestStaleClaimIsRefused(t *testing.T) {
	a := Incarnation{Node: 1, Number: 1}
	l := NewLedger(Settings{})
	l.Enqueue(Record{Body: Body{Index: 1, Len: 10}, Size: 10})
	c := Claim{Seq: 1, Holding: Holding{Term: 4, Counter: 9}, Size: 10, Session: SessionID{Incarnation: a, Number: 1}}
	l.Return(Run{1, 1, 1, 10}, RaiseAcquired|RaiseFailed, 0) // the answer was lost
	d, refused := claims(t, l, 5, c)
	if len(refused) != 1 || d.Holds(1, c.Holding) || d.Ready() != (Amount{1, 10}) {
		t.Errorf("refused %+v, ready %+v", refused, d.Ready())
	}
	if _, v := d.Return(1, c.Holding, RaiseAcquired|RaiseFailed); v != Stale {
		t.Errorf("it is given back again: %v", v)
	}
	// It is delivered again, and that is claimed.
	d.Close()
	c.Holding, c.Acquired = Holding{Term: 5, Counter: 1}, 1
	if d, refused = claims(t, l, 6, c); len(refused) != 0 || !d.Holds(1, c.Holding) {
		t.Errorf("refused %+v", refused)
	}
	d.Close()
	c.Holding, c.Acquired = Holding{Term: 4, Counter: 1}, AnyAcquired
	if d, refused = claims(t, l, 7, c); len(refused) != 0 || !d.Holds(1, c.Holding) {
		t.Errorf("refused %+v, which does not say", refused)
	}
}

// A message that rested, was given out again and is held when the leader changes
// stays held: that it rested once is all that the ledger says of it.
func TestClaimOfWhatRested(t *testing.T) {
	a := Incarnation{Node: 1, Number: 1}
	for name, now := range map[string]int64{"rest is over": 1_000_000, "rest goes on": 0} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger(Settings{Retry: Retry{When: RetryFailed, Min: 500_000}})
			l.Enqueue(Record{Body: Body{Index: 1, Len: 10}, Size: 10})
			l.Return(Run{1, 1, 1, 10}, RaiseAcquired|RaiseFailed, 100)
			c := Claim{Seq: 1, Holding: Holding{Term: 4, Counter: 9}, Size: 10, Acquired: 1, Session: SessionID{Incarnation: a, Number: 1}}
			d, refused := claims(t, l, 5, c)
			if len(refused) != 0 || !d.Holds(1, c.Holding) || d.Ready() != (Amount{}) || d.Held() != (Amount{1, 10}) {
				t.Fatalf("refused %+v, ready %+v, held %+v", refused, d.Ready(), d.Held())
			}
			// Nobody gets it while it is held, though its rest ends.
			if x, p := d.Get(SessionID{Incarnation: a, Number: 2}, 0, now); p.Why != NoMessage {
				t.Fatalf("%+v is given out, %+v", x, p)
			}
			if size, ok := d.Settle(1, c.Holding); !ok || size != 10 {
				t.Fatal("it can not be settled", size, ok)
			}
			l.Settle(Run{1, 1, 1, 10})
			if l.Total() != (Amount{}) || d.Held() != (Amount{}) || d.Ready() != (Amount{}) {
				t.Errorf("left %+v, held %+v, ready %+v", l.Total(), d.Held(), d.Ready())
			}
		})
	}
}

// What a node got by get and never received is ready again, as new, when it has
// attached: in its place, before all that nobody was given yet. Who was given later
// ones meanwhile gets it behind them.
func TestLostOnItsWayComesNext(t *testing.T) {
	a, b := Incarnation{Node: 1, Number: 1}, Incarnation{Node: 2, Number: 2}
	l := NewLedger(Settings{})
	for range 6 {
		l.Enqueue(Record{Body: Body{Index: 1, Len: 10}, Size: 10})
	}
	l.SetHorizon(0, 100)
	d := NewDispatcher(l, Life{Term: 5})
	for range 2 {
		if _, p := d.Get(SessionID{Incarnation: a, Number: 1}, 0, 0); p.Why != NotPaused {
			t.Fatal(p)
		}
	}
	if err := d.Add(ConsumerSpec{ID: 1, Session: SessionID{Incarnation: b, Number: 1}}); err != nil {
		t.Fatal(err)
	}
	var got []uint64
	take := func(n int) {
		ds, _ := d.Dispatch(0, n, nil)
		for _, x := range ds {
			if got = append(got, x.Seq); x.Redelivered {
				t.Errorf("%d comes flagged", x.Seq)
			}
		}
	}
	take(2)
	last := d.Last()
	if _, err := d.Attach(a, nil, nil, true, nil); err != nil {
		t.Fatal(err)
	}
	take(6)
	if want := []uint64{3, 4, 1, 2, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if want := (Holding{Term: 5, Counter: 4}); last != want {
		t.Errorf("given out last before: %v, want %v", last, want)
	}
}
