// Package sim is the ground a deterministic simulation stands on: virtual time
// with an event queue, one seeded source of randomness, a network that loses,
// doubles, delays and splits, and a hash of everything that was noted.
//
// It knows nothing of what is simulated. It is used by tests, from one
// goroutine; it starts none and reads no real clock.
package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// A World is one simulated run. Two worlds with the same seed, driven by the
// same code, do the same.
type World struct {
	Rand *rand.Rand
	// Log receives a line for each Logf; nil discards them.
	Log func(line string)

	now    time.Duration
	events eventHeap
	seq    uint64
	hash   uint64
	steps  uint64
}

// NewWorld returns a world at time zero.
func NewWorld(seed uint64) *World {
	return &World{Rand: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), hash: seed}
}

// Now returns the virtual time.
func (w *World) Now() time.Duration { return w.now }

// Steps returns how many events were run.
func (w *World) Steps() uint64 { return w.steps }

// After runs f when d has passed. Events of the same instant run in the order
// they were asked for.
func (w *World) After(d time.Duration, f func()) {
	w.seq++
	heap.Push(&w.events, event{at: w.now + max(d, 0), seq: w.seq, run: f})
}

// Step runs the next event. It returns false when there is none.
func (w *World) Step() bool {
	if len(w.events) == 0 {
		return false
	}
	e := heap.Pop(&w.events).(event)
	w.now = e.at
	w.steps++
	e.run()
	return true
}

// Run runs events until the virtual time is reached or stop returns true.
func (w *World) Run(until time.Duration, stop func() bool) {
	for len(w.events) > 0 && w.events[0].at <= until {
		if stop != nil && stop() {
			return
		}
		w.Step()
	}
	if len(w.events) == 0 || w.events[0].at > until {
		w.now = max(w.now, until)
	}
}

// Between returns a duration in [lo, hi).
func (w *World) Between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.Rand.Int64N(int64(hi-lo)))
}

// Chance is true with probability p.
func (w *World) Chance(p float64) bool { return p > 0 && w.Rand.Float64() < p }

// Note mixes values into the trace hash, together with the time.
func (w *World) Note(values ...uint64) {
	h := mix(w.hash ^ uint64(w.now))
	for _, v := range values {
		h = mix(h ^ v)
	}
	w.hash = h
}

// Hash returns the hash of all notes.
func (w *World) Hash() uint64 { return w.hash }

// Logging reports whether Logf does anything.
func (w *World) Logging() bool { return w.Log != nil }

// Logf logs a line with the time before it.
func (w *World) Logf(format string, args ...any) {
	if w.Log != nil {
		w.Log(fmt.Sprintf("%12s ", w.now) + fmt.Sprintf(format, args...))
	}
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Sum hashes bytes the way Note hashes values.
func Sum(b []byte) uint64 {
	h := mix(uint64(len(b)))
	for len(b) >= 8 {
		v := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		h, b = mix(h^v), b[8:]
	}
	for _, c := range b {
		h = mix(h ^ uint64(c))
	}
	return h
}

type event struct {
	at  time.Duration
	seq uint64
	run func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}
