package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

func (a *App) consumerCmd() *cobra.Command {
	var f clientFlags
	k := consumer{out: a.Stdout}
	var dest, sleepText string
	c := &cobra.Command{
		Use: "consumer", Short: "Receive messages, through failures", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if k.dest, err = parseDestination(dest); err != nil {
				return err
			}
			if k.sleep, err = parseMillis("--sleep", sleepText); err != nil {
				return err
			}
			if k.count < 0 || k.prefetch < 1 {
				return usagef("--count must not be negative, --prefetch must be at least 1")
			}
			if k.conn, err = f.connector(a, c); err != nil {
				return err
			}
			k.spec = k.dest.source("warren.consumer." + a.NewID())
			ctx, done := a.interruptible(c.Context())
			defer done()
			return k.main(ctx)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&dest, "destination", "queue://TEST", "`DEST`: queue://NAME, topic://NAME or exchange://NAME/KEY")
	c.Flags().IntVar(&k.count, "count", 10, "receive `N` messages; 0 without end")
	c.Flags().StringVar(&sleepText, "sleep", "0", "pause after each message, in `MS` or as 1s")
	c.Flags().IntVar(&k.prefetch, "prefetch", 100, "take at most `N` messages in advance")
	c.Flags().DurationVar(&k.idle, "timeout", 0, "end when nothing arrives for so long; 0 waits for ever")
	c.Flags().BoolVar(&k.verify, "verify", false, "count duplicates, and gaps in the numbers of each producer's messages")
	return c
}

// A consumer receives until it has its count. It acknowledges a message after it
// has printed it, so a broken link brings some of them again.
type consumer struct {
	dest            destination
	spec            queueSpec
	count, prefetch int
	sleep, idle     time.Duration
	verify          bool
	conn            *connector
	out             io.Writer

	consumed int
	runs     runs
}

func (k *consumer) main(ctx context.Context) error {
	fmt.Fprintf(k.out, "Using destination: %s, on broker: %s\n", k.dest, k.conn.url.text)
	k.runs = runs{}
	err := k.consumeAll(ctx)
	fmt.Fprintln(k.out, "Consumer thread finished")
	fmt.Fprintf(k.out, "Consumed: %d\n", k.consumed)
	fmt.Fprintln(k.out, "Closed JMS connection")
	summary := fmt.Sprintf("consumed %d", k.consumed)
	duplicates, lost := k.runs.judge()
	if k.verify {
		summary += fmt.Sprintf(", duplicates %d, lost %d", duplicates, lost)
	}
	fmt.Fprintln(k.out, summary)
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case k.verify && lost > 0:
		return fmt.Errorf("%d messages did not arrive", lost)
	case k.consumed < k.count && ctx.Err() == nil:
		return fmt.Errorf("%d of %d messages arrived", k.consumed, k.count)
	}
	return nil
}

func (k *consumer) consumeAll(ctx context.Context) error {
	for {
		l, err := k.conn.connect(ctx)
		if err != nil {
			return err
		}
		err = k.consume(ctx, l)
		if err == nil && k.dest.queue == "" {
			_ = l.Delete(ctx, k.spec.Name) // it expires anyway
		}
		_ = closeLink(ctx, l) // what it was closed for is in err
		if err == nil || ctx.Err() != nil || errors.Is(err, errRefused) {
			return err
		}
		k.conn.failed(l)
	}
}

// received is a delivery copied out of the link's buffers.
type received struct {
	tag      uint64
	id, body string
}

func (k *consumer) consume(ctx context.Context, l link) error {
	if err := l.Declare(ctx, k.spec); err != nil {
		return err
	}
	prefetch := k.prefetch
	if k.count > 0 {
		prefetch = min(prefetch, k.count)
	}
	// The broker sends no more than prefetch beyond what was acknowledged, so
	// the link's goroutine never waits here.
	arrived := make(chan received, prefetch)
	err := l.Consume(ctx, k.spec.Name, consumeOptions{Prefetch: prefetch}, func(msgs []incoming) {
		for _, m := range msgs {
			select {
			case arrived <- received{m.Tag, m.ID, string(m.Body)}:
			case <-l.Done():
				return
			}
		}
	})
	if err != nil {
		return err
	}
	for k.count == 0 || k.consumed < k.count {
		var idle <-chan time.Time
		if k.idle > 0 {
			idle = time.After(k.idle)
		}
		select {
		case m := <-arrived:
			k.take(m)
			if err := l.Ack(m.tag, false); err != nil {
				return err
			}
			if len(arrived) == 0 || k.sleep > 0 {
				if err := l.Flush(); err != nil {
					return err
				}
			}
			if k.sleep > 0 {
				if err := pauseFor(ctx, l, k.sleep); err != nil {
					return err
				}
			}
		case <-idle:
			return nil
		case <-l.Done():
			return l.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func pauseFor(ctx context.Context, l link, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-l.Done():
		return l.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *consumer) take(m received) {
	k.consumed++
	k.runs.add(m.id)
	fmt.Fprintf(k.out, "Received: %s\n", printable(m.body))
}

// mostRuns bounds how many producers a consumer tells apart.
const mostRuns = 1000

// runs are the numbers seen of each producer's messages.
type runs map[string]*seenRun

type seenRun struct {
	seen       bitset
	first, end int // the least number seen, and one above the greatest
	duplicates int
}

func (r runs) add(id string) {
	run, n, ok := parseMessageID(id)
	if !ok || n > 1<<26 {
		return // not one of ours
	}
	s := r[run]
	if s == nil {
		if len(r) == mostRuns {
			return
		}
		s = &seenRun{first: n}
		r[run] = s
	}
	if !s.seen.set(n) {
		s.duplicates++
	}
	s.first, s.end = min(s.first, n), max(s.end, n+1)
}

// judge counts what came twice, and what is missing between what came.
func (r runs) judge() (duplicates, lost int) {
	for _, s := range r {
		duplicates += s.duplicates
		lost += s.end - s.first - s.seen.count()
	}
	return duplicates, lost
}

// printable shortens a body to one line that cannot do anything to a terminal.
func printable(body string) string {
	const most = 200
	text := strings.TrimRight(body, ".")
	if len(text) > most {
		text = text[:most] + "…"
	}
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return strconv.Quote(text)
	}
	return text
}
