package auth

import (
	"context"
	"errors"
	"runtime"
	"testing"
)

func TestSlotsAreBounded(t *testing.T) {
	s := newSlots(1, 1)
	if err := s.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 1)
	go func() { waiting <- s.take(ctx) }()
	for s.waiting.Load() == 0 {
		runtime.Gosched()
	}
	if err := s.take(t.Context()); KindOf(err) != Busy {
		t.Fatalf("a full queue: %v", err)
	}
	s.give()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.take(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("given up: %v", err)
	}
	s.give()
	if err := s.take(t.Context()); err != nil || s.waiting.Load() != 0 {
		t.Fatalf("%v, %d wait", err, s.waiting.Load())
	}
}

func TestFlights(t *testing.T) {
	var f flights
	gone := errors.New("gave up")
	for _, c := range []struct {
		ok  bool
		err error
	}{{true, nil}, {false, nil}, {false, gone}} {
		started, finish := make(chan struct{}), make(chan struct{})
		type result struct {
			ok, led bool
			err     error
		}
		results := make(chan result, 2)
		do := func(check func() (bool, error)) {
			ok, led, err := f.do(t.Context(), fingerprint{1}, check)
			results <- result{ok, led, err}
		}
		go do(func() (bool, error) { close(started); <-finish; return c.ok, c.err })
		<-started
		if ok, led, _ := f.do(t.Context(), fingerprint{2}, func() (bool, error) { return true, nil }); !ok || !led {
			t.Fatal("another attempt does not fly for itself")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := f.do(ctx, fingerprint{1}, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("an impatient follower: %v", err)
		}
		// A follower has no check of its own: nil would panic.
		joined := f.joined()
		go do(nil)
		for f.joined() == joined {
			runtime.Gosched()
		}
		close(finish)
		leaders := 0
		for range 2 {
			r := <-results
			if r.ok != c.ok || !errors.Is(r.err, c.err) {
				t.Fatalf("got %+v, want %+v", r, c)
			}
			if r.led {
				leaders++
			}
		}
		if leaders != 1 || len(f.mu.by) != 0 {
			t.Fatalf("%d leaders, %d flights left", leaders, len(f.mu.by))
		}
	}
}
