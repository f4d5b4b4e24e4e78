// Package shard holds the tests of a whole shard: log, Raft group with one
// voter, replica, state store, checkpoint rounds and catalog together, driven by
// the test alone. Nothing in a Rig starts a goroutine; with the log and the state
// in memory the same calls do the same.
package shard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/checkpoint"
)

// Options of NewRig.
type Options struct {
	Log   storage.LogStore
	State storage.State
	// Shards is how many a fresh node gets; default 1.
	Shards int
	// Budget and HotPages are the shards'; default 1 MiB and 256.
	Budget, HotPages int
	// Settings are those of queues by name.
	Settings func(name string) shard.Settings
	// Start is the time at which the node starts; default 1 s.
	Start time.Duration
	// Idle is when rounds begin by themselves; default never.
	Idle time.Duration
	// Mail is told of letters. Work does what there is to do beside the shards,
	// and reports whether there was anything; may be nil.
	Mail shard.Mail
	Work func(r *Rig) bool
	// Fatal is told what must not be survived; default panics.
	Fatal func(error)
}

// A Rig is one life of a node.
type Rig struct {
	o       Options
	Now     time.Duration // monotonic; the wall clock shows the same
	Host    *raftgroup.Host
	Catalog *cluster.Catalog
	Shards  map[uint64]*replica.Shard
	IDs     []uint64 // of Shards
	Loader  *replica.Loader
	Rounds  *checkpoint.Rounds
	Inc     queue.Incarnation
	dead    bool
	clock   atomic.Int64 // Now, for others
}

// Clock is Now for whoever is on another goroutine.
func (r *Rig) Clock() time.Duration { return time.Duration(r.clock.Load()) }

func (r *Rig) pass(d time.Duration) {
	r.Now += d
	r.clock.Store(int64(r.Now))
}

// node is the only node's id, in Raft and in the catalog.
const node = 1

// NewRig starts a node over what log and state hold.
func NewRig(o Options) (*Rig, error) {
	if o.Shards == 0 {
		o.Shards = 1
	}
	if o.Budget == 0 {
		o.Budget = 1 << 20
	}
	if o.Idle == 0 {
		o.Idle = 1 << 60
	}
	if o.Start == 0 {
		o.Start = time.Second
	}
	r := &Rig{o: o, Now: o.Start, Shards: map[uint64]*replica.Shard{}}
	r.pass(0)
	if o.Fatal == nil {
		r.o.Fatal = func(err error) { panic(err) }
	}
	var err error
	r.Host, err = raftgroup.NewHost(raftgroup.Options{NodeID: node, Log: o.Log, Now: func() time.Duration { return r.Now }})
	if err != nil {
		return nil, err
	}
	r.Loader = replica.NewLoader(o.Log, o.State, r.fatal)
	r.Rounds = checkpoint.New(checkpoint.Options{
		Log: o.Log, State: o.State, LogBytes: 1 << 60, DirtyBytes: 1 << 60, Idle: o.Idle, Fatal: r.fatal,
	})
	if err := r.startCatalog(); err != nil {
		return nil, err
	}
	if r.dead {
		return r, nil
	}
	if err := r.startShards(); err != nil {
		return nil, err
	}
	return r, nil
}

// Dead reports whether the node has ended for something that it must not survive.
func (r *Rig) Dead() bool { return r.dead }

func (r *Rig) fatal(err error) {
	r.dead = true
	r.o.Fatal(err)
}

func (r *Rig) wall() int64 { return int64(r.Now / time.Millisecond) }

func (r *Rig) startCatalog() error {
	c, at, err := cluster.OpenCatalog(cluster.CatalogOptions{
		State: r.o.State, Wall: r.wall, Fatal: r.fatal, Changed: r.changed,
	})
	if err != nil {
		return err
	}
	r.Catalog = c
	g, err := r.open(cluster.CatalogGroup, c, at.Applied, at.Conf)
	if err != nil {
		return err
	}
	c.Bind(g)
	r.Rounds.Add(c)
	r.Settle()
	for range 3 {
		if !c.Leading() && !r.dead {
			r.Tick()
		}
	}
	if r.dead {
		return nil
	}
	if c.View().VHost("/") == nil {
		r.Do(&catalog.AddNode{ID: node, Name: "a"})
		r.Do(&catalog.AddVHost{Name: "/"})
	}
	if r.dead {
		return nil
	}
	res, err := r.Do(&catalog.Register{Node: node})
	if err != nil || res.Code != catalog.Done {
		if r.dead {
			return nil
		}
		return fmt.Errorf("register: %v %w", res.Code, err)
	}
	r.Inc = queue.Incarnation{Node: node, Number: res.ID}
	for range r.o.Shards {
		if n := r.countShards(); n < r.o.Shards && !r.dead {
			r.Do(&catalog.AddShard{Replicas: []uint64{node}})
		}
	}
	return nil
}

func (r *Rig) countShards() (n int) {
	for range r.Catalog.View().Shards() {
		n++
	}
	return n
}

