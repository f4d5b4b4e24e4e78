package node

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// lookRarely is how often the node looks at its memory and its disk while it is
	// idle: what others do to the disk is all that can change.
	lookRarely = 500 * time.Millisecond
	// calmAfter is how long nothing is logged and no memory collected until the
	// node counts as idle.
	calmAfter = time.Second
	// trimAfter is how long it is idle until it gives memory back, and trimFrom how
	// much that has to be at least.
	trimAfter = 20 * time.Second
	trimFrom  = 16 << 20
)

// A calm tells whether the node is idle.
type calm struct {
	logged, cycles uint64 // seen last
	since          time.Duration
}

// see reports for how long nothing has changed.
func (c *calm) see(logged, cycles uint64, now time.Duration) time.Duration {
	if logged != c.logged || cycles != c.cycles {
		c.logged, c.cycles, c.since = logged, cycles, now
	}
	return now - c.since
}

// rest returns how long run waits until it looks again. An idle node gives back to
// the machine what it needed once and does not need now.
func (w *watch) rest() time.Duration {
	w.mu.Lock()
	alarmed := w.mu.up != 0
	w.mu.Unlock()
	m := readMemory()
	idle := w.calm.see(w.n.seglog.Stats().Logged, m.cycles, w.n.clock.Mono())
	if alarmed || idle < calmAfter {
		return lookEvery
	}
	if idle >= trimAfter && m.spare() >= trimFrom {
		debug.FreeOSMemory()
	}
	return lookRarely
}

// A collected is what Go's heap says of itself.
type collected struct{ live, objects, free, cycles uint64 }

func readMemory() (h collected) {
	s := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(s[:])
	for i, to := range [...]*uint64{&h.live, &h.objects, &h.free, &h.cycles} {
		if s[i].Value.Kind() == metrics.KindUint64 {
			*to = s[i].Value.Uint64()
		}
	}
	return h
}

// spare is about how much could be given back: what is free, and what became
// garbage since the last collection.
func (h *collected) spare() uint64 { return h.free + h.objects - min(h.live, h.objects) }
