package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/protocol"
)

// Bounds of all health listeners together. They share none with clients: a node
// that is full of those is still asked how it is.
const (
	healthConnections = 256
	healthHalfOpen    = 128
)

// Checks are the listeners over which it is asked how a node is. They may outlive
// it: who keeps a process while its node comes and goes opens them once, and
// answers for the node while there is none.
type Checks struct {
	open   []*listener.Listener
	idle   health.Options
	asked  atomic.Pointer[health.Options] // nil: idle
	cancel context.CancelFunc
	done   chan struct{}
}

// OpenChecks opens the listeners of the options that are for health. idle answers
// while no node runs.
func OpenChecks(o Options, idle health.Options) (*Checks, error) {
	o = o.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	c := &Checks{idle: idle, cancel: cancel, done: make(chan struct{})}
	if err := c.listen(ctx, o); err != nil {
		for _, x := range c.open {
			_ = x.Close() // Run was not called
		}
		cancel()
		return nil, err
	}
	go func() { // Close waits for done
		defer close(c.done)
		if len(c.open) == 0 {
			return
		}
		if err := runAll(ctx, c.open); err != nil {
			o.Logger.Error("nobody can ask for the node's health any more", "err", err)
		}
	}()
	return c, nil
}

// Close closes the listeners and waits for who is being answered.
func (c *Checks) Close() {
	c.cancel()
	<-c.done
}

// answer has a node asked until the function that it returns is called.
func (c *Checks) answer(h health.Options) (leave func()) {
	c.asked.Store(&h)
	return func() { c.asked.CompareAndSwap(&h, nil) }
}

func (c *Checks) now() health.Options {
	if h := c.asked.Load(); h != nil {
		return *h
	}
	return c.idle
}

func (c *Checks) listen(ctx context.Context, o Options) error {
	gate := listener.NewGate(listener.GateOptions{MaxConnections: healthConnections, MaxHalfOpen: healthHalfOpen})
	handler := health.Handler(health.Options{
		Status: func() health.Status { return c.now().Status() },
		Alarms: func() []string { return c.now().Alarms() },
	})
	for _, want := range o.Listen {
		p, _ := LookupProtocol(want.Protocol)
		if !p.Health {
			continue
		}
		lo, err := o.listenerOptions(want)
		if err != nil {
			return err
		}
		lo.MaxConnections = want.MaxConnections // those of limits are for clients
		lo.Frontends, lo.Gate, lo.Logger = []protocol.Frontend{health.NewFrontend(p.Name, handler, o.Logger)}, gate, o.Logger
		if p.TLS {
			var config *tls.Config
			if config, err = o.TLS.Config(o.Clock, o.Logger); err != nil {
				return err
			}
			lo.TLS = config
		}
		x, err := listener.New(ctx, lo)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAddress, err)
		}
		c.open = append(c.open, x)
	}
	return nil
}
