// Package node builds a Warren node, runs it and stops it, in one visible order.
// It is the only package that knows all others; it decides nothing about
// messages.
//
// New takes the data directory and opens the log and the state store. Run
// starts the Raft groups (the catalog first), registers this life of the
// process, opens the shards and then the listeners; it stops in reverse.
package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/state"
)

// A Node is one broker process.
type Node struct {
	o     Options
	log   *slog.Logger
	clock *clock.Real
	start time.Time

	dir    *storage.Dir
	seglog *seglog.Log
	state  *state.Pebble
	host   *raftgroup.Host
	loader *replica.Loader
	rounds *checkpoint.Rounds

	auth    *authority
	catalog *cluster.Catalog
	broker  *broker.Broker
	shards  map[uint64]*replica.Shard
	inc     *catalog.Incarnation

	mu struct {
		sync.Mutex
		listeners []*listener.Listener
	}
	ready chan struct{}
	bg    sync.WaitGroup // what stops by closing stop
	stop  chan struct{}
	log1  sync.WaitGroup // the log's writer, which stops last
	logs  chan struct{}
}

// New checks the options, takes the data directory and opens what is in it.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	n := &Node{
		o: o, log: o.Logger, clock: clock.NewReal(), ready: make(chan struct{}),
		stop: make(chan struct{}), logs: make(chan struct{}), shards: map[uint64]*replica.Shard{},
	}
	n.start = n.clock.Now()
	if err := n.open(); err != nil {
		n.closeStores()
		return nil, err
	}
	return n, nil
}

func (n *Node) open() (err error) {
	if n.dir, err = storage.OpenDir(n.o.FS, n.o.DataDir, storage.DirOptions{Rand: rand.Reader, PID: os.Getpid()}); err != nil {
		if errors.Is(err, storage.ErrInUse) {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	id := n.dir.Node()
	var clusterID [16]byte
	binary.BigEndian.PutUint64(clusterID[8:], uint64(id.Cluster))
	n.seglog, err = seglog.Open(seglog.Options{
		FS: n.o.FS, Dir: n.dir.LogPath(), ClusterID: clusterID, NodeID: uint64(id.Node),
		SegmentSize: n.o.SegmentBytes, Rand: rand.Reader, Logger: n.log, Fatal: n.fatal,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	n.state, err = state.OpenPebble(state.Options{
		FS: n.o.FS, Dir: n.dir.StatePath(), MemoryBytes: uint64(n.o.Memory.Memtable + n.o.Memory.Cache),
		Logger: n.log, Clock: n.clock, Fatal: n.fatal,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	n.host, err = raftgroup.NewHost(raftgroup.Options{
		NodeID: uint64(id.Node), Log: n.seglog, Now: n.clock.Mono, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.loader = replica.NewLoader(n.seglog, n.state, n.fatal)
	n.rounds = checkpoint.New(checkpoint.Options{Log: n.seglog, State: n.state, Logger: n.log, Fatal: n.fatal})
	return nil
}

// exitIO is the exit status of a node whose disk failed it.
const exitIO = 74

// fatal ends the process: what it is told of must not be survived, for a node
// that goes on could confirm what it can not keep.
func (n *Node) fatal(err error) {
	n.log.Error("the node ends: its data can not be read or written", "err", err)
	os.Exit(exitIO)
}

func (n *Node) closeStores() {
	if n.state != nil {
		if err := n.state.Close(); err != nil {
			n.log.Error("close the state store", "err", err)
		}
	}
	if n.seglog != nil {
		if err := n.seglog.Close(); err != nil {
			n.log.Error("close the log", "err", err)
		}
	}
	if n.dir != nil {
		if err := n.dir.Close(); err != nil {
			n.log.Error("close the data directory", "err", err)
		}
	}
}

// Ready is closed when the listeners are open.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Addrs returns the addresses of the open listeners by protocol.
func (n *Node) Addrs() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := map[string]string{}
	for _, l := range n.mu.listeners {
		addrs[l.Name()] = l.Addr().String()
	}
	return addrs
}

// tickEvery is Raft's tick: ten are the least election timeout.
const tickEvery = 100 * time.Millisecond

// Run serves until ctx ends, then stops within a bounded time.
func (n *Node) Run(ctx context.Context) error {
	n.log1.Add(1)
	go func() { // n.log1.Wait below
		defer n.log1.Done()
		n.seglog.Run(n.logs)
	}()
	n.background(func() { n.loader.Run(n.stop) })
	n.background(func() { n.rounds.Run(n.stop, n.clock.Mono) })
	n.background(n.ticks)

	err := n.serve(ctx)

	close(n.stop)
	for _, g := range n.host.Groups() {
		g.Close()
	}
	n.bg.Wait()
	close(n.logs)
	n.log1.Wait()
	n.closeStores()
	return err
}

// background runs f until n.stop is closed; Run waits for it.
func (n *Node) background(f func()) {
	n.bg.Add(1)
	go func() { // n.bg.Wait in Run
		defer n.bg.Done()
		f()
	}()
}

func (n *Node) ticks() {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-t.C:
			n.host.Tick()
			n.seglog.Tick(n.clock.Mono())
		}
	}
}

// serve starts everything above the log, serves, and stops it again.
func (n *Node) serve(ctx context.Context) error {
	if err := n.startCatalog(ctx); err != nil {
		return err
	}
	b, err := n.startBroker(ctx)
	if err != nil {
		return err
	}
	n.broker = b
	brokerCtx, stopBroker := context.WithCancel(context.Background())
	n.background(func() { b.Run(brokerCtx) })
	defer stopBroker()
	if err := n.startShards(ctx); err != nil {
		return err
	}
	stopAdmin, err := n.startAdmin()
	if err != nil {
		return err
	}
	defer stopAdmin()
	return n.listen(ctx)
}

// groupOf adapts a Raft group for the machines on it.
type groupOf struct{ *raftgroup.Group }

// openGroup opens the Raft group of a machine and runs it.
func (n *Node) openGroup(o raftgroup.GroupOptions, conf []byte, bind func(groupOf)) (*raftgroup.Group, error) {
	var err error
	if o.ConfState, err = parseConf(conf); err != nil {
		return nil, err
	}
	o.Voters = []uint64{uint64(n.dir.Node().Node)}
	// The first turn may only come when the machine knows its group.
	bound := make(chan struct{})
	o.Machine = lateMachine{o.Machine, bound}
	g, err := n.host.Open(o)
	if err != nil {
		return nil, err
	}
	bind(groupOf{g})
	close(bound)
	ctx, cancel := context.WithCancel(context.Background())
	n.background(func() { g.Run(ctx) })
	n.background(func() { <-n.stop; cancel() })
	return g, nil
}

// await polls until ok or ctx ends.
func await(ctx context.Context, what string, ok func() bool) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-t.C:
		}
	}
	return nil
}
