package broker

import (
	"strings"
	"sync/atomic"
)

// Alarms say what the node is short of. While any is up every publisher waits,
// of whatever protocol; consumers go on.
type Alarms uint32

// The alarms.
const (
	LowMemory Alarms = 1 << iota
	LowDisk
	// LowLog says that checkpoints are far behind the log. Clients are not told:
	// it passes as soon as the disk catches up.
	LowLog
)

// String returns the reason that clients are told, in RabbitMQ's words.
func (a Alarms) String() string {
	var short []string
	for i, what := range [...]string{"memory", "disk", "log space"} {
		if a&(1<<i) != 0 {
			short = append(short, what)
		}
	}
	if len(short) == 0 {
		return "none"
	}
	return "low on " + strings.Join(short, " & ")
}

// alarms are the node's, and the sluice they shut.
type alarms struct {
	sluice
	up atomic.Uint32
}

// SetAlarms says which alarms are up now. It is called by one goroutine.
func (b *Broker) SetAlarms(a Alarms) {
	b.alarms.up.Store(uint32(a))
	switch {
	case a != 0:
		b.alarms.close()
	case b.alarms.shut.Load():
		b.alarms.open()
	}
}

// Alarms returns the alarms that are up.
func (b *Broker) Alarms() Alarms { return Alarms(b.alarms.up.Load()) }

// Short returns what publishers wait for now: the alarms, and memory if the
// node's for queues is full.
func (b *Broker) Short() Alarms {
	a := b.Alarms()
	if b.memory.shut.Load() {
		a |= LowMemory
	}
	return a
}

// A Watch is told once, from any goroutine, when the node is less short of
// something than it was.
type Watch struct {
	b    *Broker
	told atomic.Bool
	f    func()
}

// Watch has f called once when something that the node is short of now is
// there again. It returns nil if it is short of nothing. f must not block and
// must not call the broker.
func (b *Broker) Watch(f func()) *Watch {
	w := &Watch{b: b, f: f}
	alarm, memory := b.alarms.wait(w), b.memory.wait(w)
	if !alarm && !memory {
		return nil
	}
	return w
}

func (w *Watch) opened() {
	if !w.told.Swap(true) {
		w.f()
	}
}

// Stop ends the watch.
func (w *Watch) Stop() {
	w.b.alarms.forget(w)
	w.b.memory.forget(w)
}
