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
	looker
	n *Node
}

func newPlanner(n *Node) *planner { return &planner{looker: newLooker(), n: n} }

func (p *planner) run(ctx context.Context) {
	p.every(ctx, planEvery, func() {
		if p.n.catalog.Leading() && p.n.opened.Load() {
			p.look(ctx, p.n.catalog.View())
		}
	})
}

func (p *planner) look(ctx context.Context, v *catalog.View) {
	ctx, cancel := context.WithTimeout(ctx, planTime)
	defer cancel()
	if err := p.n.plan(ctx, v); err != nil && ctx.Err() == nil {
		p.n.log.Warn("who holds which shard could not be changed", "err", err)
	}
}
