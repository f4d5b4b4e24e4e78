package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/cluster/transport"
)

// forgottenEvery is how often a node looks whether its cluster has removed it.
const forgottenEvery = 500 * time.Millisecond

// watchForgotten ends the node when another tells it that it was removed from the
// cluster: it would wait for a majority that does not know it, for ever.
func (n *Node) watchForgotten(ctx context.Context) {
	t := time.NewTicker(forgottenEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		by, ok := n.refusedAsForgotten()
		if !ok {
			continue
		}
		n.removedBy.Store(&by)
		n.log.Error("the cluster has removed this node, which stops; it may join again when it was reset", "peer", by)
		if halt := n.halt.Load(); halt != nil {
			(*halt)()
		}
		return
	}
}

// refusedAsForgotten returns a node that refuses this one because the cluster has
// removed it. Who says so has proved to be a member.
func (n *Node) refusedAsForgotten() (by string, ok bool) {
	for _, l := range n.transport.Links() {
		var no *transport.Refusal
		if errors.As(l.Err, &no) && no.Reason == transport.RefusedForgotten {
			return l.Peer.Name, true
		}
	}
	return "", false
}

// end puts into words why a node ended that was removed.
func (n *Node) end(err error) error {
	by := n.removedBy.Load()
	if by == nil || n.left.Load() {
		return err
	}
	return errors.Join(fmt.Errorf("%w: %s says that node %s was forgotten", ErrForgotten, *by, n.o.Name), err)
}
