package commitlog_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/commitlog/commitlogtest"
)

func clock() time.Duration { return 0 }

func TestMemory(t *testing.T) {
	commitlogtest.Run(t, func(_ testing.TB, m commitlog.Machine) commitlogtest.Rig {
		l := commitlog.NewMemory(m, clock)
		return commitlogtest.Rig{Log: l, Settle: func() { l.TryTurn() }}
	})
}

// A sum is fed from any goroutine; only its inbox has a lock.
type sum struct {
	mu    sync.Mutex
	inbox []byte

	total   int
	running atomic.Int32
	overlap atomic.Bool
}

func (s *sum) Lead(uint64)        {}
func (s *sum) Follow(_, _ uint64) {}

func (s *sum) Apply(ents []commitlog.Entry) {
	for _, e := range ents {
		s.total += len(e.Data)
	}
}

func (s *sum) Turn(_ time.Duration, p commitlog.Proposer) {
	if s.running.Add(1) != 1 {
		s.overlap.Store(true)
	}
	s.mu.Lock()
	in := s.inbox
	s.inbox = nil
	s.mu.Unlock()
	if len(in) > 0 {
		p.Propose(in)
	}
	s.running.Add(-1)
}

// Whoever finds the log idle does the work of all.
func TestMemoryFromManyGoroutines(t *testing.T) {
	const workers, each = 4, 5000
	s := &sum{}
	l := commitlog.NewMemory(s, clock)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				s.mu.Lock()
				s.inbox = append(s.inbox, 1)
				s.mu.Unlock()
				l.TryTurn()
			}
		})
	}
	wg.Wait()
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(l.Close)
	}
	closers.Wait()
	if s.total != workers*each || s.overlap.Load() {
		t.Errorf("total %d of %d, overlap %v", s.total, workers*each, s.overlap.Load())
	}
}

func BenchmarkMemory(b *testing.B) {
	s := &sum{}
	l := commitlog.NewMemory(s, clock)
	one := []byte{1}
	b.ReportAllocs()
	for b.Loop() {
		s.inbox = one
		l.TryTurn()
	}
}
