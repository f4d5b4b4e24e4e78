package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// sayEvery is how often a node that waits says for what.
const sayEvery = 10 * time.Second

// enter opens the port for other nodes, and has a node that is to join a cluster
// let in, before its stores are opened: they belong to that cluster.
func (n *Node) enter(ctx context.Context) error {
	if !n.clustered() {
		return nil
	}
	port, err := n.listenCluster(ctx)
	if err != nil {
		return err
	}
	n.setClusterPort(port) // it is asked for before the node serves
	err = n.find(ctx)
	if err == nil && n.host == nil {
		err = n.openStores() //nolint:contextcheck // connections outlive what opens them
	}
	if err != nil {
		n.leaveNetwork()
	}
	return err
}

// startMember serves the other nodes, and beats to them.
func (n *Node) startMember(work *crew) error {
	self := uint64(n.dir.Node().Node)
	d, err := member.NewDriver(member.DriverOptions{
		Options: n.o.memberOptions(self), Clock: n.clock, Logger: n.log,
		Send: n.transport.Beat, End: n.endIncarnation, Over: n.over,
	})
	if err != nil {
		return err
	}
	n.member.Store(d)
	work.run(func(ctx context.Context) {
		if err := d.Run(ctx); err != nil {
			n.log.Error("the node's beats ended", "err", err)
		}
	})
	ps, err := n.loadPeers()
	if err != nil {
		n.log.Warn("where the other nodes are could not be read", "err", err)
	}
	n.transport.SetPeers(ps)
	work.run(func(context.Context) {
		if err := n.transport.Serve(n.clusterPort); err != nil && !errors.Is(err, transport.ErrClosed) { //nolint:contextcheck // Close ends it
			n.log.Error("the port for other nodes is closed", "err", err)
		}
	})
	work.run(n.keeper.run)
	work.run(n.mover.run)
	work.run(n.planner.run)
	work.run(n.watchForgotten)
	return nil
}

// leaveNetwork ends what connects the node to others.
func (n *Node) leaveNetwork() {
	if n.receiver != nil {
		n.receiver.Close()
	}
	if n.transport != nil {
		n.transport.Close()
	}
	if n.clusterPort != nil {
		_ = n.clusterPort.Close() // if it was served the transport has closed it
	}
	if n.scouts != nil {
		n.scouts.stop()
	}
	n.leaveRegistry()
}

// endIncarnation has the catalog end an incarnation. It does not wait, and does
// no turn of the catalog on its caller's goroutine, which is that of the beats.
func (n *Node) endIncarnation(e member.End) {
	n.clock.AfterFunc(0, func() { n.doEnd(e) })
}

func (n *Node) doEnd(e member.End) {
	cmd := &catalog.EndIncarnation{Number: e.Number, Witnesses: e.Witnesses, Term: e.Term}
	n.catalog.Start(cmd, func(r catalog.Result, err error) {
		switch {
		case err != nil:
			n.log.Warn("the end of a node's life could not be noted", "incarnation", e.Number, "err", err)
		case r.Code == catalog.Done:
			n.log.Info("a node's life has ended", "incarnation", e.Number, "text", e.Why.String())
		}
	})
}

// awaitSaying is await for what other nodes may be needed for: it says now and
// then who is waited for.
func (n *Node) awaitSaying(ctx context.Context, what string, ok func() bool) error {
	var last time.Duration
	return await(ctx, what, func() bool {
		if ok() {
			return true
		}
		if d, now := n.member.Load(), n.clock.Mono(); d != nil && now-last >= sayEvery {
			n.waitsFor(what)
			if last != 0 {
				n.log.Info("waiting for the cluster", "text", fmt.Sprintf("%s: %s", what, d.Status().Text))
			}
			last = now
		}
		return false
	})
}

// attrs are what the catalog says of this node beside its name.
func (n *Node) attrs() message.Table {
	if !n.clustered() {
		return nil
	}
	return addrAttr(n.advertised())
}
