package transfer

import (
	"slices"
	"time"

	"github.com/warrenmq/warren/shard"
)

// A gate stands before a queue that refused a letter, or could not be asked. One
// letter at a time tries it, ever later; when it is taken, twice as many follow,
// and so on: what a queue refuses is in its log all the same.
type gate struct {
	queue   shard.QueueID
	room    int // letters that may try it at once
	open    int // that do
	tries   int // in vain, since it took one
	until   time.Duration
	waiting []*letter // those of one source by number
}

// The next letter tries a gate after minRetry, later each time, up to maxRetry.
const (
	minRetry = 100 * time.Millisecond
	maxRetry = 10 * time.Second
)

// gate returns the gate before a queue, making one that is shut.
func (t *Transfer) gate(q shard.QueueID) *gate {
	g := t.gates[q]
	if g == nil {
		g = &gate{queue: q, room: 1}
		t.gates[q] = g
		t.shut = append(t.shut, g)
	}
	return g
}

// refused shuts the gate for a while.
func (g *gate) refused(now time.Duration) {
	g.room = 1
	if now >= g.until {
		g.until = now + min(minRetry<<min(g.tries, 10), maxRetry)
		g.tries++
	}
}

// took opens the gate wider.
func (g *gate) took() {
	g.tries, g.until = 0, 0
	g.room = min(2*g.room, maxOpen)
}

// lets reports whether a letter may try the queue now.
func (g *gate) lets(l *letter, now time.Duration) bool {
	return now >= g.until && g.open < g.room && (l.freed || len(g.waiting) == 0)
}

// park has a letter wait.
func (g *gate) park(l *letter) {
	i := len(g.waiting)
	for k, x := range g.waiting {
		if x.src == l.src && x.number > l.number {
			i = k
			break
		}
	}
	g.waiting = slices.Insert(g.waiting, i, l)
}

// free lets letters try what refused them. Where they go is asked anew: it may
// have been mended.
func (t *Transfer) free(now time.Duration) {
	for i := 0; i < len(t.shut); i++ { // it may grow
		g := t.shut[i]
		for len(g.waiting) > 0 && now >= g.until && g.open < g.room {
			l := g.waiting[0]
			g.waiting[0] = nil
			g.waiting = g.waiting[1:]
			t.counts.Retried++
			l.freed = true
			t.again(l)
			l.freed = false
		}
	}
	t.shut = slices.DeleteFunc(t.shut, func(g *gate) bool {
		done := len(g.waiting) == 0 && g.open == 0 && now >= g.until
		if done {
			delete(t.gates, g.queue)
		}
		return done
	})
}

// again sends a letter again.
func (t *Transfer) again(l *letter) {
	a, ok := t.o.Router.Address(l.src.queue)
	switch {
	case l.src.gone:
		t.end(l)
	case !ok:
		t.drop(l.src.queue, noTarget, 1)
		t.end(l)
	default:
		t.send(l, &a)
	}
}

// opens is when the next gate is to be tried; 0 if none is.
func (t *Transfer) opens() (at time.Duration) {
	for _, g := range t.shut {
		if len(g.waiting) > 0 && g.open < g.room && (at == 0 || g.until < at) {
			at = g.until
		}
	}
	return at
}
