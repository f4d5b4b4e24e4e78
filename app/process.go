// Package app keeps a process while the node in it comes and goes: what
// RabbitMQ's users know as the application in its runtime. It owns the admin
// socket, the lives of the node (started, stopped, a member of another cluster,
// begun anew), and what is kept so that an interrupted change of them is finished
// by the next start. It decides nothing about messages or clusters: those that it
// asks are package node's.
//
// cli calls Run, which blocks. Its goroutine alone changes what the node is at;
// a life of the node, and a join or a reset, run in a goroutine of their own for
// which Run waits. Orders come in over the socket, are taken one after the other,
// and answered at once; who gave one asks how it ended.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/admin/api"
	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/storage"
)

// A Node is one life of a node.
type Node interface {
	Run(ctx context.Context) error
	// Ready is closed when it serves.
	Ready() <-chan struct{}
	// Addrs are the bound addresses by protocol, once Ready.
	Addrs() map[string]string
}

// A leaver can leave its cluster: it gives up what it holds to others, is
// forgotten, and returns then.
type leaver interface {
	Leave(ctx context.Context) error
}

// A holder tells what it has that would be lost if it began anew.
type holder interface {
	Holds() (what string, yes bool)
}

// A waiter tells what it waits for.
type waiter interface{ Waiting() string }

// Options of a Process. Node must be set.
type Options struct {
	// Node is what each life is made of.
	Node node.Options
	// New makes one. Default: node.New.
	New func(node.Options) (Node, error)
	// Join has a node that is not run let into the cluster of its options.
	// Default: node.New and its Join.
	Join func(ctx context.Context, o node.Options) error
	// Stopped begins with the node stopped, for start_app to start it.
	Stopped bool
	// Names is where the process says which node it is.
	Names admin.Names
	// Up is told of the addresses of a node that serves, Down that one does so no
	// more. An error of either ends the process.
	Up   func(addrs map[string]string) error
	Down func() error
}

// A Process is this process.
type Process struct {
	o     Options      // owned by Run; what follows is immutable after New
	base  node.Options // as it was given
	log   *slog.Logger
	clock *clock.Real
	start time.Time
	lock  io.Closer // of the directory, for the process' life
	front *api.Front
	// checks are asked for the health of the node for the process' life.
	checks *node.Checks

	orders chan order
	over   chan struct{}      // closed when no more orders are taken
	halt   context.CancelFunc // stops the process; set before orders come

	// Owned by Run.
	life     *life
	starting *admin.Task // that waits for the life to serve
	stopping *admin.Task // that waits for the life to end
	work     chan outcome
	working  *admin.Task
	held     *held
	journal  journal
	cluster  string // where other nodes reach the node, as far as it runs
	nameless bool   // another process has the node's name

	mu struct {
		sync.Mutex
		is     admin.Life
		node   Node // that starts or runs
		tasks  []*admin.Task
		lastID uint64
	}
}

// A life is a node that was started.
type life struct {
	node   Node
	cancel context.CancelFunc
	ended  chan error // receives once
	up     bool
}

// held is what a node had when it was stopped.
type held struct {
	what string
	yes  bool
}

// lockName is a file that is held as long as the process lives: the directory's
// own lock is free while the node is stopped.
const lockName = "process.lock"

// How often a directory is tried that is in use, and the pause between.
const (
	freeTries = 20
	freePause = 50 * time.Millisecond
)

