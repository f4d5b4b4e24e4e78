package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
)

// A fakeBroker is a broker in memory whose faults can be ordered.
type fakeBroker struct {
	mu     sync.Mutex
	queues map[string]*fakeQueue
	binds  map[[2]string][]string // exchange and key to queues
	down   bool
	denies bool

	// Faults; each number counts published messages from 1, 0 is never.
	published int
	breakAt   []int // the publisher's link breaks after storing, before confirming
	loseAt    int   // stored nowhere, and confirmed
	doubleAt  int   // stored twice
	swapAt    int   // stored in front of the one before
	spoilAt   int   // stored with another byte
	rejectAt  int   // refused
	muteFrom  int   // from here on nothing is confirmed
}

type fakeQueue struct {
	ready     []fakeMessage
	consumers []*fakeLink
}

type fakeMessage struct {
	incoming
	queue string
}

func newFakeBroker() *fakeBroker {
	return &fakeBroker{queues: map[string]*fakeQueue{}, binds: map[[2]string][]string{}}
}

func (b *fakeBroker) dial(_ context.Context, _ broker, who login) (link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return nil, errors.New("connection refused")
	case b.denies:
		return nil, fmt.Errorf("%w: 403 for %s", errDenied, who.User)
	}
	l := &fakeLink{b: b, done: make(chan struct{}), more: make(chan struct{}, 1), unacked: map[uint64]fakeMessage{}}
	l.worker.Go(l.work)
	return l, nil
}

// A fakeLink calls back on one goroutine of its own, as a real one does.
type fakeLink struct {
	b      *fakeBroker
	done   chan struct{}
	more   chan struct{}
	worker sync.WaitGroup

	// Guarded by b.mu.
	err      error
	calls    []func()
	settled  func(from, to uint64, ok bool)
	number   uint64
	got      func([]incoming)
	prefetch int
	autoAck  bool
	tag      uint64
	unacked  map[uint64]fakeMessage
}

func (l *fakeLink) work() {
	for {
		select {
		case <-l.done:
			return
		case <-l.more:
		}
		for {
			l.b.mu.Lock()
			if len(l.calls) == 0 || l.err != nil {
				l.b.mu.Unlock()
				break
			}
			call := l.calls[0]
			l.calls = l.calls[1:]
			l.b.mu.Unlock()
			call()
		}
	}
}

func (l *fakeLink) call(f func()) {
	l.calls = append(l.calls, f)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *fakeLink) end(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	close(l.done)
	for _, q := range l.b.queues {
		q.consumers = slices.DeleteFunc(q.consumers, func(c *fakeLink) bool { return c == l })
	}
	for _, tag := range slices.Backward(slices.Sorted(maps.Keys(l.unacked))) {
		m := l.unacked[tag]
		m.Redelivered = true
		if q := l.b.queues[m.queue]; q != nil {
			q.ready = slices.Insert(q.ready, 0, m)
		}
	}
	l.b.dispatch()
}

func (l *fakeLink) Declare(_ context.Context, s queueSpec) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if s.Exchange == "missing" {
		return fmt.Errorf("%w: no exchange", errRefused)
	}
	if l.b.queues[s.Name] == nil {
		l.b.queues[s.Name] = &fakeQueue{}
	}
	at := [2]string{s.Exchange, s.Key}
	if s.Exchange != "" && !slices.Contains(l.b.binds[at], s.Name) {
		l.b.binds[at] = append(l.b.binds[at], s.Name)
	}
	return nil
}

func (l *fakeLink) Delete(_ context.Context, queue string) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	delete(l.b.queues, queue)
	return nil
}

func (l *fakeLink) Confirms(_ context.Context, settled func(from, to uint64, ok bool)) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.settled = settled
	return nil
}

func (l *fakeLink) Publish(_ context.Context, msgs []outgoing) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	for _, m := range msgs {
		if l.err != nil {
			return l.err
		}
		l.publish(m)
	}
	l.b.dispatch()
	return nil
}

func (l *fakeLink) publish(m outgoing) {
	b := l.b
	b.published++
	n := b.published
	l.number++
	number, ok := l.number, n != b.rejectAt
	targets := b.binds[[2]string{m.Exchange, m.Key}]
	if m.Exchange == "" {
		targets = []string{m.Key}
	}
	body := slices.Clone(m.Body)
	if n == b.spoilAt {
		body[len(body)-1]++
	}
	for _, name := range targets {
		q := b.queues[name]
		if q == nil || !ok || n == b.loseAt {
			continue
		}
		stored := fakeMessage{incoming{ID: m.ID, Body: body}, name}
		switch {
		case n == b.swapAt && len(q.ready) > 0:
			q.ready = slices.Insert(q.ready, len(q.ready)-1, stored)
		case n == b.doubleAt:
			q.ready = append(q.ready, stored, stored)
		default:
			q.ready = append(q.ready, stored)
		}
	}
	if slices.Contains(b.breakAt, n) {
		l.end(io.EOF)
		return
	}
	if settled := l.settled; settled != nil && (b.muteFrom == 0 || n < b.muteFrom) {
		l.call(func() { settled(number, number, ok) })
	}
}

func (b *fakeBroker) dispatch() {
	for name, q := range b.queues {
		if n := b.swapAt; n > 0 && b.published < n && len(q.consumers) > 0 && len(q.ready) < n {
			continue // the swap needs something to swap with
		}
		for progress := true; progress && len(q.ready) > 0; {
			progress = false
			for _, c := range q.consumers {
				if len(q.ready) == 0 || c.prefetch > 0 && len(c.unacked) >= c.prefetch {
					continue
				}
				m := q.ready[0]
				q.ready = q.ready[1:]
				c.tag++
				m.Tag, m.queue = c.tag, name
				if !c.autoAck {
					c.unacked[c.tag] = m
				}
				got := c.got
				c.call(func() { got([]incoming{m.incoming}) })
				progress = true
			}
		}
	}
}

func (l *fakeLink) Consume(_ context.Context, queue string, o consumeOptions, got func([]incoming)) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	q := l.b.queues[queue]
	if q == nil {
		return fmt.Errorf("%w: no queue %s", errRefused, queue)
	}
	l.got, l.prefetch, l.autoAck = got, o.Prefetch, o.AutoAck
	q.consumers = append(q.consumers, l)
	l.b.dispatch()
	return nil
}

func (l *fakeLink) Ack(tag uint64, multiple bool) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	for t := range l.unacked {
		if t == tag || multiple && t < tag {
			delete(l.unacked, t)
		}
	}
	l.b.dispatch()
	return l.err
}

func (l *fakeLink) Flush() error { return l.Err() }

func (l *fakeLink) Done() <-chan struct{} { return l.done }

func (l *fakeLink) Err() error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.err
}

func (l *fakeLink) Close(context.Context) error {
	l.b.mu.Lock()
	l.end(errors.New("closed"))
	l.b.mu.Unlock()
	l.worker.Wait()
	return nil
}
