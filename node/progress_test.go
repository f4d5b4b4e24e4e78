package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/internal/racing"
)

// served says how long each queue was without a confirm at most, and wants that to
// be bounded: 3 s are the product's, and FULL=1 holds it to that; a machine that
// does other things gets more.
func (l *load) served() {
	l.t.Helper()
	bound := racing.Longer(15 * time.Second)
	if full() {
		bound = 3 * time.Second
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, gap := range l.gaps {
		l.t.Logf("%s: at most %s without service", l.queues[q], gap.Round(time.Millisecond))
		if gap > bound {
			l.t.Errorf("%s was %s without service, more than %s", l.queues[q], gap, bound)
		}
	}
}

// shownBy notes what a node shows of what is under way, until it is ended.
func shownBy(r *running) (end func() (texts []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan []string, 1)
	go func() { // end waits for it
		var texts []string
		for ctx.Err() == nil {
			for _, i := range r.Intents() {
				if text := fmt.Sprint(i.Kind, " ", i.Subject, ": ", i.Text); !slices.Contains(texts, text) {
					texts = append(texts, text)
				}
			}
			<-time.After(time.Millisecond)
		}
		done <- texts
	}()
	return func() []string { cancel(); return <-done }
}
