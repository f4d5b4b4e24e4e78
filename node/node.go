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
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/snapshot"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/shard/memory"
	"github.com/warrenmq/warren/shard/remote"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/slot"
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
	// In a cluster: what others know this node by and reach it through, where
	// groups' states lie, and who gives and takes snapshots of them.
	trust     *transport.Trust
	transport *transport.Transport
	slots     *slot.Slots
	sender    *snapshot.Sender
	receiver  *snapshot.Receiver
	keeper    *keeper
	planner   *planner
	memory    atomic.Pointer[memory.Host] // for sessions of other nodes
	streams   streams
	work      *crew       // runs groups
	handing   sync.Map    // groups that are being handed over
	left      atomic.Bool // the node leaves its cluster
	doors     doors
	shut      atomic.Bool // the listeners for clients are closed for now
	dropping  sync.Map    // shards of which what this node had is being deleted
	stateLost bool        // the state store was put aside at the start
	forcing   bool        // groups are made this node's alone, see recover.go
	opened    atomic.Bool // the shards that were there at the start are open
	// stateDamage is what is known to be damaged of the state store; see state_lost.go.
	stateDamage atomic.Pointer[error]
	// clusterPort is where other nodes reach this one.
	clusterPort net.Listener
	// fenced says that the node's life is over and no other has begun, fence ends
	// one.
	fenced atomic.Bool
	scouts *crew // find other nodes
	// removedBy names who said that the cluster has removed this node.
	removedBy atomic.Pointer[string]
	fence     atomic.Pointer[func()]
	again     atomic.Bool // Run is to return ErrAgain
	// Set once there is an incarnation, which others may know before.
	incarnation atomic.Uint64
	member      atomic.Pointer[member.Driver]
	remote      atomic.Pointer[remote.Handler]

	// opening guards what shards are opened with, and their opening and closing.
	opening sync.Mutex
	// transfer moves dead letters; shards and the broker of a life are handed it.
	transfer *transfer.Transfer

	mover  *mover
	wishes wishes     // of queues, for the planner
	making sync.Mutex // one shard at a time is made for a queue

	orders sync.Mutex // one change of a user or vhost, made of what it was, at a time

	// Set once while the node starts, before what reads them without atomics.
	auth    *authority
	catalog *cluster.Catalog
	inc     atomic.Pointer[catalog.Incarnation] // the last one

	// Read from turns that may run before they are set.
	broker atomic.Pointer[broker.Broker]
	gate   atomic.Pointer[listener.Gate]
	halt   atomic.Pointer[context.CancelFunc] // stops the node
	shards atomic.Pointer[shardTable]

	mu struct {
		sync.Mutex
		listeners, health []*listener.Listener
	}
	waiting   atomic.Pointer[string] // what a node that boots waits for
	leaving   atomic.Bool            // it was told to stop
	done      atomic.Bool            // it has stopped
	ready     chan struct{}
	readyOnce sync.Once
	stopping  atomic.Bool
}

// New checks the options, takes the data directory and opens what is in it.
// What was taken is given back by Run, or by Close if Run is never called.
func New(o Options) (*Node, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := build(o.withDefaults())
	err := n.openDir()
	if err == nil {
		err = n.resumeRecovery()
	}
	if err == nil && !n.joins() && !n.forms() {
		err = n.openStores()
	}
	if err != nil {
		n.closeStores()
		return nil, err
	}
	return n, nil
}

// build makes a node of options with their defaults, which has taken nothing yet.
func build(o Options) *Node {
	n := &Node{
		o: o, shares: o.Memory.shares(o.Shards), log: o.Logger,
		clock: clock.NewReal(), ready: make(chan struct{}),
	}
	n.transfer = n.newTransfer()
	n.shards.Store(new(shardTable))
	n.start = o.Wall()
	n.watch = newWatch(n)
	n.keeper, n.planner = newKeeper(n), newPlanner(n)
	n.wishes.n = n
	n.mover = &mover{n: n}
	return n
}

// lockDir takes the data directory.
func (n *Node) lockDir() (err error) {
	if n.dir, err = storage.OpenDir(n.o.FS, n.o.DataDir, storage.DirOptions{Rand: rand.Reader, PID: os.Getpid()}); err != nil {
		if errors.Is(err, storage.ErrInUse) {
			return fmt.Errorf("%w: %w", ErrLocked, err)
		}
		return fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	return nil
}

func (n *Node) openDir() error {
	if err := n.lockDir(); err != nil {
		return err
	}
	if n.dir.Node().Began == storage.Joined && !n.clustered() {
		return fmt.Errorf("%w: this node is a member of a cluster: give the address at which the others reach it (listen.cluster)", ErrCluster)
	}
	return nil
}

// openStores opens what is in the directory, for a node that knows its cluster.
func (n *Node) openStores() (err error) {
	if n.clustered() && n.trust == nil {
		if err := n.openTrust(); err != nil {
			return err
		}
	}
	if err := n.began(); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
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
	if err := n.openState(); err != nil {
		return err
	}
	ho := raftgroup.Options{
		NodeID: uint64(id.Node), Log: n.seglog, Forgot: n.forgot, Now: n.clock.Mono, Logger: n.log, Inline: true,
		HeartbeatTicks: 2, ElectionTicks: 10,
		MaxApplyingBytes: n.shares.applying, MaxUncommittedBytes: n.shares.uncommitted, CacheBytes: n.shares.groupCache,
	}
	if n.clustered() {
		if err := n.newTransport(); err != nil {
			return err
		}
		ho.Transport = n.transport
	}
	n.host, err = raftgroup.NewHost(ho)
	if err != nil {
		return err
	}
	n.loader = replica.NewLoader(n.seglog, n.store(), n.fatal)
	n.rounds = checkpoint.New(checkpoint.Options{
		Log: n.seglog, State: n.store(), Logger: n.log, Fatal: n.fatal, DirtyBytes: n.shares.dirty, LogBytes: uint64(n.o.roundBytes()),
	})
	n.sender = snapshot.NewSender(snapshot.SenderOptions{
		State: n.store(), Slots: n.slots, Mark: markOf, Want: func() { n.rounds.Force(nil) },
		Sent: func(group, to uint64, ok bool) {
			if g := n.host.Group(group); g != nil {
				g.ReportSnapshot(to, ok)
			}
		},
		Now: n.clock.Mono, Logger: n.log,
	})
	n.receiver = snapshot.NewReceiver(snapshot.ReceiverOptions{
		Slots: n.slots, After: time.After, Logger: n.log,
		Open: func(ctx context.Context, from uint64, head []byte) (io.ReadWriteCloser, error) {
			return n.transport.Bulk(ctx, from, append([]byte{bulkSnapshot}, head...))
		},
	})
	return nil
}

// markOf says where a group's state stands.
func markOf(r storage.Reader, group, in uint64) (slot.Mark, bool, error) {
	if group == cluster.CatalogGroup {
		return cluster.CatalogMark(r, in)
	}
	return replica.MarkOf(r, in)
}

func (n *Node) store() storage.State { return stoppable{n.state, &n.stopping} }

// Ready is closed when the listeners are open.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Addrs returns the addresses of the open listeners by protocol.
func (n *Node) Addrs() map[string]string {
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := map[string]string{}
	for _, l := range slices.Concat(n.mu.listeners, n.mu.health) {
		addrs[l.Name()] = l.Addr().String()
	}
	if n.clusterPort != nil {
		addrs["cluster"] = n.clusterPort.Addr().String()
	}
	return addrs
}
