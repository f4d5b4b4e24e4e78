package node

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/protocol/amqp091"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/remote"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/transfer"
)

// A lateMachine keeps a group's first turn waiting until its machine knows the
// group.
type lateMachine struct {
	commitlog.Machine
	bound chan struct{}
}

// Turn implements commitlog.Machine.
func (m lateMachine) Turn(now time.Duration, p commitlog.Proposer) {
	<-m.bound
	m.Machine.Turn(now, p)
}

func (n *Node) wall() int64 { return n.o.Wall().UnixMilli() }

// openGroup opens the Raft group of a machine and has work run it.
func (n *Node) openGroup(work *crew, o raftgroup.GroupOptions, conf []byte, bind func(*raftgroup.Group)) (*raftgroup.Group, error) {
	var err error
	if o.ConfState, err = raftgroup.ParseConf(conf); err != nil {
		return nil, err
	}
	if n.forcing {
		if err := n.forceAlone(work.ctx, o); err != nil {
			return nil, err
		}
	}
	// The first turn may only come when the machine knows its group.
	bound := make(chan struct{})
	o.Machine = lateMachine{o.Machine, bound}
	g, err := n.host.Open(o)
	if err != nil {
		return nil, err
	}
	bind(g)
	close(bound)
	work.run(g.Run)
	return g, nil
}

// openCatalog opens this node's replica of the catalog. Up to an index it is mute:
// then it is a new one, whatever is damaged of the old.
func (n *Node) openCatalog(work *crew, mute uint64) error {
	if err := n.resume(cluster.CatalogGroup); err != nil {
		return err
	}
	c, at, err := cluster.OpenCatalog(cluster.CatalogOptions{
		State: n.store(), Slots: n.slots, Wall: n.wall, Logger: n.log, Fatal: n.fatal,
		Changed: n.changed, Forward: n.forward,
	})
	if err != nil {
		return err
	}
	// A log that is damaged and knows no catalog had one: it is made first.
	if err := n.lossOf(cluster.CatalogGroup, mute == 0); err != nil {
		return err
	}
	n.catalog = c
	o := raftgroup.GroupOptions{
		ID: cluster.CatalogGroup, Machine: c, Applied: at.Applied, Snapshots: n.sender.Of(cluster.CatalogGroup), Installer: c, Mute: mute,
	}
	if n.dir.Node().Began == storage.Founded {
		o.Voters = []uint64{uint64(n.dir.Node().Node)}
	}
	if _, err := n.openGroup(work, o, at.Conf, func(g *raftgroup.Group) { c.Bind(g) }); err != nil {
		return err
	}
	n.rounds.Add(c)
	return nil
}

// startCatalog brings the catalog up.
func (n *Node) startCatalog(ctx context.Context, work *crew) error {
	mute, err := n.abandonCatalog(ctx, nil)
	if err != nil {
		return err
	}
	if err = n.openCatalog(work, mute); refusable(err) {
		if mute, err = n.abandonCatalog(ctx, err); err == nil {
			err = n.openCatalog(work, mute)
		}
	}
	if err != nil {
		return catalogError(err)
	}
	if n.auth, err = n.newAuth(); err != nil {
		return err
	}
	if err := n.meet(ctx, work, mute > 0); err != nil {
		return err
	}
	if n.catalog.Leading() {
		if err := n.bootstrap(ctx); err != nil {
			return fmt.Errorf("first start of the cluster: %w", err)
		}
	}
	if n.dir.Node().Began == storage.Founded {
		if err := n.makeRemoteUser(ctx); err != nil {
			return err
		}
	}
	return nil
}

// meet waits until the catalog can be asked, together with the other nodes if
// there are any.
// A node whose catalog is made anew asks to be let in again.
func (n *Node) meet(ctx context.Context, work *crew, anew bool) error {
	if n.clustered() {
		if err := n.startMember(work); err != nil { //nolint:contextcheck // connections outlive what opens them
			return err
		}
	}
	if anew {
		work.run(n.comeBack)
	}
	g := n.host.Group(cluster.CatalogGroup)
	return n.awaitSaying(ctx, "wait for the catalog", func() bool {
		if n.catalog.Leading() {
			return true
		}
		return n.catalog.View().Cluster().ID != "" && n.node() != nil && g.Status().Leader != 0
	})
}

// do performs a command that has to succeed.
func (n *Node) do(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	r, err := n.catalog.Do(ctx, cmd)
	if err != nil {
		return r, err
	}
	if r.Code != catalog.Done && r.Code != catalog.Existed {
		return r, fmt.Errorf("catalog: %T: %s %s", cmd, r.Code, r.Missing)
	}
	return r, nil
}

