package node

import (
	"context"
	"time"
)

// A looker has something looked at now and then, and when it is poked.
type looker struct{ wake chan struct{} }

func newLooker() looker { return looker{make(chan struct{}, 1)} }

// poke has it looked at now; it never blocks.
func (l looker) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// every calls look until ctx ends.
func (l looker) every(ctx context.Context, d time.Duration, look func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-l.wake:
		}
		look()
	}
}
