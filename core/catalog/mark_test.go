package catalog

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestMarks sends what two incarnations ask for again and again, out of order
// and with pieces missing, into one machine, and each once, in order, into
// another. Both end the same, except for who asked last; and each command has
// one result that is not a double, a gap, or too late.
func TestMarks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, once := New(), New()
		apply := func(p Proposal) Result {
			rs, err := m.ApplyEntry(1, AppendProposal(nil, p), nil)
			if err != nil {
				t.Fatal(err)
			}
			return rs[0]
		}
		last := map[uint64]uint64{}
		for node := uint64(1); node <= 2; node++ {
			for _, cmd := range []Command{&AddNode{ID: node, Name: fmt.Sprint(node)}, &Register{Node: node, Nonce: node}} {
				p := Proposal{Stamp: 1, Command: cmd}
				apply(p)
				once.Propose(p)
			}
			last[node] = 0
		}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			inc := rapid.Uint64Range(1, 3).Draw(t, "incarnation") // 3 never was
			number := rapid.Uint64Range(1, last[inc]+3).Draw(t, "number")
			cmd := Command(&SetParameter{Component: "c", Name: fmt.Sprint(inc), Value: fmt.Append(nil, number)})
			if rapid.IntRange(0, 15).Draw(t, "end") == 0 {
				cmd = &EndIncarnation{Number: inc}
			}
			want := Done
			n, live := last[inc]
			switch {
			case !live:
				want = Ended
			case number <= n:
				want = Double
			case number > n+1:
				want = Gap
			default:
				if last[inc] = number; once.Apply(int64(i), cmd).Code != Done {
					t.Fatal("the naive machine refuses")
				}
				if _, ends := cmd.(*EndIncarnation); ends {
					delete(last, inc)
				}
			}
			p := Proposal{Mark: Mark{inc, number}, Stamp: int64(i), Command: cmd}
			if r := apply(p); r.Code != want || r.Mark != p.Mark || r.Revision != once.View().Revision() {
				t.Fatalf("%+v: %v %+v at %d, want %v at %d", p, r.Code, r.Mark, r.Revision, want, once.View().Revision())
			}
		}
		for inc, n := range last {
			i := *m.View().Incarnation(inc)
			if i.Last != n {
				t.Fatalf("the last of %d is %d, want %d", inc, i.Last, n)
			}
			i.Last = 0
			m.v.incarnations = m.v.incarnations.Set(inc, &i)
			m.frozen = nil
		}
		if m.View().Digest() != once.View().Digest() {
			t.Fatal("what came more than once left something behind")
		}
	})
}
