package broker

import (
	"errors"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/exchange"
)

// TestBarrier: what another node was told is done before this node says that
// something is, or is not, there; and without the catalog it says neither.
func TestBarrier(t *testing.T) {
	steps := map[string]struct {
		elsewhere catalog.Command // done by the time the barrier returns
		ask       func(s *Session) error
		want      Kind // zero: no error
	}{
		"declare what went": {&catalog.DeleteQueue{VHost: "/", Name: "old", Force: true}, func(s *Session) error {
			_, err := s.DeclareQueue(background, QueueOptions{Name: "old", NoCounts: true})
			return err
		}, 0},
		"passive": {&catalog.DeleteQueue{VHost: "/", Name: "old", Force: true}, func(s *Session) error {
			_, err := s.DeclareQueue(background, QueueOptions{Name: "old", Passive: true, NoCounts: true})
			return err
		}, NotFound},
		"passive exchange": {&catalog.DeclareExchange{VHost: "/", ExchangeSpec: catalog.ExchangeSpec{Name: "new", Type: exchange.Fanout}}, func(s *Session) error {
			return s.DeclareExchange(background, ExchangeOptions{Name: "new", Passive: true})
		}, 0},
		"bind": {&catalog.DeclareExchange{VHost: "/", ExchangeSpec: catalog.ExchangeSpec{Name: "new", Type: exchange.Fanout}}, func(s *Session) error {
			return s.Bind(background, Binding{Destination: "old", Source: "new"})
		}, 0},
		"get": {&catalog.AddVHost{Name: "any"}, func(s *Session) error {
			_, err := s.Get(background, "none")
			return err
		}, NotFound},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			x := newBench(t, 1<<20)
			x.queue("old", true)
			x.c.barrier = func() error { return errors.New("no leader") }
			if err := step.ask(x.s); KindOf(err) != Unavailable {
				t.Fatalf("without the catalog: %v", err)
			}
			asked := 0
			x.c.barrier = func() error {
				if asked++; asked == 1 {
					x.do(step.elsewhere)
				}
				return nil
			}
			if err := step.ask(x.s); KindOf(err) != step.want || asked == 0 {
				t.Fatalf("%v after %d barriers, want kind %v", err, asked, step.want)
			}
		})
	}
}