// New takes the data directory. What was taken is given back by Run, or by Close
// if Run is never called.
func New(o Options) (*Process, error) {
	if err := o.Node.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	fs, dir := o.Node.FS, o.Node.DataDir
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", node.ErrDataDir, err)
	}
	lock, err := fs.Lock(fs.PathJoin(dir, lockName))
	if err != nil {
		if _, ok := errors.AsType[*os.PathError](err); ok {
			return nil, fmt.Errorf("%w: lock data directory %s: %w", node.ErrDataDir, dir, err)
		}
		return nil, fmt.Errorf("%w: another process keeps a node in %s", node.ErrLocked, dir)
	}
	c := clock.NewReal()
	p := &Process{
		o: o, base: o.Node, log: o.Node.Logger, clock: c, start: c.Now(), lock: lock,
		orders: make(chan order), over: make(chan struct{}), work: make(chan outcome, 1),
	}
	p.front = api.NewFront(resident{p})
	p.set(admin.AppStarts, "")
	if o.Stopped {
		p.set(admin.AppIsStopped, "")
	}
	if p.journal, err = readJournal(fs, dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Node.FS == nil {
		o.Node.FS = storage.PrivateFS()
	}
	if o.Node.Logger == nil {
		o.Node.Logger = slog.New(slog.DiscardHandler)
	}
	if o.New == nil {
		o.New = func(o node.Options) (Node, error) { return node.New(o) }
	}
	if o.Join == nil {
		o.Join = joinAsNode
	}
	if o.Up == nil {
		o.Up = func(map[string]string) error { return nil }
	}
	if o.Down == nil {
		o.Down = func() error { return nil }
	}
	return o
}

// Close gives back what New took, for a process that was never run.
func (p *Process) Close() error {
	if err := p.lock.Close(); err != nil {
		return fmt.Errorf("unlock the data directory: %w", err)
	}
	return nil
}

// Run keeps the process until ctx ends, an operator stops it, or its node can not
// be started or go on. It returns why, nil if it was told to.
func (p *Process) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.halt = cancel
	defer func() { err = errors.Join(err, p.Close()) }()
	hangUp, err := p.answer(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	if p.checks, err = node.OpenChecks(p.o.Node, health.Options{Status: resident{p}.health, Alarms: func() []string { return nil }}); err != nil { //nolint:contextcheck // it is asked until the end
		return err
	}
	defer p.checks.Close()
	p.enter("")
	defer p.leave()
	if err := p.resume(); err != nil {
		return err
	}
	if !p.o.Stopped {
		if err := p.beginFirst(ctx); err != nil {
			return err
		}
	}
	err = p.loop(ctx)
	cancel()
	close(p.over)
	return errors.Join(err, p.end())
}

func (p *Process) loop(ctx context.Context) error {
	again := time.NewTicker(nameEvery)
	defer again.Stop()
	for {
		var ready <-chan struct{}
		var ended <-chan error
		if p.life != nil {
			ended = p.life.ended
			if !p.life.up {
				ready = p.life.node.Ready()
			}
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case o := <-p.orders:
			p.take(ctx, o)
		case <-ready:
			err = p.serves()
		case err = <-ended:
			err = p.ended(ctx, err)
		case r := <-p.work:
			p.worked(r)
		case <-again.C:
			if p.nameless {
				p.enter(p.cluster)
			}
		}
		if err != nil {
			return err
		}
	}
}

// end stops what runs and waits for it.
func (p *Process) end() (err error) {
	if l := p.life; l != nil {
		p.set(admin.AppStops, "the process ends")
		l.cancel()
		err = errors.Join(<-l.ended, p.down(l))
	}
	if p.working != nil {
		<-p.work
	}
	return err
}

// answer opens the socket.
func (p *Process) answer(ctx context.Context) (hangUp func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it answers until the node has stopped
	ln, cleanup, err := admin.ListenSocket(ctx, p.o.Node.DataDir)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %w", node.ErrDataDir, err)
	}
	done := make(chan struct{})
	go func() { // hangUp waits for done
		defer close(done)
		if err := api.Serve(ctx, ln, api.Options{Handler: p.front, Logger: p.log}); err != nil {
			p.log.Error("the admin socket ended", "err", err)
		}
	}()
	return func() { cancel(); <-done; cleanup() }, nil
}

// nameEvery is how often a process asks for its node's name that another has.
const nameEvery = 5 * time.Second

// enter says by the node's name where this process is. Without it the node is
// found by its data directory only.
func (p *Process) enter(cluster string) {
	err := p.o.Names.Enter(p.named(cluster))
	if err != nil && !p.nameless {
		p.log.Info("the node is not found by its name on this machine", "err", err)
	}
	p.cluster, p.nameless = cluster, err != nil
}

func (p *Process) leave() {
	if err := p.o.Names.Leave(p.named("")); err != nil {
		p.log.Info("the node's name stays behind", "err", err)
	}
}

