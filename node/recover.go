package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/overlay"
)

// When a majority of a cluster is gone for good, one survivor can be made to go on
// alone, with what it has: a new generation of all groups. It is done while no node
// runs in its data directory.
//
// First it is tried, over the directory and in memory (PlanRecovery), and said what
// there is and what is lost. It is decided by one write of node.json, which raises
// the generation and says that the node is recovering; a process that is killed
// before that has done nothing. Then each group is made this node's alone, and the
// catalog forgets the others, which is one command. All of that does nothing where
// it was done before: whoever opens the directory next goes on with it, before
// anything else (resumeRecovery).

// ErrRecovery is wrapped by the reasons for which a node can not go on alone, or is
// not made to.
var ErrRecovery = errors.New("recovery")

// recoveryTime bounds how long a group may take until it is led.
const recoveryTime = 10 * time.Minute

// PlanRecovery finds out what the node in the data directory of these options would
// be if it went on without the other nodes. It changes nothing.
func PlanRecovery(ctx context.Context, o Options) (r *Recovery, err error) {
	if o, err = recoveryOptions(o); err != nil {
		return nil, err
	}
	over := overlay.New(o.FS)
	defer func() { err = errors.Join(err, over.Close()) }()
	o.FS = over
	o.Logger = slog.New(onlyErrors{o.Logger.Handler()})
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	o.Exit = func(int) { fail(fmt.Errorf("%w: the data of the node can not be read", ErrIO)) }
	n, err := openRecovery(o) //nolint:contextcheck // connections outlive what opens them
	if err != nil {
		return nil, err
	}
	err = n.offline(func(work *crew) (err error) {
		r, err = n.survey(ctx, work)
		return err
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return r, err
}

// Recover has the node in the data directory of these options go on without the
// other nodes, which have to be named, all of them: they are cut out for ever. It
// returns the plan that it carried out.
func Recover(ctx context.Context, o Options, without []string) (*Recovery, error) {
	r, err := PlanRecovery(ctx, o)
	if err != nil {
		return r, err
	}
	if err := r.agrees(without); err != nil {
		return r, err
	}
	if o, err = recoveryOptions(o); err != nil {
		return r, err
	}
	n, err := openRecovery(o) //nolint:contextcheck // connections outlive what opens them
	if err != nil {
		return r, err
	}
	return r, n.carryOut(ctx, r.Generation+1)
}

// agrees holds the names that an operator gave against those that are cut out.
func (r *Recovery) agrees(without []string) error {
	for _, name := range without {
		if !slices.ContainsFunc(r.Cut, func(c CutOut) bool { return c.Name == name }) {
			return fmt.Errorf("%w: %s is not another node of this cluster, whose others are %s", ErrRecovery, name, strings.Join(r.cutNames(), ", "))
		}
	}
	for _, name := range r.cutNames() {
		if !slices.Contains(without, name) {
			return fmt.Errorf("%w: %s would be cut out as well, and was not named", ErrRecovery, name)
		}
	}
	return nil
}

func (r *Recovery) cutNames() (names []string) {
	for _, c := range r.Cut {
		names = append(names, c.Name)
	}
	return names
}

// recoveryOptions are those under which a data directory is opened for this: no
// port, nobody else.
func recoveryOptions(o Options) (Options, error) {
	if err := o.Validate(); err != nil {
		return o, err
	}
	o = o.withDefaults()
	rest, err := Look(o)
	switch {
	case err != nil:
		return o, err
	case rest.Fresh:
		return o, fmt.Errorf("%w: %s holds no node that was ever in a cluster", ErrRecovery, o.DataDir)
	}
	o.Listen, o.Cluster.Addr, o.Cluster.Join, o.Cluster.Forming = nil, "", nil, Forming{}
	return o, nil
}

// openRecovery opens the directory and its stores, for a node that is not run.
func openRecovery(o Options) (*Node, error) {
	n := build(o)
	n.forcing = true
	err := n.lockDir()
	if err == nil {
		err = n.openStores()
	}
	if err != nil {
		n.closeStores()
		return nil, err
	}
	return n, nil
}

// resumeRecovery ends a recovery that was decided and interrupted.
func (n *Node) resumeRecovery() error {
	id := n.dir.Node()
	if !id.Recovering {
		return nil
	}
	n.log.Warn("the recovery of this node, which goes on without all others, is resumed")
	r := build(n.o)
	r.dir, r.forcing = n.dir, true
	r.o.Cluster.Addr = ""
	if err := r.openStores(); err != nil {
		r.dir = nil // it is the node's
		r.closeStores()
		return err
	}
	n.dir = nil
	if err := r.carryOut(context.Background(), id.Generation); err != nil {
		return err
	}
	return n.openDir()
}

// carryOut decides that the generation begins with this node alone, unless that is
// decided, and does all that follows. It closes the directory.
func (n *Node) carryOut(ctx context.Context, generation uint64) error {
	return n.offline(func(work *crew) error {
		id := n.dir.Node()
		if id.Generation < generation {
			id.Generation, id.Recovering = generation, true
			if err := n.dir.SetNode(id); err != nil {
				return fmt.Errorf("%w: %w", ErrIO, err)
			}
		}
		n.log.Warn("the node begins a new generation of its cluster, without all others", "text", fmt.Sprint("generation ", generation))
		self := uint64(id.Node)
		if err := n.leadAlone(ctx, work); err != nil {
			return err
		}
		v := n.catalog.View()
		if err := n.forgetOthers(ctx, v); err != nil {
			return err
		}
		for s := range n.catalog.View().Shards() {
			if err := n.keepShard(ctx, s); err != nil {
				return err
			}
		}
		me := n.catalog.View().Node(self)
		if me == nil {
			return fmt.Errorf("%w: the catalog does not know this node", ErrRecovery)
		}
		peers := slices.DeleteFunc(peersOf(n.catalog.View()), func(p transport.Peer) bool { return p.ID != self })
		if err := n.savePeers(peers); err != nil {
			return fmt.Errorf("%w: %w", ErrIO, err)
		}
		id.Recovering = false
		if err := n.dir.SetNode(id); err != nil {
			return fmt.Errorf("%w: %w", ErrIO, err)
		}
		return nil
	})
}

// forgetOthers has the catalog go on without the other nodes.
func (n *Node) forgetOthers(ctx context.Context, v *catalog.View) error {
	cmd := &catalog.Recover{Node: uint64(n.dir.Node().Node), Generation: n.dir.Node().Generation}
	for s := range v.Shards() {
		h, err := n.holding(s)
		if err != nil {
			return err
		}
		cmd.Shards = append(cmd.Shards, catalog.Recovered{ID: s.ID, Kept: h.kept, Attrs: reconcile.Alone(s)})
	}
	r, err := n.do(ctx, cmd)
	if err != nil || r.Code == catalog.Existed {
		return err
	}
	for m := range v.Nodes() {
		if m.ID != cmd.Node {
			n.log.Warn("a node is cut out of the cluster for ever", "peer", m.Name)
		}
	}
	for _, k := range cmd.Shards {
		if k.Kept {
			continue
		}
		for q := range v.QueuesIn(k.ID) {
			n.log.Warn("a queue of which nothing is left begins anew, empty", "group", k.ID, "vhost", vhostName(v, q), "queue", q.Name)
		}
	}
	return nil
}

func vhostName(v *catalog.View, q *catalog.Queue) string {
	if h := v.VHostByID(q.VHost); h != nil {
		return h.Name
	}
	return ""
}

// keepShard makes what is held of a shard this node's alone. What is damaged is
// left as it is: the node refuses it when it starts.
func (n *Node) keepShard(ctx context.Context, s *catalog.Shard) error {
	h, err := n.holding(s)
	if err != nil || !h.kept || h.damage != nil {
		return err
	}
	return n.forceAlone(ctx, h.options)
}

// leadAlone opens the catalog, made this node's alone, and waits until it leads it.
func (n *Node) leadAlone(ctx context.Context, work *crew) error {
	if err := n.openCatalog(work, 0); err != nil {
		if refusable(err) {
			err = fmt.Errorf("%w: this node's replica of the catalog, which names every queue and user, is damaged: another node has to be the one that goes on: %w", ErrRecovery, err)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, recoveryTime)
	defer cancel()
	return await(ctx, "lead the catalog", func() bool {
		g := n.host.Group(cluster.CatalogGroup)
		return n.catalog.Leading() && g != nil && g.Status().Applied >= g.Status().Commit
	})
}

// offline runs what groups need while f works with them, and closes everything.
func (n *Node) offline(f func(work *crew) error) error {
	writer, work := newCrew(), newCrew()
	n.work = work
	writer.run(func(ctx context.Context) { n.seglog.Run(ctx.Done()) })
	work.run(n.ticks)
	work.run(func(ctx context.Context) { n.loader.Run(ctx.Done()) })
	err := f(work)
	n.stopping.Store(true)
	for _, g := range n.host.Groups() {
		g.Close()
	}
	n.receiver.Close()
	work.stop()
	n.sender.Close()
	writer.stop()
	n.closeStores()
	return err
}

// onlyErrors is a handler of a log for what changes nothing.
type onlyErrors struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h onlyErrors) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}
