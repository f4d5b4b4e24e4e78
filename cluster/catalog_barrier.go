package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// readAgain is how long a barrier that could not be asked for rests.
const readAgain = 100 * time.Millisecond

// A reader waits for a barrier.
type reader struct {
	done func(error)
	born time.Duration
}

// barrierReads is the barrier under way: one for all who came before it began.
// Owned by the turn.
type barrierReads struct {
	waiting []reader // for the next
	running []reader
	asked   bool   // the leader is
	at      uint64 // what has to be applied; 0: not known yet
	rest    time.Duration
}

// Barrier returns when the View holds everything that anybody in the cluster was
// told before the call. All who wait share one question to the leader. On a node
// that is alone it costs nothing.
func (c *Catalog) Barrier(ctx context.Context) error {
	if c.group.Alone() {
		return nil
	}
	passed := make(chan error, 1)
	c.reader(func(err error) { passed <- err })
	select {
	case err := <-passed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the catalog: %w", ctx.Err())
	}
}

// Pass is Barrier without waiting: done is called in a turn. On a node that is
// alone it returns false, and done is not called.
func (c *Catalog) Pass(done func(error)) bool {
	if c.group.Alone() {
		return false
	}
	c.reader(done)
	return true
}

// reader begins to wait for a barrier.
func (c *Catalog) reader(done func(error)) {
	c.mu.Lock()
	c.mu.readers = append(c.mu.readers, reader{done: done, born: unborn})
	c.mu.Unlock()
	c.group.TryTurn()
}

// read asks the leader, if somebody waits and nothing is asked.
func (c *Catalog) read() {
	b := &c.reads
	c.mu.Lock()
	readers := c.mu.readers
	c.mu.readers = nil
	c.mu.Unlock()
	for i := range readers {
		readers[i].born = c.now
	}
	b.waiting = append(b.waiting, readers...)
	for _, list := range []*[]reader{&b.waiting, &b.running} {
		*list = slices.DeleteFunc(*list, func(r reader) bool {
			late := c.now-r.born > patience
			if late {
				r.done(ErrNoLeader)
			}
			return late
		})
	}
	if b.asked || b.at != 0 || len(b.waiting) == 0 || c.now < b.rest {
		return
	}
	b.running, b.waiting, b.asked = b.waiting, nil, true
	c.group.ReadIndex(func(index uint64, ok bool) {
		b.asked = false
		if !ok {
			b.waiting, b.running = append(b.running, b.waiting...), nil
			b.rest = c.now + readAgain
			return
		}
		b.at = index
		c.passed()
	})
}

// passed ends the barrier that is under way if what it waits for is applied.
func (c *Catalog) passed() {
	b := &c.reads
	if b.at == 0 || c.applied < b.at {
		return
	}
	for _, r := range b.running {
		r.done(nil)
	}
	b.running, b.at = nil, 0
	c.mu.Lock()
	more := len(b.waiting) > 0 || len(c.mu.readers) > 0
	c.mu.Unlock()
	if more {
		c.group.Wake()
	}
}
