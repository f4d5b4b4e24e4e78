// Package cluster holds what a node knows of its cluster. Catalog drives the
// metadata machine of core/catalog on its Raft group: it proposes commands, or
// sends them to the node that leads, answers their callers when they are applied
// here, and gives out the View.
//
// The subpackages are raftgroup (Raft groups), transport, snapshot and, with the
// cluster, member and placement. This package starts no goroutine.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
	"github.com/warrenmq/warren/storage/slot"
)

// CatalogGroup is the Raft group of the catalog. Shards have the ids of the
// catalog as their groups; id 1 is always that of the first node.
const CatalogGroup = 1

// Errors of commands.
var (
	// ErrUnknown says that a command was proposed and its outcome could not be
	// learnt in time. It may yet have been performed.
	ErrUnknown = errors.New("cluster: outcome of a catalog command is unknown")
	// ErrNoLeader says that a command was given up before anybody saw it, for the
	// catalog has no leader that takes it. It will not be performed.
	ErrNoLeader = errors.New("cluster: the catalog has no leader")
	// ErrEnded says that the incarnation in whose name a command was given has
	// ended. It was not performed.
	ErrEnded = errors.New("cluster: this incarnation of the node has ended")
)

// A Group is what the catalog needs of its Raft group.
type Group interface {
	Wake()
	TryTurn() bool
	Compact(index uint64)
	// AppendConf encodes the group's configuration, inside a turn.
	AppendConf(dst []byte) []byte
	// ReadIndex and Alone are as in raftgroup.Group.
	ReadIndex(done func(index uint64, ok bool))
	Alone() bool
}

// CatalogOptions of OpenCatalog.
type CatalogOptions struct {
	State storage.State
	// Slots say where in State the catalog lies; nil: where it begins.
	Slots *slot.Slots
	// Wall returns the wall clock in milliseconds.
	Wall   func() int64
	Logger *slog.Logger
	Fatal  func(error)
	// Changed is called in the turn after commands were applied, with the View
	// they led to; it must not block. If the View came with a snapshot the results
	// are those of catalog.Diff.
	Changed func(v *catalog.View, results []catalog.Result)
	// Forward sends commands to the node that leads, which hands them to its
	// Offer. It must not block; what it takes stays in order or is lost with all
	// behind it, and false says that nothing was taken. Nil: there are no peers.
	Forward func(leader uint64, data []byte) bool
}

// A Catalog is the metadata of the cluster on this node.
type Catalog struct {
	o     CatalogOptions
	group Group
	view  atomic.Pointer[catalog.View]
	led   atomic.Bool
	hears atomic.Bool // Offer takes: this node leads, or may be about to

	mu struct {
		sync.Mutex
		waits   []*call // of this node, new
		offers  offers  // of others, new
		inc     uint64  // as Begin said
		resend  bool    // as Resend said
		wantCut func(checkpoint.Cut)
		saved   []func()
		readers []reader // new
	}
	progress struct{ applied, cut, dirty atomic.Uint64 }

	// Owned by the turn.
	m       *catalog.Machine
	slot    uint64
	applied uint64
	term    uint64 // of the last entry applied
	leading bool
	failed  bool   // Fatal was called: nothing is done any more
	leader  uint64 // who leads, if another node does; 0: nobody is known to
	now     time.Duration
	results []catalog.Result
	queue   []*call // to be proposed, while this node leads
	// proposed is the last index proposed in this leadership, barrier the last
	// that changes policies.
	proposed, barrier uint64
	policies          policyBook
	own               own
	reads             barrierReads
	cutting           int    // cuts made and not durable yet
	installing        func() // waits for them
}

// A call is a command on its way into the log.
type call struct {
	cmd     catalog.Command
	done    func(catalog.Result, error) // nil: nobody of this node waits
	seen    *catalog.View               // that cmd was matched with
	mark    catalog.Mark
	foreign bool          // another node's
	born    time.Duration // since it is in a turn's hands
	sent    bool          // it is among own.sent
	bare    []byte        // of one sent without a mark: what it is recognised by
}

// CatalogAt says where the catalog's durable state stands.
type CatalogAt struct {
	Applied uint64
	Conf    []byte
}

// OpenCatalog restores the catalog from its last checkpoint. Bind must follow
// before its group's first turn.
func OpenCatalog(o CatalogOptions) (*Catalog, CatalogAt, error) {
	c := &Catalog{o: o}
	at, err := c.restore()
	if err != nil {
		return nil, at, fmt.Errorf("open catalog: %w", err)
	}
	c.view.Store(c.m.View())
	return c, at, nil
}

// Bind gives the catalog its group.
func (c *Catalog) Bind(g Group) { c.group = g }

// View returns the catalog as it is known here.
func (c *Catalog) View() *catalog.View { return c.view.Load() }

// Leading reports whether this node leads the catalog.
func (c *Catalog) Leading() bool { return c.led.Load() }

