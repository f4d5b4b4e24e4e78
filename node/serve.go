package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091"
)

// frontends are the protocols compiled in.
func (n *Node) frontends() []protocol.Frontend {
	l := n.o.Limits
	return []protocol.Frontend{
		amqp091.New(amqp091.Options{
			Broker: n.broker.Load(), Logger: n.log, Version: n.o.Version, Node: n.o.Name, ClusterName: func() string { return nameOf(n.catalog.View()) },
			FrameMax: uint32(l.FrameBytes), ChannelMax: uint16(l.ChannelsPerConnection),
			Heartbeat: l.Heartbeat, MaxMessage: uint64(l.MessageBytes),
			ConsumerTimeout: max(0, l.ConsumerTimeout),
		}),
	}
}

// listenOnce opens the listeners, says that the node is ready, and serves until ctx
// ends.
func (n *Node) listenOnce(ctx context.Context) error {
	l := n.o.Limits
	gate := listener.NewGate(listener.GateOptions{MaxConnections: l.MaxConnections, MaxHalfOpen: l.MaxHalfOpen})
	n.gate.Store(gate)
	fronts := n.frontends()
	var config *tls.Config
	open := []*listener.Listener{} // not nil: a node need not have any
	closeAll := func() {
		for _, x := range open {
			_ = x.Close() // Run was not called
		}
	}
	for k, want := range n.o.Listen {
		p, _ := LookupProtocol(want.Protocol)
		if p.Health {
			continue // has been open for long
		}
		o, err := n.o.listenerOptions(want)
		if err != nil {
			closeAll()
			return err
		}
		o.Frontends, o.Gate, o.Logger = fronts, gate, n.log
		if d := n.member.Load(); d != nil {
			o.Serving = d.Serving
		}
		if p.TLS || p.Name == "auto" && n.o.TLS.Cert != "" {
			if config == nil {
				if config, err = n.o.TLS.Config(n.o.Clock, n.log); err != nil {
					closeAll()
					return err
				}
			}
			o.TLS, o.PlainToo = config, p.Name == "auto"
		}
		x, err := listener.New(ctx, o)
		if err != nil {
			closeAll()
			return fmt.Errorf("%w: %w", ErrAddress, err)
		}
		open = append(open, x)
		n.pin(k, x.Addr())
	}
	n.mu.Lock()
	n.mu.listeners = open
	n.mu.Unlock()
	n.readyOnce.Do(func() { close(n.ready) })
	return runAll(ctx, open)
}

// runAll runs listeners until ctx ends, or until one ends by itself: a node that
// looks alive and can not be reached helps nobody.
func runAll(ctx context.Context, open []*listener.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(open))
	for i, x := range open {
		wg.Go(func() {
			if errs[i] = x.Run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	<-ctx.Done()
	wg.Wait()
	return errors.Join(errs...)
}

// settle waits until what connections settled before they ended is committed:
// it may still have been waiting for a publish to share a sync with, and would
// be delivered again after the stop.
func (n *Node) settle() {
	open := n.shards.Load().open
	done := make(chan struct{}, len(open))
	for _, s := range open {
		s.Settle(nil, func(error) { done <- struct{}{} }) // of an error nothing follows
	}
	t := time.NewTimer(settleTime)
	defer t.Stop()
	for range open {
		select {
		case <-done:
		case <-t.C:
			n.log.Warn("what was settled last is not committed in time and may be delivered again", "dur", settleTime)
			return
		}
	}
}

// startAdmin lets operators ask: through whoever looks after the process, or the
// node's own socket.
func (n *Node) startAdmin() (stop func(), err error) {
	if n.o.Operators != nil {
		return n.o.Operators(operations{n}), nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ln, cleanup, err := admin.ListenSocket(ctx, n.o.DataDir)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	done := make(chan struct{})
	go func() { // stop waits for done
		defer close(done)
		if err := api.Serve(ctx, ln, api.Options{Operations: operations{n}, Logger: n.log}); err != nil {
			n.log.Error("the admin socket ended", "err", err)
		}
	}()
	return func() {
		cancel()
		<-done
		cleanup()
	}, nil
}
