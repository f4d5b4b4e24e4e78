package queue

import "testing"

// A queue remembers so many sources and no more: the silent ones go first.
func TestOriginsAreBounded(t *testing.T) {
	l := NewLedger(Settings{})
	take := func(id, seq uint64, now int64) bool {
		return l.Take(Origin{Source: Source{OutboxSpace, id}, Seq: seq}, now)
	}
	for id := range uint64(maxOrigins) {
		take(id, 1, 0)
	}
	if take(0, 1, 1) || l.Origins() != maxOrigins { // used again: 1 is the oldest now
		t.Fatalf("a source was forgotten among %d", l.Origins())
	}
	take(maxOrigins, 1, 1)
	switch {
	case l.Origins() != maxOrigins:
		t.Fatalf("%d sources", l.Origins())
	case take(0, 1, 2):
		t.Fatal("the source used last was forgotten")
	case !take(1, 1, 2):
		t.Fatal("the source that was silent longest is remembered")
	}
	take(1<<40, 1, originAge+2)
	if n := l.Origins(); n != 3 { // with 0 and 1, which were used since
		t.Fatalf("%d sources after a week", n)
	}
}

// What a source sends beyond the window moves the floor: nothing is taken twice.
func TestOriginWindowMoves(t *testing.T) {
	l := NewLedger(Settings{})
	o := func(seq uint64) Origin { return Origin{Source: Source{OutboxSpace, 1}, Seq: seq} }
	for _, seq := range []uint64{5, OriginWindow, 3 * OriginWindow} {
		if !l.Take(o(seq), 0) {
			t.Fatalf("%d was taken before", seq)
		}
	}
	if l.Take(o(2*OriginWindow), 0) || !l.Took(o(6)) {
		t.Error("a sequence below the window is taken")
	}
	if !l.Take(o(2*OriginWindow+1), 0) || l.Take(o(3*OriginWindow), 0) {
		t.Error("the window does not begin behind its floor")
	}
}
