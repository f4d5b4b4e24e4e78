package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// messageID names message n of a run, so that it is known again wherever it
// turns up.
func messageID(run string, n int) string { return run + "/" + strconv.Itoa(n) }

func parseMessageID(id string) (run string, n int, ok bool) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(id[i+1:])
	return id[:i], n, err == nil && n >= 0
}

// A verifier consumes what a run of a producer sends, on connections of its own,
// and counts what arrives more than once. What belongs to somebody else it does
// not take: unacknowledged, it goes back when the verifier stops.
type verifier struct {
	run  string
	most int // messages of the run
	spec queueSpec
	own  bool // the queue was made for this run
	conn *connector

	cancel context.CancelFunc
	ended  chan struct{}
	ready  chan error // told once

	mu struct {
		sync.Mutex
		seen       bitset
		duplicates int
	}
	wake chan struct{}
}

func newVerifier(run string, d destination, c *connector, most int) *verifier {
	return &verifier{
		run: run, most: most, spec: d.source("warren.verify." + run), own: d.queue == "", conn: c,
		ended: make(chan struct{}), ready: make(chan error, 1), wake: make(chan struct{}, 1),
	}
}

// start returns when what is sent from now on will be seen.
func (v *verifier) start(ctx context.Context) error {
	ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() { // ended by stop
		defer close(v.ended)
		v.consume(ctx)
	}()
	if err := <-v.ready; err != nil {
		v.stop()
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

func (v *verifier) stop() { v.cancel(); <-v.ended }

func (v *verifier) consume(ctx context.Context) {
	told := false
	tell := func(err error) {
		if !told {
			told = true
			v.ready <- err
		}
	}
	for ctx.Err() == nil {
		l, err := v.conn.connect(ctx)
		if err == nil {
			if err = v.attach(ctx, l); err == nil {
				tell(nil)
				select {
				case <-l.Done():
					v.conn.failed(l)
				case <-ctx.Done():
					if v.own {
						_ = l.Delete(context.WithoutCancel(ctx), v.spec.Name) // it expires anyway
					}
				}
			}
			_ = closeLink(ctx, l) // broken, or no longer needed
		}
		if err != nil && !told {
			tell(err)
			return
		}
	}
}

func (v *verifier) attach(ctx context.Context, l link) error {
	if err := l.Declare(ctx, v.spec); err != nil {
		return err
	}
	return l.Consume(ctx, v.spec.Name, consumeOptions{}, func(msgs []incoming) {
		v.mu.Lock()
		for _, m := range msgs {
			run, n, ok := parseMessageID(m.ID)
			mine := ok && run == v.run && n < v.most
			if mine && !v.mu.seen.set(n) {
				v.mu.duplicates++
			}
			if mine || v.own {
				_ = l.Ack(m.Tag, false) // a link that broke tells by Done
			}
		}
		v.mu.Unlock()
		select {
		case v.wake <- struct{}{}:
		default:
		}
	})
}

// settle waits until all that was confirmed has arrived, and returns how many
// came more than once, and how many not at all.
func (v *verifier) settle(ctx context.Context, confirmed bitset, patience time.Duration) (duplicates, lost int) {
	over := time.After(patience)
	for {
		v.mu.Lock()
		duplicates, lost = v.mu.duplicates, confirmed.missing(v.mu.seen)
		v.mu.Unlock()
		if lost == 0 {
			return duplicates, 0
		}
		select {
		case <-v.wake:
		case <-over:
			return duplicates, lost
		case <-ctx.Done():
			return duplicates, lost
		}
	}
}
