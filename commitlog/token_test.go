package commitlog

import (
	"sync"
	"sync/atomic"
	"testing"
)

// What was marked before a turn began, or while it ran, is seen by a turn, and
// turns do not overlap.
func TestToken(t *testing.T) {
	const workers, each = 4, 20000
	var (
		token   Token
		work    atomic.Int64 // marked and not seen
		running atomic.Int32
		seen    int64 // owned by the runner
		due     = make(chan struct{}, 1)
		wg      sync.WaitGroup
	)
	signal := func() {
		select {
		case due <- struct{}{}:
		default:
		}
	}
	turns := func(limit int) {
		if !token.Take() {
			return
		}
		for n := 1; ; n++ {
			if running.Add(1) != 1 {
				t.Error("two runners")
			}
			seen += work.Swap(0)
			running.Add(-1)
			if n == limit {
				if token.Yield() {
					signal()
				}
				return
			}
			if !token.Release() {
				return
			}
		}
	}
	for w := range workers {
		wg.Go(func() {
			for range each {
				work.Add(1)
				if w%2 == 0 {
					turns(2)
				} else if token.Mark() {
					signal()
				}
			}
		})
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-due:
				turns(16)
			case <-stop:
				return
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-stopped
	for token.Due() {
		turns(1)
	}
	if seen != workers*each {
		t.Errorf("%d of %d marks seen", seen, workers*each)
	}
	token.Take()
	token.Finish()
	if token.Take() || token.Mark() || token.Due() {
		t.Error("a finished token was taken")
	}
}
