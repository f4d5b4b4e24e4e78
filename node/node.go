// Package node builds a Warren node, runs it and stops it, in one visible order.
// It is the only package that knows all others; it decides nothing about
// messages.
//
// New takes the data directory and opens the log and the state store. Run
// starts the Raft groups (the catalog first), registers this life of the
// process, opens the shards and then the listeners; it stops in reverse, within
// Options.Grace and a few seconds. All goroutines are Run's and have ended when
// it returns.
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
	"sync/atomic"
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
	"github.com/warrenmq/warren/transfer"
)

// A Node is one broker process.
type Node struct {
	o      Options
	shares shares
	log    *slog.Logger
	clock  *clock.Real
	start  time.Time

	dir    *storage.Dir
	seglog *seglog.Log
	state  *state.Pebble
	host   *raftgroup.Host
	loader *replica.Loader
	rounds *checkpoint.Rounds
	watch  *watch
	// transfer moves dead letters; shards and the broker are handed it.
	transfer *transfer.Transfer

	orders sync.Mutex // one change of a user or vhost, made of what it was, at a time

	// Set once while the node starts, before what reads them without atomics.
	auth    *authority
	catalog *cluster.Catalog
	inc     *catalog.Incarnation

	// Read from turns that may run before they are set.
	broker atomic.Pointer[broker.Broker]
	gate   atomic.Pointer[listener.Gate]
	halt   atomic.Pointer[context.CancelFunc] // stops the node
	shards atomic.Pointer[shardTable]

	mu struct {
		sync.Mutex
		listeners []*listener.Listener
	}
	ready    chan struct{}
	stopping atomic.Bool
}

// New checks the options, takes the data directory and opens what is in it.
// What was taken is given back by Run, or by Close if Run is never called.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	n := &Node{
		o: o, shares: o.Memory.shares(o.Shards), log: o.Logger,
		clock: clock.NewReal(), ready: make(chan struct{}),
	}
	n.transfer = transfer.New(transfer.Options{Router: &letterRouter{n: n}, Clock: n.clock, Logger: n.log})
	n.shards.Store(new(shardTable))
	n.start = o.Wall()
	n.watch = newWatch(n)
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
		SegmentSize: n.o.SegmentBytes, CacheBytes: n.shares.logCache, Rand: rand.Reader, Logger: n.log, Fatal: n.fatal, NoSpace: n.watch.noSpace,
	})
	if err != nil {
		return fmt.Errorf("%w: open the log: %w", ErrIO, err)
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
		MaxApplyingBytes: n.shares.applying, MaxUncommittedBytes: n.shares.uncommitted, CacheBytes: n.shares.groupCache,
	})
	if err != nil {
		return err
	}
	n.loader = replica.NewLoader(n.seglog, n.store(), n.fatal)
	n.rounds = checkpoint.New(checkpoint.Options{
		Log: n.seglog, State: n.store(), Logger: n.log, Fatal: n.fatal, DirtyBytes: n.shares.dirty, LogBytes: uint64(n.o.roundBytes()),
	})
	return nil
}

func (n *Node) store() storage.State { return stoppable{n.state, &n.stopping} }

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
