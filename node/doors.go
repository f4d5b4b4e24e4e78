package node

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/protocol"
)

// A doors says whether the listeners for clients are to be open. The keeper says
// it, and listen follows.
type doors struct {
	mu      sync.Mutex
	closed  bool
	changed chan struct{} // closed by the next change; nil: nobody waits for it
}

func (d *doors) set(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed == closed {
		return
	}
	d.closed = closed
	if d.changed != nil {
		close(d.changed)
		d.changed = nil
	}
}

// state says how it is, and what is closed when that changes.
func (d *doors) state() (closed bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changed == nil {
		d.changed = make(chan struct{})
	}
	return d.closed, d.changed
}

// listen serves clients until ctx ends, but for the times at which the node is
// under maintenance: then its listeners are closed, and its clients told to go.
func (n *Node) listen(ctx context.Context) error {
	for ctx.Err() == nil {
		closed, changed := n.doors.state()
		if closed {
			n.shut.Store(true)
			n.log.Info("the node serves no clients for now: it is under maintenance or leaves")
			n.keeper.poke()
			select {
			case <-changed:
			case <-ctx.Done():
			}
			n.shut.Store(false)
			continue
		}
		err := n.listenUntil(ctx, changed)
		n.mu.Lock()
		n.mu.listeners = nil
		n.mu.Unlock()
		if err != nil {
			if !errors.Is(err, syscall.EADDRINUSE) || !n.served() {
				return err
			}
			n.log.Warn("an address of this node was taken while it served nobody; it is tried again", "err", err)
			select {
			case <-time.After(joinPause):
			case <-ctx.Done():
			}
		}
	}
	return nil
}

// served reports whether the node has been ready before: then its clients know its
// addresses, and others do its work until it has them back.
func (n *Node) served() bool {
	select {
	case <-n.ready:
		return true
	default:
		return false
	}
}

// listenUntil serves clients until ctx ends or shut is closed.
func (n *Node) listenUntil(ctx context.Context, shut <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		select {
		case <-shut:
			if n.drainingAdvice() != "" {
				cancel(protocol.ErrMaintenance)
			}
			cancel(nil)
		case <-ctx.Done():
		}
	}()
	err := n.listenOnce(ctx)
	cancel(nil)
	<-done
	return err
}

// door has the listeners follow what the catalog says of this node.
func (k *keeper) door(v *catalog.View) {
	self := uint64(k.n.dir.Node().Node)
	m := v.Node(self)
	k.n.doors.set(m != nil && m.State == catalog.Draining || v.IntentFor(catalog.Reset, self) != nil)
}

// reviveAtStart ends the maintenance for which the node was stopped.
func (n *Node) reviveAtStart(ctx context.Context) error {
	m := n.node()
	if m == nil || m.State != catalog.Draining {
		return nil
	}
	_, err := n.do(ctx, &catalog.SetNodeState{ID: m.ID, State: catalog.Serving})
	return err
}
