package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A link is one connection to a broker, as the verbs need it.
type link interface {
	// Declare makes the queue, and its binding if it has one.
	Declare(ctx context.Context, q queueSpec) error
	Delete(ctx context.Context, queue string) error
	// Confirms turns confirms on. Messages of this link count from 1; settled is
	// called in order of arrival, one call at a time, for the messages from to
	// to inclusive.
	Confirms(ctx context.Context, settled func(from, to uint64, ok bool)) error
	// Publish sends messages in order. Their bodies are free again when it
	// returns.
	Publish(ctx context.Context, msgs []outgoing) error
	// Consume starts deliveries; got is called for all of one read together, one
	// call at a time, and keeps nothing of them.
	Consume(ctx context.Context, queue string, o consumeOptions, got func([]incoming)) error
	// Ack acknowledges a delivery, with multiple also all before it. It is sent
	// when the callback that called it returns, or with Flush.
	Ack(tag uint64, multiple bool) error
	Flush() error
	// Done is closed when the link has ended; Err then tells why.
	Done() <-chan struct{}
	Err() error
	// Close says goodbye and returns when nothing is called back any more.
	Close(ctx context.Context) error
}

type consumeOptions struct {
	Prefetch int  // deliveries not acknowledged; 0 any number
	AutoAck  bool // deliveries need no acknowledgement
}

type outgoing struct {
	Exchange, Key string
	ID            string
	Persistent    bool
	Body          []byte
}

type incoming struct {
	Tag         uint64
	ID          string
	Redelivered bool
	Body        []byte
}

// dialFunc connects. Its error is errDenied if the broker refuses the login.
type dialFunc func(ctx context.Context, b broker, who login) (link, error)

var (
	errDenied      = errors.New("the broker refuses the login")
	errUnreachable = errors.New("no broker can be reached")
	// errRefused is in the error of a link that the broker ended because it does
	// not allow what was asked: to try again would be in vain.
	errRefused = errors.New("the broker refuses")
)

// Pauses between attempts to connect, and how long the first may take in all.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	shortLived   = time.Second // a link that breaks sooner is as good as none
	attemptTime  = 5 * time.Second
)

// A connector connects to whichever of several brokers answers, again and again.
type connector struct {
	dial    dialFunc
	url     brokerURL
	who     login
	patient time.Duration // how long it goes on trying
	log     io.Writer

	next      int // the broker to try next
	connected bool

	made  time.Time // the last link
	short int       // links in a row that broke as soon as they were made
	since time.Time // when the first of them was made
}

// connect tries the brokers in turn until one answers, the time is over or ctx
// ends. A refused login ends it at once.
func (c *connector) connect(ctx context.Context) (link, error) {
	if err := c.calm(ctx); err != nil {
		return nil, err
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.patient)
	defer cancel()
	pause := firstPause
	for tries := 1; ; tries++ {
		b := c.url.brokers[c.next%len(c.url.brokers)]
		l, err := c.attempt(ctx, b)
		switch {
		case err == nil:
			verb := "connected"
			if c.connected {
				verb = "reconnected"
			}
			c.connected, c.made = true, time.Now()
			fmt.Fprintf(c.log, "Successfully %s to %s\n", verb, b)
			return l, nil
		case errors.Is(err, errDenied), errors.Is(err, errRefused):
			return nil, fmt.Errorf("%s: %w", b, err)
		case outer.Err() != nil:
			return nil, outer.Err()
		}
		c.next++
		if tries%len(c.url.brokers) != 0 {
			continue // the others first, without a pause
		}
		select {
		case <-ctx.Done():
			if outer.Err() != nil {
				return nil, outer.Err()
			}
			return nil, fmt.Errorf("%w within %s; %s: %w", errUnreachable, c.patient, b, err)
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

func (c *connector) attempt(ctx context.Context, b broker) (link, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	return c.dial(ctx, b, c.who)
}

// failed says that a link broke.
func (c *connector) failed(l link) {
	if time.Since(c.made) >= shortLived {
		c.short = 0
	} else if c.short++; c.short == 1 {
		c.since = c.made
	}
	b := c.url.brokers[c.next%len(c.url.brokers)]
	fmt.Fprintf(c.log, "Transport (%s) failed, reason: %v, attempting to automatically reconnect\n", b, l.Err())
}

// calm waits before another attempt where links are made and break at once, as
// with a broker that cannot serve what is asked for. It gives up as connect does.
func (c *connector) calm(ctx context.Context) error {
	if c.short == 0 {
		return nil
	}
	if time.Since(c.since) > c.patient {
		return fmt.Errorf("%w within %s: connections break as soon as they are made", errUnreachable, c.patient)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(firstPause<<min(c.short-1, 10), longestPause)):
		return nil
	}
}
