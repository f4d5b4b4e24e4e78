package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// window is how many messages a producer has sent and not seen confirmed.
const window = 100

func (a *App) producerCmd() *cobra.Command {
	var f clientFlags
	p := producer{out: a.Stdout}
	var dest, sleepText string
	c := &cobra.Command{
		Use: "producer", Short: "Send messages, through failures, and count what was confirmed", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if p.dest, err = parseDestination(dest); err != nil {
				return err
			}
			if p.sleep, err = parseMillis("--sleep", sleepText); err != nil {
				return err
			}
			if p.count < 0 || p.size < 0 {
				return usagef("--count and --size must not be negative")
			}
			if p.conn, err = f.connector(a, c); err != nil {
				return err
			}
			p.run = a.NewID()
			ctx, done := a.interruptible(c.Context())
			defer done()
			return p.main(ctx)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&dest, "destination", "queue://TEST", "`DEST`: queue://NAME, topic://NAME or exchange://NAME/KEY")
	c.Flags().IntVar(&p.count, "count", 10, "send `N` messages")
	c.Flags().StringVar(&sleepText, "sleep", "0", "pause between messages, in `MS` or as 1s")
	c.Flags().IntVar(&p.size, "size", 0, "fill every message up to `BYTES`")
	c.Flags().StringVar(&p.text, "text", "", "send `TEXT` instead of numbered messages")
	c.Flags().BoolVar(&p.persistent, "persistent", true, "ask for messages that survive a restart")
	c.Flags().BoolVar(&p.verify, "verify", false, "consume too, and count duplicates and losses")
	c.Flags().DurationVar(&p.verifyWait, "verify-wait", 30*time.Second, "how long to wait for what is confirmed and has not arrived")
	return c
}

// parseMillis reads a pause: a number is milliseconds, as in the tools of others.
func parseMillis(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text + "ms")
	if err != nil {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d < 0 {
		return 0, usagef("%s %s: must be milliseconds, or a duration as 1s", flag, text)
	}
	return d, nil
}

// A producer sends numbered messages until each was confirmed. What a broken
// link left unconfirmed is sent again, so that a message may arrive twice, but
// does arrive.
type producer struct {
	dest               destination
	count, size        int
	sleep, verifyWait  time.Duration
	text, run          string
	persistent, verify bool
	conn               *connector
	out                io.Writer

	produced int // messages sent at least once

	mu struct {
		sync.Mutex
		confirmed bitset
		pending   map[uint64]int // message by its number on the link
		refused   map[int]bool
	}
	wake chan struct{} // something was settled
}

func (p *producer) main(ctx context.Context) error {
	fmt.Fprintf(p.out, "Using destination: %s, on broker: %s\n", p.dest, p.conn.url.text)
	p.wake = make(chan struct{}, 1)
	p.mu.refused = map[int]bool{}
	var v *verifier
	if p.verify {
		v = newVerifier(p.run, p.dest, p.conn.again(), p.count)
		if err := v.start(ctx); err != nil {
			return err
		}
		defer v.stop()
	}
	err := p.produceAll(ctx)
	fmt.Fprintln(p.out, "Producer thread finished")
	fmt.Fprintf(p.out, "Produced: %d\n", p.produced)

	confirmed := p.confirmed()
	summary := fmt.Sprintf("produced %d, confirmed %d, unconfirmed %d", p.produced, confirmed.count(), p.produced-confirmed.count())
	lost := 0
	if v != nil {
		var duplicates int
		duplicates, lost = v.settle(ctx, confirmed, p.verifyWait)
		summary += fmt.Sprintf(", duplicates %d, lost %d", duplicates, lost)
	}
	fmt.Fprintln(p.out, "Closed JMS connection")
	fmt.Fprintln(p.out, summary)
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case lost > 0:
		return fmt.Errorf("%d confirmed messages did not arrive", lost)
	case confirmed.count() < p.produced:
		return fmt.Errorf("%d messages were not confirmed", p.produced-confirmed.count())
	}
	return nil
}

func (p *producer) confirmed() bitset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.confirmed.clone()
}

// produceAll keeps a link until everything is settled.
func (p *producer) produceAll(ctx context.Context) error {
	for {
		l, err := p.conn.connect(ctx)
		if err != nil {
			return err
		}
		err = p.produce(ctx, l)
		cerr := closeLink(ctx, l)
		switch {
		case err == nil && cerr == nil, ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errRefused):
			return err
		case err == nil:
			return nil // everything was confirmed; how the link ended is no matter
		}
		p.conn.failed(l)
	}
}

// closeTime bounds a goodbye.
const closeTime = 5 * time.Second

func closeLink(ctx context.Context, l link) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return l.Close(ctx)
}

// produce sends on one link: first again what an earlier one left open, then
// what was never sent. It returns nil when everything is settled.
func (p *producer) produce(ctx context.Context, l link) error {
	if p.dest.queue != "" {
		if err := l.Declare(ctx, p.dest.source("")); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.mu.pending = map[uint64]int{}
	p.mu.Unlock()
	if err := l.Confirms(ctx, p.settled); err != nil {
		return err
	}
	next, number := 0, uint64(0)
	for {
		for next < p.produced && p.isSettled(next) {
			next++
		}
		switch open := p.open(); {
		case next < p.count && open < window:
			if next == p.produced && next > 0 {
				if err := p.await(ctx, l, p.sleep, false); err != nil {
					return err
				}
			}
			number++
			if err := p.send(ctx, l, next, number); err != nil {
				return err
			}
			next++
		case open == 0:
			return nil
		default:
			if err := p.await(ctx, l, 0, true); err != nil {
				return err
			}
		}
	}
}

// await waits for d, or for something to be settled.
func (p *producer) await(ctx context.Context, l link, d time.Duration, settled bool) error {
	var wake <-chan struct{}
	var passed <-chan time.Time
	switch {
	case settled:
		wake = p.wake
	case d > 0:
		passed = time.After(d)
	default:
		return nil
	}
	select {
	case <-wake:
	case <-passed:
	case <-l.Done():
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (p *producer) send(ctx context.Context, l link, n int, number uint64) error {
	text := p.text
	if text == "" {
		text = fmt.Sprintf("test message: %d", n)
	}
	body := []byte(text)
	if fill := p.size - len(body); fill > 0 {
		body = append(body, strings.Repeat(".", fill)...)
	}
	p.mu.Lock()
	p.mu.pending[number] = n
	p.mu.Unlock()
	err := l.Publish(ctx, []outgoing{{
		Exchange: p.dest.exchange, Key: p.dest.key, ID: messageID(p.run, n), Persistent: p.persistent, Body: body,
	}})
	if err != nil {
		return err
	}
	if n == p.produced {
		p.produced++
		fmt.Fprintf(p.out, "Sent: %s\n", text)
	}
	return nil
}

// settled is called by the link.
func (p *producer) settled(from, to uint64, ok bool) {
	p.mu.Lock()
	for number := from; number <= to; number++ {
		n, open := p.mu.pending[number]
		if !open {
			continue
		}
		delete(p.mu.pending, number)
		if ok {
			p.mu.confirmed.set(n)
		} else {
			p.mu.refused[n] = true
		}
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *producer) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.pending)
}

func (p *producer) isSettled(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.confirmed.has(n) || p.mu.refused[n]
}
