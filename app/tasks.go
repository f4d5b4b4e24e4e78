package app

import (
	"context"
	"errors"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/node"
)

// An order is what an operator wants.
type order struct {
	what string
	// run does the work of an order that takes a stopped node; nil: stop or start.
	run   func(ctx context.Context) (text string, err error)
	state admin.AppState // while it runs
	reply chan taken     // has room for one
}

type taken struct {
	task admin.Task
	err  error
}

// What orders are called, for people.
const (
	stopApp  = "stop_app"
	startApp = "start_app"
)

// An outcome is how the work of an order ended.
type outcome struct {
	text string
	err  error
}

// maxTasks is how many orders are remembered.
const maxTasks = 16

// give hands an order to the loop.
func (p *Process) give(ctx context.Context, o order) (admin.Task, error) {
	o.reply = make(chan taken, 1)
	select {
	case p.orders <- o:
	case <-p.over:
		return admin.Task{}, busyf("the process is ending")
	case <-ctx.Done():
		return admin.Task{}, ctx.Err()
	}
	t := <-o.reply
	return t.task, t.err
}

// take carries out an order, or begins to.
func (p *Process) take(ctx context.Context, o order) {
	t, err := p.carryOut(ctx, o)
	if err != nil {
		o.reply <- taken{err: err}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.reply <- taken{task: *t}
}

func (p *Process) carryOut(ctx context.Context, o order) (*admin.Task, error) {
	switch {
	case p.working != nil:
		return nil, busyf("the node is at another command: " + p.working.What)
	case o.what == stopApp:
		return p.stop(), nil
	case p.stopping != nil:
		return nil, busyf("the node is stopping")
	case o.what == startApp:
		return p.startAgain(ctx), nil
	case p.life != nil:
		return nil, &admin.Error{Kind: admin.AppRunning, Text: "the node is running in its process"}
	}
	p.working = p.newTask(o.what)
	p.set(o.state, "")
	go func() { // received by Run
		text, err := o.run(ctx)
		p.work <- outcome{text, err}
	}()
	return p.working, nil
}

func busyf(text string) error { return &admin.Error{Kind: admin.Unavailable, Text: text} }

func (p *Process) stop() *admin.Task {
	switch {
	case p.stopping != nil:
		return p.stopping
	case p.life == nil:
		t := p.newTask(stopApp)
		p.finish(t, "", nil)
		return t
	}
	p.log.Info("an operator stops the node", "text", stopApp)
	p.held = p.life.holds()
	p.stopping = p.newTask(stopApp)
	p.set(admin.AppStops, "")
	p.life.cancel()
	return p.stopping
}

// holds is what a node that serves has, nil if that is not known.
func (l *life) holds() *held {
	h, ok := l.node.(holder)
	if !ok || !l.up {
		return nil
	}
	what, yes := h.Holds()
	return &held{what, yes}
}

func (p *Process) startAgain(ctx context.Context) *admin.Task {
	if p.starting != nil {
		return p.starting
	}
	t := p.newTask(startApp)
	switch {
	case p.life == nil:
		p.log.Info("an operator starts the node", "text", startApp)
		if err := p.begin(ctx, t); err != nil {
			p.set(admin.AppIsStopped, err.Error())
			p.finish(t, "", failureOf(err))
		}
	case p.life.up:
		p.finish(t, "", nil)
	default:
		p.starting = t
	}
	return t
}

// worked notes how the work of an order ended.
func (p *Process) worked(r outcome) {
	t := p.working
	p.working = nil
	p.set(admin.AppIsStopped, "")
	if r.err != nil {
		p.log.Warn("an operator's command failed", "op", t.What, "err", r.err)
	} else {
		p.log.Info("an operator's command is done", "op", t.What, "text", r.text)
	}
	p.finish(t, r.text, failureOf(r.err))
}

func (p *Process) newTask(what string) *admin.Task {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.lastID++
	t := &admin.Task{ID: p.mu.lastID, What: what}
	p.mu.tasks = append(p.mu.tasks, t)
	if len(p.mu.tasks) > maxTasks {
		p.mu.tasks = p.mu.tasks[1:]
	}
	return t
}

// finish ends an order, if there is one.
func (p *Process) finish(t *admin.Task, text string, why *admin.Error) {
	if t == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t.Done, t.Text, t.Error = true, text, why
}

// set notes what the node is at.
func (p *Process) set(state admin.AppState, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.is.State, p.mu.is.Since, p.mu.is.Why = state, p.clock.Now(), why
	p.mu.node = nil
	if p.life != nil {
		p.mu.node = p.life.node
	}
}

// failureOf makes what an operator is told of an error.
func failureOf(err error) *admin.Error {
	var e *admin.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, node.ErrForgotten):
		return &admin.Error{Kind: admin.Unavailable, Text: err.Error() + ". " + HowToReturn}
	}
	return &admin.Error{Kind: admin.Unavailable, Text: err.Error()}
}

// HowToReturn says what to do with a node that its cluster has removed.
const HowToReturn = "To use it again: 'rabbitmqctl reset' while it is stopped, and 'rabbitmqctl join_cluster' for it to be a member again, under a new id"
