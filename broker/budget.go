package broker

import (
	"fmt"

	"github.com/warrenmq/warren/core/catalog"
)

// A budget is the memory gate of somebody's memory queues. Budgets form a chain:
// the queue's, the user's if one of his connections owns the queue, the vhost's,
// the node's. Each but the last is less than the next, so that whoever takes too
// much is slowed before all are.
type budget struct {
	memoryGate
	what, name string // "queue", and its name
	parent     *budget
	queues     int // that draw on it; guarded by the broker's mu
}

// add changes what is held, here and above. It may be called inside a shard's
// turn.
func (g *budget) add(delta int) {
	for ; g != nil; g = g.parent {
		g.memoryGate.add(delta)
	}
}

// full returns the first budget of the chain that is used up, nil if none is.
func (g *budget) full() *budget {
	for ; g != nil; g = g.parent {
		if g.shut.Load() {
			return g
		}
	}
	return nil
}

// String says whose budget is used up and how to raise it.
func (g *budget) String() string {
	whose := g.what
	if g.name != "" {
		whose += fmt.Sprintf(" '%s'", g.name)
	}
	return fmt.Sprintf("the queues in memory of %s hold all they may (%d bytes): consume from them, or raise memory.entries", whose, g.limit)
}

// An owner names who has a budget: a vhost, or a user within one.
type owner struct{ vhost, user string }

// budgets are those below the node's. Guarded by the broker's mu.
type budgets struct {
	queues map[uint64]*budget
	owners map[owner]*budget
}

// draw makes the budget of a queue; the broker's mu is held.
func (b *Broker) draw(q *catalog.Queue) *budget {
	o := owner{}
	if h := b.View().VHostByID(q.VHost); h != nil {
		o.vhost = h.Name
	}
	all := b.memory.limit
	up := b.share(o, &budget{what: "vhost", name: o.vhost, parent: &b.memory}, all-all/8)
	if s := b.mu.numbers[q.Owner.Number]; q.Exclusive && s != nil && q.Owner == s.owner {
		o.user = s.ident.User
		up = b.share(o, &budget{what: "user", name: o.user, parent: up}, all-all*3/16)
	}
	g := &budget{what: "queue", name: q.Name, parent: up}
	g.limit = all - all/4
	if b.mu.budgets.queues == nil {
		b.mu.budgets.queues = map[uint64]*budget{}
	}
	b.mu.budgets.queues[q.ID] = g
	return g
}

// share returns the budget of an owner, fresh if there is none, with one more
// queue that draws on it.
func (b *Broker) share(o owner, fresh *budget, limit int64) *budget {
	all := &b.mu.budgets
	if all.owners == nil {
		all.owners = map[owner]*budget{}
	}
	g := all.owners[o]
	if g == nil {
		g = fresh
		g.limit = limit
		all.owners[o] = g
	}
	g.queues++
	return g
}

// undraw lets a deleted queue's budget go, and those that nobody draws on any
// more; the broker's mu is held. What the queue still holds is given back
// through the chain, which it keeps.
func (b *Broker) undraw(id uint64) {
	all := &b.mu.budgets
	g := all.queues[id]
	if g == nil {
		return
	}
	delete(all.queues, id)
	for g = g.parent; g != &b.memory; g = g.parent {
		if g.queues--; g.queues > 0 {
			continue
		}
		o := owner{vhost: g.name}
		if g.what == "user" {
			o = owner{vhost: g.parent.name, user: g.name}
		}
		delete(all.owners, o)
	}
}

// budgetOf returns the budget of a queue in memory, the node's if the queue ends
// just now, nil if it is not in this node's memory.
func (b *Broker) budgetOf(q *catalog.Queue) *budget {
	if q.Shard != 0 || q.Incarnation != b.o.Incarnation {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if g := b.mu.budgets.queues[q.ID]; g != nil {
		return g
	}
	return &b.memory
}
