package sim

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"
)

// Events run in order of time, and of asking within one instant.
func TestEventOrder(t *testing.T) {
	w := NewWorld(1)
	var got []string
	note := func(s string) func() {
		return func() { got = append(got, fmt.Sprint(s, w.Now())) }
	}
	w.After(3, note("c"))
	w.After(1, note("a"))
	w.After(1, func() {
		note("b")()
		w.After(0, note("b2"))
		w.After(9, note("late"))
	})
	w.After(-5, note("now"))
	w.Run(5, nil)
	want := []string{"now0s", "a1ns", "b1ns", "b21ns", "c3ns"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if w.Now() != 5 || w.Steps() != 5 {
		t.Errorf("at %v after %d steps", w.Now(), w.Steps())
	}
	w.Run(20, func() bool { return true })
	if len(got) != 5 {
		t.Error("ran on though it was told to stop")
	}
	if !w.Step() || w.Step() || got[5] != "late10ns" {
		t.Errorf("the last event: %v", got)
	}
}

// The hash tells what was noted, when, and in which order.
func TestHash(t *testing.T) {
	hash := func(f func(w *World)) uint64 {
		w := NewWorld(1)
		f(w)
		return w.Hash()
	}
	base := hash(func(w *World) { w.Note(1, 2); w.Note(3) })
	if base != hash(func(w *World) { w.Note(1, 2); w.Note(3) }) {
		t.Error("the same notes give another hash")
	}
	for name, f := range map[string]func(w *World){
		"order": func(w *World) { w.Note(3); w.Note(1, 2) },
		"value": func(w *World) { w.Note(1, 2); w.Note(4) },
		"time":  func(w *World) { w.Note(1, 2); w.Run(1, nil); w.Note(3) },
	} {
		if hash(f) == base {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	if Sum([]byte("12345678a")) == Sum([]byte("12345678b")) || Sum(nil) == Sum([]byte{0}) {
		t.Error("Sum does not tell bytes apart")
	}
}

func TestNetwork(t *testing.T) {
	w := NewWorld(1)
	got := make(map[string]int)
	n := NewNetwork(w, func(from, to uint64, m string) { got[fmt.Sprint(from, to, m)]++ })
	send := func(times int, m string) {
		for range times {
			n.Send(1, 2, m)
		}
	}
	send(10, "calm")
	w.Run(0, nil)
	n.Weather = Weather{Drop: 0.5}
	send(1000, "drop")
	n.Weather = Weather{Double: 0.5, MaxDelay: time.Second}
	send(1000, "double")
	w.Run(time.Second, nil)
	n.Weather = Weather{MinDelay: 1, MaxDelay: 2}
	n.Send(1, 2, "on its way")
	n.Cut(1, 2)
	n.Send(1, 2, "cut")
	n.Send(2, 1, "back")
	n.Split([]uint64{3}, []uint64{1, 2})
	n.Send(3, 1, "split")
	n.Send(2, 3, "split")
	w.Run(2*time.Second, nil)
	if n.Healthy() {
		t.Error("healthy with cuts")
	}
	if !n.Blocked(1, 2) || n.Blocked(2, 1) {
		t.Error("Blocked does not say what is cut")
	}
	if n.Mend(1, 2); n.Blocked(1, 2) || n.Healthy() {
		t.Error("Mend is not for one direction")
	}
	n.Heal()
	n.Send(1, 2, "healed")
	w.Run(3*time.Second, nil)
	for m, want := range map[string][2]int{
		"1 2calm": {10, 10}, "1 2drop": {400, 600}, "1 2double": {1400, 1600},
		"1 2on its way": {0, 0}, "1 2cut": {0, 0}, "2 1back": {1, 1}, "3 1split": {0, 0}, "2 3split": {0, 0}, "1 2healed": {1, 1},
	} {
		if got[m] < want[0] || got[m] > want[1] {
			t.Errorf("%s arrived %d times, want %v", m, got[m], want)
		}
	}
}

// crypto/rand.Int, which Raft uses, is deterministic under SwapEntropy.
func TestSwapEntropy(t *testing.T) {
	draw := func(seed uint64) (out []int64) {
		defer SwapEntropy(seed)()
		for range 20 {
			n, err := rand.Int(rand.Reader, big.NewInt(10))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, n.Int64())
		}
		return out
	}
	before := rand.Reader
	a, b, c := draw(1), draw(1), draw(2)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Errorf("seed 1: %v and %v, seed 2: %v", a, b, c)
	}
	if rand.Reader != before {
		t.Error("not restored")
	}
}