// bootstrap makes what a fresh cluster begins with. It can be interrupted
// anywhere: the cluster's id is set last, and until then every step is done
// again or found done.
func (n *Node) bootstrap(ctx context.Context) error {
	if n.catalog.View().Cluster().ID != "" {
		return nil
	}
	if n.node() == nil {
		if _, err := n.do(ctx, &catalog.AddNode{ID: uint64(n.dir.Node().Node), Name: n.o.Name, Attrs: n.attrs()}); err != nil {
			return err
		}
	}
	if err := n.makeFirstUser(ctx); err != nil {
		return err
	}
	_, err := n.do(ctx, &catalog.SetCluster{Cluster: catalog.Cluster{
		ID: n.dir.Node().Cluster.String(), Name: cmp.Or(n.o.Cluster.Forming.Name, n.o.Name),
	}})
	return err
}

// node returns this node in the catalog, or nil: it finds itself by the id of
// its data directory.
func (n *Node) node() *catalog.Node { return n.catalog.View().Node(uint64(n.dir.Node().Node)) }

// register begins this incarnation, which ends the one before with all that
// lived in it.
func (n *Node) register(ctx context.Context) error {
	me := n.node()
	if me == nil {
		return errors.New("the catalog does not know this node")
	}
	if me.Name != n.o.Name || !bytes.Equal(me.Attrs, n.attrs()) {
		if me.Name != n.o.Name {
			n.log.Info("node has a new name", "text", "it was "+me.Name)
		}
		if _, err := n.do(ctx, &catalog.AddNode{ID: me.ID, Name: n.o.Name, Attrs: n.attrs()}); err != nil {
			return err
		}
	}
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // it never fails
	r, err := n.do(ctx, &catalog.Register{Node: me.ID, Nonce: binary.BigEndian.Uint64(nonce[:])})
	if err != nil {
		return err
	}
	i := n.catalog.View().Incarnation(r.ID)
	if i == nil {
		return cluster.ErrEnded
	}
	n.inc.Store(i)
	n.catalog.Begin(r.ID)
	n.incarnation.Store(r.ID)
	if d := n.member.Load(); d != nil {
		d.Begin(r.ID)
	}
	n.log.Info("node registered", "incarnation", r.ID)
	return nil
}

// startBroker makes the broker of an incarnation, and what moves its letters.
func (n *Node) startBroker(inc *catalog.Incarnation) (*broker.Broker, *transfer.Transfer) {
	n.opening.Lock()
	defer n.opening.Unlock()
	n.transfer = n.newTransfer()
	b := broker.New(broker.Options{
		Catalog: n.catalog, Auth: n.auth, Shard: n.shard, Place: n.place,
		Node: inc.Node, Incarnation: inc.Number, QueueMemory: n.shares.queueMemory,
		Limits:     broker.NodeLimits{Channels: uint64(n.o.Limits.MaxChannels), Queues: uint64(n.o.Limits.MaxQueues)},
		StrictType: n.o.StrictQueueType, Go: n.work.run,
		Memory: n.memoryOf, Post: n.post,
		Mail: n.transfer, Describe: amqp091.Describe, Now: n.wall, Logger: n.log,
	})
	n.broker.Store(b)
	n.watch.attach(b)
	return b, n.transfer
}

// shardCatalog answers shards about their queues.
type shardCatalog struct{ n *Node }

// Queue implements replica.Catalog.
func (c shardCatalog) Queue(in uint64, id shard.QueueID) (shard.Settings, uint64, bool) {
	q := c.n.catalog.View().QueueByID(id)
	if q == nil || q.Shard != in {
		return shard.Settings{}, 0, false
	}
	return broker.Settings(q), q.Revision, true
}

// Revision implements replica.Catalog.
func (c shardCatalog) Revision() uint64 { return c.n.catalog.View().Revision() }

// Alive implements replica.Catalog.
func (c shardCatalog) Alive(i queue.Incarnation) bool {
	v := c.n.catalog.View()
	return v.Incarnation(i.Number) != nil || i.Number > v.LastIncarnation()
}

// startShards opens the shards that the catalog has, makes those that are
// missing, and waits until all lead: until then nothing would be answered. With
// fewer shards configured than there are, all go on: their queues are in them.
//
// A shard that lost data is refused. Should none be left, a new one is made, so
// that the node serves what is declared anew.
func (n *Node) startShards(ctx context.Context, work *crew) error {
	if err := n.reopenShards(ctx, work); err != nil {
		return err
	}
	if n.opened.Load() {
		return n.awaitShards(ctx)
	}
	before := slices.Collect(n.catalog.View().Shards())
	n.shares = n.o.Memory.shares(max(len(before), n.o.Shards))
	if err := n.openShards(work, true); err != nil {
		return err
	}
	if n.catalog.Leading() {
		if err := n.plan(ctx, n.catalog.View()); err != nil {
			return err
		}
		if err := n.openShards(work, false); err != nil {
			return err
		}
	}
	if len(before) > 0 && nodes(n.catalog.View()) == 1 && len(n.shards.Load().open) == 0 && len(n.shards.Load().refused) > 0 {
		if _, err := n.do(ctx, &catalog.AddShard{Replicas: []uint64{n.life().Node}}); err != nil {
			return err
		}
		if err := n.openShards(work, false); err != nil {
			return err
		}
	}
	if err := n.reviveAtStart(ctx); err != nil {
		return err
	}
	n.dropLeft()
	n.opened.Store(true)
	return n.awaitShards(ctx)
}