func (p *Process) named(cluster string) admin.Named {
	return admin.Named{Name: p.o.Node.Name, Data: absolute(p.o.Node.DataDir), PID: os.Getpid(), Cluster: cluster}
}

// begin starts a life. t is the order to do so, if there is one.
func (p *Process) begin(ctx context.Context, t *admin.Task) error {
	o := p.o.Node
	o.Operators, o.Checks = p.front.Open, p.checks
	o.Cluster.Join = p.joins()
	n, err := p.o.New(o)
	if err != nil {
		return err
	}
	p.held, p.starting = nil, t
	p.life = live(ctx, n)
	p.set(admin.AppStarts, "")
	return nil
}

// beginFirst is begin for a process that has just started. What one that was
// killed had locked may come free a moment after the lock of the process.
func (p *Process) beginFirst(ctx context.Context) error {
	for range freeTries {
		err := p.begin(ctx, nil)
		if !errors.Is(err, node.ErrLocked) {
			return err
		}
		select {
		case <-time.After(freePause):
		case <-ctx.Done():
			return err
		}
	}
	return p.begin(ctx, nil)
}

// live runs a node until its life is cancelled: whoever has it waits for its end.
func live(ctx context.Context, n Node) *life {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &life{node: n, cancel: cancel, ended: make(chan error, 1)}
	go func() { l.ended <- n.Run(ctx) }() // received by who has the life
	return l
}

// joins are the addresses of members through whom a node without data joins.
func (p *Process) joins() []string {
	if len(p.journal.Join) > 0 {
		return p.journal.Join
	}
	return p.o.Node.Cluster.Join
}

// serves notes that the node serves.
func (p *Process) serves() error {
	l := p.life
	l.up = true
	if err := p.forget(); err != nil {
		return err
	}
	addrs := l.node.Addrs()
	p.pin(addrs)
	p.enter(addrs["cluster"])
	p.set(admin.AppRuns, "")
	p.finish(p.starting, "", nil)
	p.starting = nil
	return p.o.Up(maps.Clone(addrs))
}

// pin keeps the ports that the node was given for its next life: its clients and
// the other nodes know them.
func (p *Process) pin(addrs map[string]string) {
	p.o.Node.Listen = slices.Clone(p.o.Node.Listen)
	for i, l := range p.o.Node.Listen {
		if a, ok := addrs[l.Protocol]; ok && strings.HasSuffix(l.Addr, ":0") {
			p.o.Node.Listen[i].Addr = a
		}
	}
	if a, ok := addrs["cluster"]; ok && strings.HasSuffix(p.o.Node.Cluster.Addr, ":0") {
		p.o.Node.Cluster.Addr = a
	}
}

// down tells that a life serves no more.
func (p *Process) down(l *life) error {
	if !l.up {
		return nil
	}
	p.enter("")
	return p.o.Down()
}

// byOperator is why a node is stopped that need not be.
const byOperator = "it was stopped by an operator"

// ended decides what follows the end of a life. It returns why the process ends.
func (p *Process) ended(ctx context.Context, err error) error {
	l := p.life
	p.life = nil
	if derr := p.down(l); derr != nil {
		return errors.Join(err, derr)
	}
	start, stop := p.starting, p.stopping
	p.starting, p.stopping = nil, nil
	switch {
	case stop != nil:
		if err != nil {
			p.log.Warn("the node did not stop well", "err", err)
		}
		p.set(admin.AppIsStopped, byOperator)
		p.finish(start, "", &admin.Error{Kind: admin.Unavailable, Text: "the node was stopped before it had started"})
		p.finish(stop, "", nil)
		p.log.Info("node stopped")
		return nil
	case errors.Is(err, node.ErrAgain):
		return p.begin(ctx, start)
	case errors.Is(err, node.ErrForgotten) && p.journal.Leave:
		// A reset was interrupted when the cluster had let the node go.
		return errors.Join(p.wipe(), p.begin(ctx, start))
	case err != nil && (start != nil || l.up && errors.Is(err, node.ErrForgotten)):
		p.log.Error("the node is stopped", "err", err)
		why := failureOf(err)
		p.set(admin.AppIsStopped, why.Text)
		p.finish(start, "", why)
		return nil
	}
	return err
}
