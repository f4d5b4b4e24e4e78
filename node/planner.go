package node

import (
	"context"
	"time"

	"github.com/warrenmq/warren/core/catalog"
)

// planEvery is how often the planner looks without being told to.
const planEvery = time.Second

// A planner makes what the catalog should say, on the node that leads it. It is a
// goroutine of its own, for it waits for the catalog's answers: the keeper, and
// with it what beats know of the leader, never does.
type planner struct {
	n    *Node
	wake chan struct{}
}

func newPlanner(n *Node) *planner { return &planner{n: n, wake: make(chan struct{}, 1)} }

// poke has the planner look now; it never blocks.
func (p *planner) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *planner) run(ctx context.Context) {
	t := time.NewTicker(planEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-p.wake:
		}
		if p.n.catalog.Leading() && p.n.opened.Load() {
			p.look(ctx, p.n.catalog.View())
		}
	}
}

func (p *planner) look(ctx context.Context, v *catalog.View) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	if err := p.n.plan(ctx, v); err != nil && ctx.Err() == nil {
		p.n.log.Warn("who holds which shard could not be changed", "err", err)
	}
}