// Do proposes a command and waits until it is applied here.
func (c *Catalog) Do(ctx context.Context, cmd catalog.Command) (catalog.Result, error) {
	type answer struct {
		r   catalog.Result
		err error
	}
	ch := make(chan answer, 1)
	c.Start(cmd, func(r catalog.Result, err error) { ch <- answer{r, err} })
	select {
	case a := <-ch:
		return a.r, a.err
	case <-ctx.Done():
		return catalog.Result{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// Start proposes a command, here or through whoever leads; done is called in a
// turn once it is applied here, or at once if policies can not be matched. It is
// called within 30 s.
func (c *Catalog) Start(cmd catalog.Command, done func(catalog.Result, error)) {
	w := &call{cmd: cmd, done: done, born: unborn}
	if err := c.prepare(w); err != nil {
		done(catalog.Result{}, err)
		return
	}
	c.mu.Lock()
	c.mu.waits = append(c.mu.waits, w)
	c.mu.Unlock()
	c.group.TryTurn()
}

// Lead implements commitlog.Machine. What other leaders proposed is applied by
// now: what this node sent and has no answer to never reached the log.
func (c *Catalog) Lead(uint64) {
	c.leading, c.leader = true, 0
	c.led.Store(true)
	c.hears.Store(true)
	c.queue = append(append(c.queue[:0], c.own.sent...), c.own.line...)
	c.own.line = nil
}

// Follow implements commitlog.Machine.
func (c *Catalog) Follow(_, leader uint64) {
	c.leading, c.leader = false, leader
	c.led.Store(false)
	c.hears.Store(leader == 0)
	for _, w := range c.queue {
		if !w.foreign && !w.sent {
			c.own.line = append(c.own.line, w)
		}
	}
	c.queue, c.proposed, c.barrier = nil, 0, 0
	c.own.resend = true
	c.mu.Lock()
	c.mu.offers.reset()
	c.mu.Unlock()
}

// Turn implements commitlog.Machine: everything that waits becomes one entry, or
// goes to whoever leads.
func (c *Catalog) Turn(now time.Duration, p commitlog.Proposer) {
	if c.failed {
		return
	}
	c.now = now
	c.mu.Lock()
	cut, saved := c.mu.wantCut, c.mu.saved
	c.mu.wantCut, c.mu.saved = nil, nil
	c.mu.Unlock()
	for _, f := range saved {
		f()
	}
	if cut != nil {
		c.cutting++
		cut(c.cut())
	}
	c.collect()
	c.expire()
	c.read()
	if !c.leading {
		c.forward()
		return
	}
	if _, ok := p.Leading(); ok {
		c.propose(p)
	}
}

func (c *Catalog) propose(p commitlog.Proposer) {
	calls, alone := c.take()
	if len(calls) == 0 {
		return
	}
	stamp := max(c.o.Wall(), c.m.View().Stamp())
	var data []byte
	for _, w := range calls {
		switch {
		case w.foreign:
		case !w.sent:
			c.own.send(w)
		case w.bare != nil:
			w.strip() // it may have been matched anew
		}
		data = catalog.AppendProposal(data, catalog.Proposal{Mark: w.mark, Stamp: stamp, Command: w.cmd})
	}
	index, ok := p.Propose(data)
	if !ok {
		c.queue = append(calls, c.queue...)
		return
	}
	c.proposed = index
	if alone {
		c.barrier = index
	}
}

// take takes what may be proposed now, matched with the policies there are. A
// change of policies goes alone: it waits until everything before it is applied,
// and everything behind it until it is. So what is matched here is what the
// command finds when it is applied.
func (c *Catalog) take() (calls []*call, alone bool) {
	for len(c.queue) > 0 {
		busy := c.proposed > c.applied
		if busy && c.barrier > c.applied {
			return nil, false
		}
		n := slices.IndexFunc(c.queue, func(w *call) bool { return governs(w.cmd) })
		switch alone = n == 0; {
		case n < 0:
			n = len(c.queue)
		case alone && busy:
			return nil, false
		case alone:
			n = 1
		}
		ws := c.queue[:n:n]
		c.queue = c.queue[n:]
		for _, w := range ws {
			if c.matched(w) {
				calls = append(calls, w)
			}
		}
		if len(calls) > 0 {
			return calls, alone
		}
	}
	return nil, false
}

// Apply implements commitlog.Machine.
func (c *Catalog) Apply(ents []commitlog.Entry) {
	for i := range ents {
		e := &ents[i]
		if c.failed {
			return
		}
		if len(e.Data) == 0 {
			c.applied, c.term = e.Index, e.Term
			continue
		}
		var err error
		if c.results, err = c.m.ApplyEntry(e.Term, e.Data, c.results[:0]); err != nil {
			c.failed = true
			c.o.Fatal(fmt.Errorf("apply entry %d of the catalog: %w", e.Index, err))
			return
		}
		c.applied, c.term = e.Index, e.Term
		c.progress.dirty.Add(uint64(len(e.Data)))
		v := c.m.View()
		c.view.Store(v)
		if c.o.Changed != nil {
			c.o.Changed(v, c.results)
		}
		c.answer(e.Data)
	}
	c.progress.applied.Store(c.applied)
	c.passed()
}
