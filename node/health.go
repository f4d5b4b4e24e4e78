package node

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/core/catalog"
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

// Health says what the node is, at any time of its life.
func (n *Node) Health() health.Status {
	s := health.Status{Node: n.o.Name, State: health.Booting}
	if why := n.waiting.Load(); why != nil {
		s.Why = *why
	}
	st := member.Status{State: member.Serving} // of a node that is alone
	if d := n.member.Load(); d != nil {
		st = d.Status()
		s.Text = st.Text
	}
	switch open := len(n.listeners()) > 0; {
	case n.done.Load():
		s.State = health.Stopped
	case n.fenced.Load() || st.State == member.Minority:
		s.State = health.Minority
	case n.leaving.Load():
		s.State = health.Stopping
	case st.State == member.Draining:
		s.State = health.Draining
	case open || n.shut.Load():
		if me := n.node(); me != nil && me.State != catalog.Serving {
			s.State = health.Draining
		} else if st.State == member.Serving {
			s.State = health.Serving
		}
	}
	if s.State != health.Booting {
		s.Why = ""
	}
	return s
}

// alarms are those that hold publishers back.
func (n *Node) alarms() []string {
	var st admin.Status
	n.watch.addAlarms(&st)
	return st.Limiting
}

// waitsFor notes what a node that is not ready waits for; "" is nothing.
func (n *Node) waitsFor(text string) {
	if text == "" {
		n.waiting.Store(nil)
		return
	}
	n.waiting.Store(&text)
}

func (n *Node) listeners() []*listener.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.listeners
}

// startHealth opens the listeners that say how the node is. They are there before
// all others and after them.
func (n *Node) startHealth() (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	open, err := n.openHealth(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	n.mu.Lock()
	n.mu.health = open
	n.mu.Unlock()
	done := make(chan struct{})
	go func() { // stop waits for done
		defer close(done)
		if len(open) == 0 {
			return
		}
		if err := runAll(ctx, open); err != nil {
			n.log.Error("nobody can ask for the node's health any more", "err", err)
		}
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

func (n *Node) openHealth(ctx context.Context) (open []*listener.Listener, err error) {
	gate := listener.NewGate(listener.GateOptions{MaxConnections: healthConnections, MaxHalfOpen: healthHalfOpen})
	handler := health.Handler(health.Options{Status: n.Health, Alarms: n.alarms})
	defer func() {
		if err != nil {
			for _, x := range open {
				_ = x.Close() // Run was not called
			}
		}
	}()
	for _, want := range n.o.Listen {
		p, _ := LookupProtocol(want.Protocol)
		if !p.Health {
			continue
		}
		o, err := n.o.listenerOptions(want)
		if err != nil {
			return open, err
		}
		o.MaxConnections = want.MaxConnections // those of limits are for clients
		o.Frontends, o.Gate, o.Logger = []protocol.Frontend{health.NewFrontend(p.Name, handler, n.log)}, gate, n.log
		if p.TLS {
			var config *tls.Config
			if config, err = n.o.TLS.Config(n.o.Clock, n.log); err != nil {
				return open, err
			}
			o.TLS = config
		}
		x, err := listener.New(ctx, o)
		if err != nil {
			return open, fmt.Errorf("%w: %w", ErrAddress, err)
		}
		open = append(open, x)
	}
	return open, nil
}
