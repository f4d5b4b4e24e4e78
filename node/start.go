package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/replica"
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

func (n *Node) wall() int64 { return n.clock.Now().UnixMilli() }

// startCatalog brings the catalog up and registers this life of the process.
func (n *Node) startCatalog(ctx context.Context) error {
	c, at, err := cluster.OpenCatalog(cluster.CatalogOptions{
		State: n.state, Wall: n.wall, Logger: n.log, Fatal: n.fatal,
		Changed: func(v *catalog.View, rs []catalog.Result) {
			if n.broker != nil {
				n.broker.Changed(v, rs)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	n.catalog = c
	o := raftgroup.GroupOptions{ID: cluster.CatalogGroup, Machine: c, Applied: at.Applied}
	if _, err := n.openGroup(o, at.Conf, func(g groupOf) { c.Bind(g) }); err != nil {
		return fmt.Errorf("%w: catalog: %w", ErrIO, err)
	}
	n.rounds.Add(c)
	if n.auth, err = n.newAuth(); err != nil {
		return err
	}
	if err := await(ctx, "wait for the catalog", c.Leading); err != nil {
		return err
	}
	if err := n.bootstrap(ctx); err != nil {
		return fmt.Errorf("first start of the cluster: %w", err)
	}
	return n.register(ctx)
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

// bootstrap makes what a fresh cluster begins with. A start that was
// interrupted goes on where it stopped.
func (n *Node) bootstrap(ctx context.Context) error {
	v := n.catalog.View()
	if v.Cluster().ID != "" {
		return nil
	}
	if _, err := n.do(ctx, &catalog.AddNode{Name: n.o.Name}); err != nil {
		return err
	}
	if _, err := n.do(ctx, &catalog.AddVHost{Name: "/"}); err != nil {
		return err
	}
	record, err := n.auth.verifier.NewRecord(ctx, secret.New("guest"))
	if err != nil {
		return err
	}
	if _, err := n.do(ctx, &catalog.SetUser{Name: "guest", Password: []byte(record.Reveal()), Tags: []string{auth.TagAdministrator}}); err != nil {
		return err
	}
	if _, err := n.do(ctx, &catalog.SetPermission{User: "guest", VHost: "/", Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
		return err
	}
	_, err = n.do(ctx, &catalog.SetCluster{Cluster: catalog.Cluster{ID: n.dir.Node().Cluster.String()}})
	return err
}

// node returns this node in the catalog: the one a single node has.
func (n *Node) node() *catalog.Node {
	for m := range n.catalog.View().Nodes() {
		return m
	}
	return nil
}

// register begins this incarnation, which ends the one before with all that
// lived in it.
func (n *Node) register(ctx context.Context) error {
	me := n.node()
	if me == nil {
		return errors.New("the catalog does not know this node")
	}
	if me.Name != n.o.Name {
		if _, err := n.do(ctx, &catalog.AddNode{ID: me.ID, Name: n.o.Name}); err != nil {
			return err
		}
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return err
	}
	r, err := n.do(ctx, &catalog.Register{Node: me.ID, Nonce: binary.BigEndian.Uint64(nonce[:])})
	if err != nil {
		return err
	}
	n.inc = n.catalog.View().Incarnation(r.ID)
	n.log.Info("node registered", "incarnation", r.ID)
	return nil
}

func (n *Node) startBroker(ctx context.Context) (*broker.Broker, error) {
	for shards(n.catalog.View()) < n.o.Shards {
		if _, err := n.do(ctx, &catalog.AddShard{Replicas: []uint64{n.inc.Node}}); err != nil {
			return nil, err
		}
	}
	return broker.New(broker.Options{
		Catalog: n.catalog, Auth: n.auth, Shard: n.shard, Place: n.place,
		Node: n.inc.Node, Incarnation: n.inc.Number, QueueMemory: n.o.Memory.Entries,
		Now: n.wall, Logger: n.log,
	}), nil
}

func shards(v *catalog.View) (k int) {
	for range v.Shards() {
		k++
	}
	return k
}

func (n *Node) shard(id uint64) shard.Shard {
	if s := n.shards[id]; s != nil {
		return s
	}
	return nil
}

// place spreads durable queues over the shards by their names.
func (n *Node) place(vhost, name string) uint64 {
	var ids []uint64
	for s := range n.catalog.View().Shards() {
		ids = append(ids, s.ID)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(vhost))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(name))
	return ids[h.Sum32()%uint32(len(ids))]
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

// startShards opens the shards and waits until they lead: until then nothing
// would be answered.
func (n *Node) startShards(ctx context.Context) error {
	v := n.catalog.View()
	count := max(1, shards(v))
	var groups []*raftgroup.Group
	for s := range v.Shards() {
		r, at, err := replica.Open(replica.Options{
			Group: s.ID, Incarnation: queue.Incarnation{Node: n.inc.Node, Number: n.inc.Number},
			Catalog: shardCatalog{n}, State: n.state, Log: n.seglog, Loader: n.loader,
			Budget: int(n.o.Memory.Entries) / count, Wall: n.wall, Logger: n.log, Fatal: n.fatal,
			Unused: n.broker.Unused,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrIO, err)
		}
		n.shards[s.ID] = r
		o := raftgroup.GroupOptions{ID: s.ID, Machine: r, Applied: at.Applied}
		g, err := n.openGroup(o, at.Conf, func(g groupOf) { r.Bind(g) })
		if err != nil {
			return fmt.Errorf("%w: shard %d: %w", ErrIO, s.ID, err)
		}
		n.rounds.Add(r)
		groups = append(groups, g)
	}
	return await(ctx, "wait for the shards", func() bool {
		for _, g := range groups {
			if st := g.Status(); st.Leader == 0 || st.Applied < st.Commit {
				return false
			}
		}
		return true
	})
}