func (r *Rig) startShards() error {
	for s := range r.Catalog.View().Shards() {
		sh, at, err := replica.Open(replica.Options{
			Group: s.ID, Incarnation: r.Inc, Catalog: queues{r}, State: r.o.State, Log: r.o.Log, Loader: r.Loader,
			Budget: r.o.Budget, HotPages: r.o.HotPages, Wall: r.wall, Fatal: r.fatal, Mail: r.o.Mail, Ended: r.ended,
		})
		if err != nil {
			return err
		}
		g, err := r.open(s.ID, sh, at.Applied, at.Conf)
		if err != nil {
			return err
		}
		sh.Bind(g)
		r.Rounds.Add(sh)
		r.Shards[s.ID] = sh
		r.IDs = append(r.IDs, s.ID)
	}
	r.Settle()
	return nil
}

// ended deletes a queue that its shard closed, as the broker does.
func (r *Rig) ended(id shard.QueueID) {
	if q := r.Catalog.View().QueueByID(id); q != nil {
		r.Catalog.Start(&catalog.DeleteQueue{VHost: "/", Name: q.Name, ID: id, Force: true}, func(catalog.Result, error) {})
	}
}

func (r *Rig) changed(_ *catalog.View, results []catalog.Result) {
	for i := range results {
		for _, q := range results[i].Removed.Queues {
			if s := r.Shards[q.Shard]; s != nil {
				s.Changed(q.ID)
			}
		}
	}
}

func (r *Rig) open(id uint64, m commitlog.Machine, applied uint64, conf []byte) (*raftgroup.Group, error) {
	o := raftgroup.GroupOptions{ID: id, Machine: m, Applied: applied, Voters: []uint64{node}}
	var err error
	if o.ConfState, err = raftgroup.ParseConf(conf); err != nil {
		return nil, err
	}
	return r.Host.Open(o)
}

// Part does a part of what there is to do, as n says.
func (r *Rig) Part(n int) {
	r.pass(time.Millisecond)
	gs := r.Host.Groups()
	switch n %= len(gs) + 2; {
	case r.dead:
	case n < len(gs):
		gs[n].TryTurn()
	case n == len(gs):
		r.o.Log.Drain()
	default:
		r.Loader.Step()
	}
}

// Settle does everything there is to do. It takes some time.
func (r *Rig) Settle() {
	for more := true; more && !r.dead; {
		r.pass(time.Millisecond)
		more = r.o.Log.Drain() > 0
		for _, g := range r.Host.Groups() {
			if g.Due() {
				g.TryTurn()
				more = true
			}
		}
		for r.Loader.Step() {
			more = true
		}
		if r.o.Work != nil && !r.dead && r.o.Work(r) {
			more = true
		}
	}
}

// Tick lets a tick's time pass.
func (r *Rig) Tick() {
	r.pass(100 * time.Millisecond)
	r.Host.Tick()
	r.Settle()
}

// Checkpoint runs a round.
func (r *Rig) Checkpoint() {
	ended := false
	r.Rounds.Force(func() { ended = true })
	for n := 0; !ended && !r.dead; n++ {
		r.Rounds.Step(r.Now)
		r.Settle()
		if n > 100 {
			panic("a checkpoint round does not end")
		}
	}
}

// ErrNoAnswer says that a command was not applied.
var ErrNoAnswer = errors.New("no answer")

// Do performs a command of the catalog.
func (r *Rig) Do(cmd catalog.Command) (res catalog.Result, err error) {
	err = ErrNoAnswer
	r.Catalog.Start(cmd, func(x catalog.Result, e error) { res, err = x, e })
	r.Settle()
	return res, err
}

// Declare declares a durable queue in a shard and returns its id.
func (r *Rig) Declare(name string, in uint64) (shard.QueueID, error) {
	res, err := r.Do(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Durable: true, Shard: in}})
	return res.ID, err
}

// DeclareWait is Declare on a node whose groups run by themselves.
func (r *Rig) DeclareWait(name string, in uint64) (shard.QueueID, error) {
	res, err := r.Catalog.Do(context.Background(), &catalog.DeclareQueue{
		VHost: "/", QueueSpec: catalog.QueueSpec{Name: name, Durable: true, Shard: in},
	})
	return res.ID, err
}

// Delete deletes a queue.
func (r *Rig) Delete(name string) error {
	_, err := r.Do(&catalog.DeleteQueue{VHost: "/", Name: name, Force: true})
	r.Settle()
	return err
}

// queues is replica.Catalog.
type queues struct{ r *Rig }

func (c queues) Queue(in uint64, id shard.QueueID) (shard.Settings, uint64, bool) {
	q := c.r.Catalog.View().QueueByID(id)
	if q == nil || q.Shard != in {
		return shard.Settings{}, 0, false
	}
	var s shard.Settings
	if c.r.o.Settings != nil {
		s = c.r.o.Settings(q.Name)
	}
	return s, q.Revision, true
}

func (c queues) Revision() uint64 { return c.r.Catalog.View().Revision() }

// Alive implements replica.Catalog.
func (c queues) Alive(i queue.Incarnation) bool {
	v := c.r.Catalog.View()
	return v.Incarnation(i.Number) != nil || i.Number > v.LastIncarnation()
}
