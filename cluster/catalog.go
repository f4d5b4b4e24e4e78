// Package cluster holds what a node knows of its cluster. Catalog drives the
// metadata machine of core/catalog on its Raft group: it proposes commands,
// answers their callers when they are applied here, and gives out the View.
//
// The subpackages are raftgroup (Raft groups) and, with the cluster, transport,
// member and placement. This package starts no goroutine.
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

// ErrUnknown says that a command was proposed and its outcome can not be
// learnt: the leader changed.
var ErrUnknown = errors.New("cluster: outcome of a catalog command is unknown")

// A Group is what the catalog needs of its Raft group.
type Group interface {
	Wake()
	TryTurn() bool
	Compact(index uint64)
	// AppendConf encodes the group's configuration, inside a turn.
	AppendConf(dst []byte) []byte
}

// CatalogOptions of OpenCatalog.
type CatalogOptions struct {
	State storage.State
	// Slots say where the catalog's state is, and Load runs what reads a snapshot
	// on a goroutine of its own; nil: it takes none.
	Slots *slot.Slots
	Load  func(f func() error)
	// Wall returns the wall clock in milliseconds.
	Wall   func() int64
	Logger *slog.Logger
	Fatal  func(error)
	// Changed is called in the turn after commands were applied, with the View
	// they led to; it must not block.
	Changed func(v *catalog.View, results []catalog.Result)
}

// A Catalog is the metadata of the cluster on this node.
type Catalog struct {
	o     CatalogOptions
	group Group
	view  atomic.Pointer[catalog.View]

	mu struct {
		sync.Mutex
		waits   []call // not proposed yet
		wantCut func(checkpoint.Cut)
		saved   []func()
	}
	progress struct{ applied, cut, dirty atomic.Uint64 }

	// Owned by the turn.
	m       *catalog.Machine
	applied uint64
	atTerm  uint64 // of the entry applied last
	slot    uint64 // where its state is
	cutting int    // cuts made and not durable yet
	// installing is a snapshot that takes the place of the state when no cut is
	// under way any more.
	installing func()
	leading    bool
	failed     bool // Fatal was called: nothing is done any more
	led        atomic.Bool
	inflight   []flight // by index
	results    []catalog.Result
	barrier    uint64 // index of the last entry that changes policies
	policies   policyBook
}

type call struct {
	cmd  catalog.Command
	done func(catalog.Result, error)
	seen *catalog.View // that cmd was matched with
}

type flight struct {
	index uint64
	calls []call
}

// CatalogAt says where the catalog's durable state stands.
type CatalogAt struct {
	Applied uint64
	Conf    []byte
}

// OpenCatalog restores the catalog from its last checkpoint. Bind must follow
// before its group's first turn.
func OpenCatalog(o CatalogOptions) (*Catalog, CatalogAt, error) {
	c := &Catalog{o: o, slot: CatalogGroup}
	if o.Slots != nil {
		c.slot = o.Slots.Of(CatalogGroup)
	}
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

// Start proposes a command; done is called in a turn once it is applied here, or
// at once if policies can not be matched.
func (c *Catalog) Start(cmd catalog.Command, done func(catalog.Result, error)) {
	w := call{cmd: cmd, done: done}
	if err := c.prepare(&w); err != nil {
		done(catalog.Result{}, err)
		return
	}
	c.mu.Lock()
	c.mu.waits = append(c.mu.waits, w)
	c.mu.Unlock()
	c.group.TryTurn()
}

// Lead implements commitlog.Machine.
func (c *Catalog) Lead(uint64) {
	c.leading = true
	c.led.Store(true)
}

// Follow implements commitlog.Machine.
func (c *Catalog) Follow(uint64, uint64) {
	c.leading = false
	c.led.Store(false)
	for _, f := range c.inflight {
		for _, w := range f.calls {
			w.done(catalog.Result{}, ErrUnknown)
		}
	}
	c.inflight = nil
}

// Turn implements commitlog.Machine: everything that waits becomes one entry.
func (c *Catalog) Turn(_ time.Duration, p commitlog.Proposer) {
	if c.failed {
		return
	}
	c.mu.Lock()
	cut, saved := c.mu.wantCut, c.mu.saved
	c.mu.saved = nil
	if c.installing != nil {
		cut = nil // it waits
	} else {
		c.mu.wantCut = nil
	}
	c.mu.Unlock()
	for _, f := range saved {
		f()
	}
	if cut != nil {
		cut(c.cut())
	}
	if _, ok := p.Leading(); !ok || !c.leading {
		return
	}
	calls, alone := c.take()
	if len(calls) == 0 {
		return
	}
	stamp := max(c.o.Wall(), c.m.View().Stamp())
	var data []byte
	for _, w := range calls {
		data = catalog.AppendCommand(data, stamp, w.cmd)
	}
	index, ok := p.Propose(data)
	if !ok {
		c.mu.Lock()
		c.mu.waits = append(calls, c.mu.waits...)
		c.mu.Unlock()
		return
	}
	if alone {
		c.barrier = index
	}
	c.inflight = append(c.inflight, flight{index, calls})
}

// take takes what may be proposed now, matched with the policies there are. A
// change of policies goes alone: it waits until everything before it is applied,
// and everything behind it until it is. So what is matched here is what the
// command finds when it is applied.
func (c *Catalog) take() (calls []call, alone bool) {
	for {
		if c.barrier > c.applied && len(c.inflight) > 0 {
			return nil, false
		}
		c.mu.Lock()
		n := slices.IndexFunc(c.mu.waits, func(w call) bool { return governs(w.cmd) })
		switch alone = n == 0; {
		case n < 0:
			n = len(c.mu.waits)
		case alone && len(c.inflight) == 0:
			n = 1
		}
		ws := c.mu.waits[:n:n]
		c.mu.waits = c.mu.waits[n:]
		c.mu.Unlock()
		for i := range ws {
			if c.matched(&ws[i]) {
				calls = append(calls, ws[i])
			}
		}
		if n == 0 || len(calls) > 0 {
			return calls, alone
		}
	}
}

// Apply implements commitlog.Machine.
func (c *Catalog) Apply(ents []commitlog.Entry) {
	for i := range ents {
		e := &ents[i]
		if c.failed {
			return
		}
		if len(e.Data) == 0 {
			c.applied, c.atTerm = e.Index, e.Term
			continue
		}
		var err error
		if c.results, err = c.m.ApplyEntry(e.Term, e.Data, c.results[:0]); err != nil {
			c.failed = true
			c.o.Fatal(fmt.Errorf("apply entry %d of the catalog: %w", e.Index, err))
			return
		}
		c.applied, c.atTerm = e.Index, e.Term
		c.progress.dirty.Add(uint64(len(e.Data)))
		v := c.m.View()
		c.view.Store(v)
		if c.o.Changed != nil {
			c.o.Changed(v, c.results)
		}
		for len(c.inflight) > 0 && c.inflight[0].index <= e.Index {
			f := c.inflight[0]
			c.inflight = c.inflight[1:]
			for k, w := range f.calls {
				if f.index == e.Index && k < len(c.results) {
					w.done(c.results[k], nil)
				} else {
					w.done(catalog.Result{}, ErrUnknown)
				}
			}
		}
	}
	c.progress.applied.Store(c.applied)
}
