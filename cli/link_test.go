package cli

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// brokenLink is a link that has ended.
type brokenLink struct{ link }

func (brokenLink) Err() error { return errors.New("541") }

// A broker that takes every connection and breaks it is not hammered, and not
// for ever.
func TestLinksThatBreakAtOnce(t *testing.T) {
	dials := 0
	c := &connector{
		url: brokerURL{brokers: []broker{{Addr: "a:1"}}}, patient: 300 * time.Millisecond, log: io.Discard,
		dial: func(context.Context, broker, login) (link, error) { dials++; return brokenLink{}, nil },
	}
	for {
		l, err := c.connect(t.Context())
		if errors.Is(err, errUnreachable) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.failed(l); dials > 10 {
			t.Fatal("no pause between connections that break at once")
		}
	}
	if dials < 2 {
		t.Errorf("gave up after %d connections", dials)
	}
}
