package node

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/shard/remote"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/transfer"
)

// A node serves clients in one life after another, each under an incarnation of
// its own. A life ends when the node has lost its lease, or when the catalog ended
// its incarnation; all that belongs to it, queues in memory, sessions, streams to
// other nodes, what they hold, ends with it. What does not is the node's part in
// Raft groups: its replicas vote and store all the time. As soon as the catalog
// can be asked again the node registers and lives anew.

// live is one life: it registers, serves until ctx ends, or until the life is
// over, which is protocol.ErrFenced. opened is called once the shards are open.
func (n *Node) live(ctx context.Context, work *crew, opened func() error) (err error) {
	parent := ctx
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	fence := func() { end(protocol.ErrFenced) }
	n.fence.Store(&fence)
	defer func() {
		if errors.Is(context.Cause(ctx), protocol.ErrFenced) && parent.Err() == nil {
			err = protocol.ErrFenced // whatever failed, it failed for this
		}
	}()
	n.fenced.Store(false)
	if err := n.enrol(ctx); err != nil {
		return err
	}
	b, letters := n.startBroker(n.inc.Load()) //nolint:contextcheck // its Run has the context
	n.startRemote()
	alive := newCrew()
	defer alive.stop()
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(gone)
		n.endLife(ctx, b)
	})
	defer func() {
		if !stop() {
			<-gone
		}
	}()
	alive.run(func(ctx context.Context) { b.Run(ctx) })
	alive.run(letters.Run)
	if err := n.startShards(ctx, work); err != nil {
		return err
	}
	if err := opened(); err != nil {
		return err
	}
	if d := n.member.Load(); d != nil {
		if err := n.awaitSaying(ctx, "wait for the lease", d.Serving); err != nil {
			return err
		}
	}
	err = n.listen(ctx)
	n.mu.Lock()
	n.mu.listeners = nil
	n.mu.Unlock()
	if !n.fenced.Load() {
		n.settle()
	}
	return err
}

// enrol registers a life. It waits for as long as the catalog can not be asked.
func (n *Node) enrol(ctx context.Context) error {
	t := time.NewTicker(joinPause)
	defer t.Stop()
	for {
		err := n.awaitSaying(ctx, "wait for the catalog", n.catalogLed)
		if err == nil {
			err = n.register(ctx)
		}
		if err == nil || ctx.Err() != nil || !passing(err) {
			return err
		}
		n.log.Info("the node could not register and tries again", "err", err)
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing reports whether an error of the catalog may be none the next time.
func passing(err error) bool {
	return errors.Is(err, cluster.ErrNoLeader) || errors.Is(err, cluster.ErrUnknown) || errors.Is(err, cluster.ErrEnded)
}

// catalogLed reports whether somebody leads the catalog.
func (n *Node) catalogLed() bool {
	return n.catalog.Leading() || n.host.Group(cluster.CatalogGroup).Status().Leader != 0
}

// over says that this life of the node is over. It is called by the goroutine of
// the beats.
func (n *Node) over(uint64) {
	if n.leaving.Load() || n.stopping.Load() || n.left.Load() {
		return // it ends because the node stops, or leaves its cluster
	}
	n.fenced.Store(true)
	if f := n.fence.Load(); f != nil {
		(*f)()
	}
}

// endLife lets go what belonged to a life that is over: nobody is served from what
// it had, neither by this node nor by others.
func (n *Node) endLife(ctx context.Context, b *broker.Broker) {
	if !errors.Is(context.Cause(ctx), protocol.ErrFenced) {
		return
	}
	n.log.Warn("the node may not serve clients any more, its replicas go on; it comes back as another incarnation",
		"incarnation", n.inc.Load().Number, "text", n.member.Load().Status().Text)
	b.Over()
	n.remote.Store(nil)
	n.memory.Store(nil)
	n.streams.cut(errOver)
	n.startBroker(&catalog.Incarnation{Node: n.inc.Load().Node}) //nolint:contextcheck // for operators; it is not run
	n.shed()
}

var errOver = errors.New("the node's life is over")

// shed hands over what is led here, to whoever lives: a node without a life leads
// for nobody.
func (n *Node) shed() {
	v := n.catalog.View()
	for _, g := range n.host.Groups() {
		st := g.Status()
		if !st.Leading || g.ID() == cluster.CatalogGroup {
			continue
		}
		for _, p := range st.Peers {
			if m := v.Node(p.ID); m != nil && m.Incarnation != 0 && p.RecentActive && !p.Learner {
				g.TransferLeader(p.ID)
				break
			}
		}
	}
}

// newTransfer makes what moves the letters of a life.
func (n *Node) newTransfer() *transfer.Transfer {
	return transfer.New(transfer.Options{Router: &letterRouter{n: n}, Clock: n.clock, Logger: n.log})
}

// reopenShards gives the replicas of the life before to this one: each is closed
// and opened again, one after the other, and does not vote meanwhile.
func (n *Node) reopenShards(ctx context.Context, work *crew) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	for id, r := range n.shards.Load().open {
		s := n.catalog.View().Shard(id)
		if _, under := n.dropping.Load(id); under || s == nil || !s.Holds(n.life().Node) {
			continue // it goes
		}
		if err := n.closeShard(ctx, id, r); err != nil {
			return err
		}
		if err := n.startShard(work, s, true); err != nil {
			return err
		}
	}
	return nil
}

// closeShard closes a replica. n.opening is held.
func (n *Node) closeShard(ctx context.Context, id uint64, r *replica.Shard) error {
	gone := make(chan struct{})
	n.rounds.Remove(r, func() { close(gone) })
	select {
	case <-gone:
	case <-ctx.Done():
		n.rounds.Add(r) // it is open, and has to be saved
		return ctx.Err()
	}
	n.changeShards(func(t *shardTable) { delete(t.open, id) })
	if g := n.host.Group(id); g != nil {
		g.Close()
	}
	// What was on its way to the disk is written whatever ctx says.
	return await(context.WithoutCancel(ctx), "close a shard", func() bool { return n.host.Closed(id) })
}

// pin keeps the ports that listeners were given for the next life.
func (n *Node) pin(k int, a net.Addr) {
	host, port, err := net.SplitHostPort(n.o.Listen[k].Addr)
	if _, given, e := net.SplitHostPort(a.String()); err == nil && e == nil && port == "0" {
		n.o.Listen[k].Addr = net.JoinHostPort(host, given)
	}
}

// streams are the data streams of a life, each with what serves it.
type streams struct {
	mu sync.Mutex
	of map[*transport.Stream]*remote.Handler
}

func (s *streams) add(st *transport.Stream, h *remote.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[*transport.Stream]*remote.Handler{}
	}
	s.of[st] = h
}

func (s *streams) handler(st *transport.Stream) *remote.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[st]
}

func (s *streams) remove(st *transport.Stream) *remote.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.of[st]
	delete(s.of, st)
	return h
}

// cut closes all streams.
func (s *streams) cut(err error) {
	s.mu.Lock()
	all := make([]*transport.Stream, 0, len(s.of))
	for st := range s.of {
		all = append(all, st)
	}
	s.mu.Unlock()
	for _, st := range all {
		st.Close(err)
	}
}
