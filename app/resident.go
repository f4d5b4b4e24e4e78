package app

import (
	"cmp"
	"context"
	"os"
	"runtime"
	"strings"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/node"
	"github.com/warrenmq/warren/protocol/amqp091"
)

// A resident answers for the process: implements api.Resident.
type resident struct{ p *Process }

// Life implements admin.Lives.
func (r resident) Life(_ context.Context, q admin.LifeQuery) (admin.Life, error) {
	p := r.p
	rest, err := node.Look(p.base)
	if err != nil {
		p.log.Debug("the data directory of a stopped node could not be read", "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.mu.is
	x.Members = append([]string{}, rest.Members...)
	if len(x.Members) == 0 {
		x.Members = []string{p.base.Name}
	}
	if x.State == admin.AppStarts && p.mu.node != nil {
		if w, ok := p.mu.node.(waiter); ok {
			x.Why = cmp.Or(x.Why, w.Waiting())
		}
	}
	for i := len(p.mu.tasks) - 1; i >= 0; i-- {
		if t := p.mu.tasks[i]; q.Task == 0 || t.ID == q.Task {
			copied := *t
			x.Task = &copied
			break
		}
	}
	return x, nil
}

func (r resident) state() admin.AppState {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.p.mu.is.State
}

// StopApp implements admin.Lives.
func (r resident) StopApp(ctx context.Context, _ admin.StopApp) (admin.Task, error) {
	return r.p.give(ctx, order{what: stopApp})
}

// StartApp implements admin.Lives.
func (r resident) StartApp(ctx context.Context, _ admin.StartApp) (admin.Task, error) {
	return r.p.give(ctx, order{what: startApp})
}

// mostName bounds what is taken as the name or the address of a node.
const mostName = 300

// JoinCluster implements admin.Lives.
func (r resident) JoinCluster(ctx context.Context, x admin.JoinCluster) (admin.Task, error) {
	if x.Member == "" || len(x.Member) > mostName {
		return admin.Task{}, admin.Invalidf("the name of a node has 1 to %d bytes", mostName)
	}
	return r.p.give(ctx, order{
		what: "join_cluster", state: admin.AppJoins,
		run: func(ctx context.Context) (string, error) { return r.p.join(ctx, x) },
	})
}

// ResetApp implements admin.Lives.
func (r resident) ResetApp(ctx context.Context, x admin.ResetApp) (admin.Task, error) {
	what := "reset"
	if x.Force {
		what = "force_reset"
	}
	return r.p.give(ctx, order{
		what: what, state: admin.AppResets,
		run: func(ctx context.Context) (string, error) { return r.p.reset(ctx, x) },
	})
}

// Identity implements api.Resident.
func (r resident) Identity(context.Context) (admin.Identity, error) {
	x := admin.Identity{Node: r.p.base.Name, Version: r.p.base.Version, PID: os.Getpid()}
	if s := r.state(); s != admin.AppRuns {
		x.State = s
	}
	return x, nil
}

// Status implements api.Resident: of a node that does not run.
func (r resident) Status(context.Context) (admin.Status, error) {
	o := r.p.base
	return admin.Status{
		Node: o.Name, Version: o.Version, Started: r.p.start, DataDir: o.DataDir,
		UptimeSeconds: int64(r.p.clock.Mono().Seconds()), Addresses: map[string]string{},
		Limiting: []string{"no client is served: " + strings.TrimPrefix(r.health().Line(), string(health.Stopped)+": ")},
	}, nil
}

// Overview implements api.Resident: of a node that does not run.
func (r resident) Overview(ctx context.Context) (admin.Overview, error) {
	st, err := r.Status(ctx)
	if err != nil {
		return admin.Overview{}, err
	}
	l, err := r.Life(ctx, admin.LifeQuery{})
	if err != nil {
		return admin.Overview{}, err
	}
	x := admin.Overview{
		Status: st, PID: os.Getpid(), OS: runtime.GOOS + "/" + runtime.GOARCH, Runtime: runtime.Version(),
		Goroutines: runtime.NumGoroutine(), Compatible: amqp091.CompatVersion, ConfigFiles: r.p.base.ConfigFiles,
		LogFiles: []string{"<stderr>"}, Files: admin.Files{Used: -1, Limit: -1}, Alarms: []string{},
	}
	for _, name := range l.Members {
		x.Members = append(x.Members, admin.Member{Name: name})
	}
	return x, nil
}

// Stop implements api.Resident: the process ends.
func (r resident) Stop(_ context.Context, x admin.StopNode) (admin.Done, error) {
	if len(x.Reason) > mostName {
		return admin.Done{}, admin.Invalidf("the reason may have %d bytes", mostName)
	}
	r.p.log.Info("an operator stops the process", "text", x.Reason)
	r.p.halt()
	return admin.Done{}, nil
}