// openShards opens the shards that are to have a replica here and have none; old
// says that they may hold data.
func (n *Node) openShards(work *crew, old bool) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	t := n.shards.Load()
	for s := range n.catalog.View().Shards() {
		if !s.Holds(n.life().Node) || t.open[s.ID] != nil || t.refused[s.ID] != nil {
			continue
		}
		if _, under := n.dropping.Load(s.ID); under {
			continue
		}
		if err := n.startShard(work, s, old); err != nil {
			return err
		}
		if !old {
			step.At(step.ReplicaOpened)
		}
	}
	return nil
}

// shardsTime is how long clients wait for shards whose other replicas may not be
// there yet: a shard without a majority stops its own queues only.
const shardsTime = 5 * time.Second

// awaitShards waits until all shards are led: until then nothing would be
// answered.
func (n *Node) awaitShards(ctx context.Context) error {
	open := n.shards.Load().open
	wait := ctx
	if nodes(n.catalog.View()) > 1 {
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, shardsTime)
		defer cancel()
	}
	err := await(wait, "wait for the shards", func() bool {
		for id := range open {
			g := n.host.Group(id)
			if g == nil {
				continue // this node has left it meanwhile
			}
			if st := g.Status(); st.Leader == 0 || st.Applied < st.Commit {
				return false
			}
		}
		return true
	})
	if err != nil && ctx.Err() == nil {
		n.log.Warn("some shards have no leader: their queues wait", "err", err)
		return nil
	}
	return err
}

// startShard opens a shard, or refuses it; old says that it may hold data.
func (n *Node) startShard(work *crew, s *catalog.Shard, old bool) error {
	err := n.lossOf(s.ID, old && !back(s, n.life().Node)) // what is back never had it
	if err == nil {
		err = n.openShard(work, s)
	}
	switch {
	case err == nil:
		return nil
	case !refusable(err):
		return fmt.Errorf("%w: shard %d: %w", ErrIO, s.ID, err)
	case !old:
		return fmt.Errorf("%w: shard %d, made just now: %w", ErrIO, s.ID, err)
	}
	n.refuse(s, err)
	return nil
}

// An installer takes snapshots of a shard.
type installer struct{ of *replica.Shard }

// Install implements raftgroup.SnapshotInstaller.
func (i installer) Install(s raftgroup.Snapshot, done func()) { i.of.Install(s.Index, done) }

// resume makes a snapshot the state of a group whose log begins behind it, if the
// node ended before it had done so.
func (n *Node) resume(group uint64) error {
	gs, known := n.seglog.Bounds(group)
	if !known {
		return nil
	}
	err := n.slots.Resume(group, gs.First-1)
	if err != nil && n.stateLost {
		err = fmt.Errorf("%w: %w", storage.ErrDamaged, err)
	}
	return err
}

func (n *Node) openShard(work *crew, s *catalog.Shard) error {
	id, self := s.ID, uint64(n.dir.Node().Node)
	_, known := n.seglog.Bounds(id)
	if back(s, self) && !known {
		if err := n.slots.Drop(id); err != nil { // of another time here, if there was one
			return err
		}
	}
	if err := n.resume(id); err != nil {
		return err
	}
	o := replica.Options{
		Group: id, Incarnation: n.life(),
		Catalog: shardCatalog{n}, State: n.store(), Log: n.seglog, Loader: n.loader, Slots: n.slots,
		Budget: n.shares.bodies, HotPages: n.shares.hotPages, Wall: n.wall, Mono: n.clock.Mono, Logger: n.log, Fatal: n.fatal,
		Ended: n.broker.Load().Ended, Mail: n.transfer,
		After: func(d time.Duration, f func()) { n.clock.AfterFunc(d, f) },
	}
	var client *remote.Client
	if h := n.remote.Load(); h != nil {
		client = h.Hub.Shard(id, nil)
		t := remote.Target(id)
		o.Origin, o.Elsewhere, o.Answers, o.Suspect = client.Origin(), client, h.Server, n.suspect
		o.OnLead, o.OnFollow = func(term uint64) { h.Server.Lead(t, term) }, func() { h.Server.Follow(t) }
	}
	r, at, err := replica.Open(o)
	if err != nil {
		return err
	}
	og := raftgroup.GroupOptions{
		ID: id, Machine: r, Applied: at.Applied, Snapshots: n.sender.Of(id), Installer: installer{r},
	}
	if slices.Contains(s.Founders, self) && (known || s.Members.At == 0) {
		og.Voters = s.Founders
	}
	if !known || back(s, self) {
		og.Mute = s.Members.At
	}
	_, err = n.openGroup(work, og, at.Conf, func(g *raftgroup.Group) {
		r.Bind(g)
		if client != nil {
			client.Bind(r, g.TryTurn)
		}
		// Before its first turn: what that starts in the catalog comes back here.
		n.changeShards(func(t *shardTable) { t.open[id] = r })
	})
	if err != nil {
		return err
	}
	n.rounds.Add(r)
	return nil
}
