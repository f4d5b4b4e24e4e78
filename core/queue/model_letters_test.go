package queue

import (
	"slices"

	"pgregory.net/rapid"
)

// A posted is a letter as the model knows it.
type posted struct {
	Letter
	rec Record
}

// taken is what was taken of a source: every sequence, without a window.
type taken struct {
	floor uint64
	seqs  map[uint64]bool
}

// checkLetters compares the outbox with the model's, letter by letter.
func (m *model) checkLetters() {
	l := m.leader.l
	var want Amount
	next, floor := uint64(0), m.last
	for i, x := range m.letters {
		if i == 0 {
			floor = x.Number - 1
		}
		want.add(1, uint64(x.rec.Size))
		got, ok := l.NextLetter(next)
		if !ok || got != x.Letter {
			m.t.Fatalf("letter %d is %+v, want %+v", next, got, x.Letter)
		}
		if rec, hot := l.LetterRecord(x.Seq); hot && rec != x.rec || l.Live(x.Seq) {
			m.t.Fatalf("letter %+v has %+v, live %v", x, rec, l.Live(x.Seq))
		}
		next = x.Number + 1
	}
	if x, ok := l.NextLetter(next); ok {
		m.t.Fatalf("a letter %+v too many", x)
	}
	if l.Outbox() != want || l.LetterFloor() != floor {
		m.t.Fatalf("outbox of %+v above %d, want %+v above %d", l.Outbox(), l.LetterFloor(), want, floor)
	}
}

// left has some neighbours leave, and a run that is not exact change nothing.
func (m *model) left() {
	if len(m.letters) == 0 {
		m.t.Skip("no letter")
	}
	lo := rapid.IntRange(0, len(m.letters)-1).Draw(m.t, "first")
	hi := rapid.IntRange(lo+1, min(len(m.letters), lo+50)).Draw(m.t, "behind")
	r := Run{Seq: m.letters[lo].Number, Span: uint32(m.letters[hi-1].Number - m.letters[lo].Number + 1), N: uint32(hi - lo)}
	for _, x := range m.letters[lo:hi] {
		r.Bytes += uint64(x.rec.Size)
	}
	inexact := r
	inexact.N++
	m.commit(command{kind: "left", run: inexact})
	m.checkLetters()
	m.letters = slices.Delete(m.letters, lo, hi)
	m.commit(command{kind: "left", run: r})
}

// take offers a message of some source, sent once or again.
func (m *model) take() {
	s := Source{OutboxSpace, rapid.Uint64Range(1, 3).Draw(m.t, "source")}
	x := m.sources[s]
	if x == nil {
		x = &taken{seqs: map[uint64]bool{}}
		m.sources[s] = x
	}
	for range rapid.IntRange(1, 20).Draw(m.t, "messages") {
		o := Origin{Source: s, Floor: x.floor + rapid.SampledFrom([]uint64{0, 0, 0, 1, 63, 64, 65, 1023, 1024, 3000}).Draw(m.t, "floor")}
		o.Seq = max(1, x.floor+rapid.Uint64Range(0, OriginWindow).Draw(m.t, "seq"))
		double := x.seqs[o.Seq] || o.Seq <= max(x.floor, o.Floor)
		if m.leader.l.Took(o) != (x.seqs[o.Seq] || o.Seq <= x.floor) {
			m.t.Fatalf("%+v: took %v", o, m.leader.l.Took(o))
		}
		if _, n := m.takeOne(o); (n == 0) != double {
			m.t.Fatalf("%+v: taken %d, want double %v", o, n, double)
		}
		x.floor = max(x.floor, o.Floor)
		x.seqs[o.Seq] = true
	}
}

func (m *model) takeOne(o Origin) (uint64, uint32) {
	c := command{kind: "take", origin: o, at: m.now}
	m.log = append(m.log, c)
	seq, n := m.leader.apply(c)
	for _, r := range m.others {
		if s2, n2 := r.apply(c); s2 != seq || n2 != n {
			m.t.Fatalf("%+v: replicas disagree", c)
		}
	}
	return seq, n
}
