package heap

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

type number int

func (a number) Before(b number) bool { return a < b }

// The heap gives what a sorted list would.
func TestAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h, list []number
		for range rapid.IntRange(1, 200).Draw(t, "ops") {
			if len(list) > 0 && rapid.IntRange(0, 2).Draw(t, "op") == 0 {
				var got number
				h, got = Pop(h)
				if got != list[0] {
					t.Fatalf("popped %d, first is %d", got, list[0])
				}
				list = list[1:]
				continue
			}
			x := number(rapid.IntRange(0, 50).Draw(t, "x"))
			h = Push(h, x)
			list = append(list, x)
			slices.Sort(list)
		}
		if len(h) != len(list) {
			t.Fatalf("%d left, want %d", len(h), len(list))
		}
	})
}

func TestAllocatesNothing(t *testing.T) {
	h := make([]number, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		for i := range number(64) {
			h = Push(h, 64-i)
		}
		for len(h) > 0 {
			h, _ = Pop(h)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
