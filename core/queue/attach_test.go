package queue

import "testing"

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
