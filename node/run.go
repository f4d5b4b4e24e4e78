package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
)

// Exit statuses of a node that ends the process itself.
const (
	exitIO   = 74 // its disk failed it
	exitLate = 1  // it did not stop in time
)

const (
	// tickEvery is Raft's tick: ten are the least election timeout.
	tickEvery = 100 * time.Millisecond
	// stopTime bounds a stop, beyond the grace that clients get.
	stopTime = 10 * time.Second
	// roundTime is how long a checkpoint round under way may take to end when
	// the node stops. One that waits for space on a full disk never does.
	roundTime = 2 * time.Second
	// settleTime bounds the wait for what was settled last, when the node stops.
	settleTime = 2 * time.Second
	// resignTime bounds the wait for the others to note that the node stops.
	resignTime = time.Second
)

// A crew is goroutines that end when their context does.
type crew struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newCrew() *crew {
	c := new(crew)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *crew) run(f func(ctx context.Context)) {
	c.wg.Go(func() { f(c.ctx) })
}

// stop ends the crew and waits for it.
func (c *crew) stop() {
	c.cancel()
	c.wg.Wait()
}

// Run serves until ctx ends, then stops within a bounded time and returns nil.
// It returns why if the node can not start, or can not go on. It is called once.
//
// The order of the stop is that of the start, backwards: the listeners with
// their connections, what these settled, the broker (in live), the admin socket (in
// serve), the life, the rounds and readers of the stores, the groups, the log's
// writer when everything handed to it is synced, the stores, the directory's lock.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := newCrew()
	watch.run(func(done context.Context) { n.watchStop(ctx, done) })
	defer watch.stop()
	n.halt.Store(&cancel)
	defer context.AfterFunc(ctx, func() { n.leaving.Store(true) })()
	stopHealth, err := n.startHealth() //nolint:contextcheck // it is asked until the end
	if err != nil {
		n.closeStores()
		return err
	}
	defer stopHealth()
	defer n.done.Store(true)

	if err := n.enter(ctx); err != nil {
		n.closeStores()
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = nil // told to stop while it waited for others
		}
		return err
	}
	writer, work, rounds := newCrew(), newCrew(), newCrew()
	n.work = work
	writer.run(func(ctx context.Context) { n.seglog.Run(ctx.Done()) })
	work.run(n.ticks)
	work.run(func(ctx context.Context) { n.loader.Run(ctx.Done()) })
	rounds.run(func(ctx context.Context) { n.rounds.Run(ctx.Done(), n.clock.Mono) })

	err = n.serve(ctx, work)
	n.resign() //nolint:contextcheck // ctx has ended
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil // told to stop while it started
	}
	err = n.end(err)
	if n.again.Load() {
		err = errors.Join(ErrAgain, err)
	}

	n.stopping.Store(true)
	cancel()
	rounds.cancel()
	for _, g := range n.host.Groups() {
		g.Close()
	}
	n.leaveNetwork()
	work.stop()
	n.stopRounds(rounds)
	n.sender.Close()
	writer.stop()
	n.closeStores()
	return err
}

// resign has the catalog end this node's life, so that the others know of its end
// when it has stopped: what was its own is theirs at once, and who stops a node may
// forget it in the next breath. If they can not be asked they find out.
func (n *Node) resign() {
	d, inc := n.member.Load(), n.inc.Load()
	if d == nil || !d.Serving() || n.host.Group(cluster.CatalogGroup).Alone() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), resignTime)
	defer cancel()
	if _, err := n.catalog.Do(ctx, &catalog.EndIncarnation{Number: inc.Number}); err != nil {
		n.log.Info("the other nodes were not told that this one stops", "err", err)
	}
}

// stopRounds waits for the checkpoint round that is under way. One that waits
// for space on a full disk is given up: the log holds what it would have saved.
func (n *Node) stopRounds(rounds *crew) {
	ended := make(chan struct{})
	go func() { rounds.stop(); close(ended) }() // received from below
	t := time.NewTimer(roundTime)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		n.log.Warn("a checkpoint round did not end in time and is given up", "dur", roundTime)
		n.closeState()
		<-ended
	}
}

// A stoppable is the state store as those who use it while the node runs see
// it: when the node stops, what they are at ends with their next call.
type stoppable struct {
	storage.State
	stopping *atomic.Bool
}

// Get implements storage.Reader.
func (s stoppable) Get(dst, key []byte) ([]byte, error) {
	if s.stopping.Load() {
		return dst, state.ErrClosed
	}
	return s.State.Get(dst, key)
}

// NewBatch implements storage.State.
func (s stoppable) NewBatch() storage.Batch { return stoppableBatch{s.State.NewBatch(), s.stopping} }

type stoppableBatch struct {
	storage.Batch
	stopping *atomic.Bool
}

// Commit implements storage.Batch.
func (b stoppableBatch) Commit() error {
	if b.stopping.Load() {
		return state.ErrClosed
	}
	return b.Batch.Commit()
}

// watchStop ends the process if it does not stop in time. Nothing is lost with
// it: whatever was confirmed is on the disk.
func (n *Node) watchStop(ctx, done context.Context) {
	select {
	case <-done.Done():
		return
	case <-ctx.Done():
	}
	limit := n.o.Grace + stopTime
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-done.Done():
	case <-t.C:
		var where bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&where, 1) // a buffer takes everything
		n.log.Error("the node did not stop in time and ends", "dur", limit, "text", where.String())
		n.o.Exit(exitLate)
	}
}

// fatal ends the process: what it is told of must not be survived, for a node
// that goes on could confirm what it can not keep. That something was given up
// because the node stops is no such thing.
func (n *Node) fatal(err error) {
	if n.stopping.Load() && errors.Is(err, state.ErrClosed) {
		return
	}
	n.log.Error("the node ends: its data can not be read or written", "err", err)
	n.noteDamage(err)
	n.o.Exit(exitIO)
}

// Close gives back what New took, for a node that was never run.
func (n *Node) Close() { n.closeStores() }

func (n *Node) closeState() {
	if n.state == nil {
		return
	}
	if err := n.state.Close(); err != nil {
		n.log.Error("close the state store", "err", err)
	}
	n.state = nil
}

func (n *Node) closeStores() {
	n.closeState()
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

func (n *Node) ticks(ctx context.Context) {
	t := time.NewTicker(tickEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			n.host.Tick()
			if n.transport != nil {
				n.transport.Flush()
			}
			n.seglog.Tick(n.clock.Mono())
		}
	}
}

// serve starts everything above the log, serves, and stops it again.
func (n *Node) serve(ctx context.Context, work *crew) error {
	if err := n.startCatalog(ctx, work); err != nil {
		return err
	}
	work.run(n.watch.run)
	var stopAdmin func()
	defer func() {
		if stopAdmin != nil {
			stopAdmin()
		}
	}()
	opened := func() (err error) { //nolint:contextcheck // it stops after ctx ended
		if stopAdmin == nil {
			stopAdmin, err = n.startAdmin()
		}
		return err
	}
	for {
		err := n.live(ctx, work, opened)
		if !errors.Is(err, protocol.ErrFenced) {
			return err
		}
	}
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
