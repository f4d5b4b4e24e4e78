package storagetest

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/warrenmq/warren/storage"
)

// A StateDisk holds one State and can lose its power.
type StateDisk interface {
	// Open opens the State on what the disk holds now.
	Open(t testing.TB) storage.State
	// Crash cuts the power of the State that is open: what the next Open finds
	// is what the disk may hold then, as draw(n), uniform in [0, n), has it.
	Crash(t testing.TB, draw func(n int) int)
}

// RunStateCrash checks what a storage.State promises about crashes: what a
// finished Flush covered is there, what was committed later is there as a
// prefix of whole batches, and it always opens again.
func RunStateCrash(t *testing.T, disk func() StateDisk) {
	rapid.Check(t, func(rt *rapid.T) {
		d := disk()
		s := d.Open(t)
		// history[i] is the content after i batches since the last certain
		// state; the first flushed of them are durable.
		history, flushed := []stateModel{{}}, 0
		commits := 0
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) {
				b := s.NewBatch()
				next := stateModel{}
				for k, v := range history[len(history)-1] {
					next[k] = v
				}
				commits++
				// A key of its own tells every state from every other.
				mark := stateOp{kind: "set", key: "~commits", operand: string(rune('A' + commits))}
				for _, op := range append(drawStateBatch(rt), mark) {
					op.addTo(b)
					next.apply(op)
				}
				stateCommit(rt, b)
				history = append(history, next)
			},
			"flush": func(rt *rapid.T) {
				if err := s.Flush(); err != nil {
					rt.Fatal(err)
				}
				flushed = len(history) - 1
			},
			"crash": func(rt *rapid.T) {
				d.Crash(t, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "crash") })
				s = d.Open(t)
				got := stateDump(rt, s, "", "")
				at := slices.IndexFunc(history, func(m stateModel) bool { return m.dump("", "") == got })
				if at < 0 {
					rt.Fatalf("%q is the state after no prefix of the batches", got)
				}
				if at < flushed {
					rt.Fatalf("%d batches were flushed, %d are there", flushed, at)
				}
				history, flushed = []stateModel{history[at]}, 0
			},
		})
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
