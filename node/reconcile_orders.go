package node

import (
	"context"
	"fmt"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/internal/step"
)

// memberNamed returns the member with a name.
func (n *Node) memberNamed(name string) (*catalog.Node, error) {
	for m := range n.catalog.View().Nodes() {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, &admin.Error{Kind: admin.NotFound, Thing: admin.NodeThing, Name: name, Text: "The node selected is not in the cluster."}
}

// mustStop is what is said of a node that runs and should not.
func mustStop(name string) error {
	return &admin.Error{Kind: admin.InUse, Thing: admin.NodeThing, Name: name, Text: fmt.Sprintf(
		"RabbitMQ on node %s must be stopped with 'rabbitmqctl -n %s stop_app' before it can be removed", name, name)}
}

// ForgetNode has the cluster go on without a node that is stopped: it is barred,
// and others take over its replicas. It answers when that is decided and the node
// barred, and waits a little for the rest, of which Intents tells how far it is.
// Without force it is refused if something would be lost, or stand still.
func (n *Node) ForgetNode(ctx context.Context, name string, force bool) error {
	if err := n.majority(); err != nil {
		return err
	}
	if err := n.catalog.Barrier(ctx); err != nil { // one that has just stopped is known to have
		return err
	}
	m, err := n.memberNamed(name)
	if err != nil {
		return err
	}
	if m.Incarnation != 0 || m.ID == uint64(n.dir.Node().Node) {
		return mustStop(name)
	}
	v := n.catalog.View()
	if !force {
		if err := n.mayForget(v, m); err != nil {
			return err
		}
	}
	if have := v.IntentFor(catalog.Forget, m.ID); have == nil || force && !reconcile.Forced(have) {
		if err := n.intend(ctx, have, &catalog.AddIntent{Kind: catalog.Forget, Subject: m.ID, Attrs: reconcile.Attrs(reconcile.Held(v, m.ID), force)}); err != nil {
			return err
		}
		step.At(step.NodeForgot)
		n.log.Info("a node is forgotten", "peer", name)
	}
	n.planner.poke()
	wait, cancel := context.WithTimeout(ctx, forgetTime)
	defer cancel()
	_ = await(wait, "forget a node", func() bool { return n.catalog.View().Node(m.ID) == nil }) // it goes on by itself
	return nil
}

// majority says why nothing can be changed now, if this node has no majority of
// its cluster.
func (n *Node) majority() error {
	d := n.member.Load()
	if d == nil || d.Serving() {
		return nil
	}
	return &admin.Error{Kind: admin.Unavailable, Text: "nothing can be changed without a majority of the cluster: " + d.Status().Text}
}

// mayForget says what would be lost without a node, or stand still.
func (n *Node) mayForget(v *catalog.View, m *catalog.Node) error {
	refused := func(format string, args ...any) error {
		return &admin.Error{Kind: admin.Denied, Thing: admin.NodeThing, Name: m.Name, Text: fmt.Sprintf(format, args...)}
	}
	if only := reconcile.Only(v, m.ID); len(only) > 0 {
		return refused("node %s alone holds %s: they would be lost. Start it again, or, to lose them, forget it by force (--force)", m.Name, reconcile.Lost(v, only))
	}
	if stuck := reconcile.Stuck(v, m.ID); len(stuck) > 0 {
		return refused("without node %s and others that do not run, %d shards would have no majority and stand still, with %s. Start the others first", m.Name, len(stuck), reconcile.Lost(v, stuck))
	}
	if takers(v, m.ID) == 0 {
		return refused("no node that runs can take over what node %s holds", m.Name)
	}
	return nil
}

// takers counts the nodes that can take over what one holds.
func takers(v *catalog.View, from uint64) (count int) {
	for m := range v.Nodes() {
		if m.ID != from && m.Incarnation != 0 && !reconcile.Going(v, m) {
			count++
		}
	}
	return count
}

// intend records an intent in the place of what there was before, if anything.
func (n *Node) intend(ctx context.Context, before *catalog.Intent, cmd *catalog.AddIntent) error {
	if before != nil {
		if _, err := n.do(ctx, &catalog.EndIntent{ID: before.ID}); err != nil {
			return err
		}
	}
	r, err := n.catalog.Do(ctx, cmd)
	if err != nil {
		return err
	}
	switch r.Code {
	case catalog.Done, catalog.Existed, catalog.InUse: // somebody was faster
		return nil
	case catalog.Refused:
		if m := n.catalog.View().Node(cmd.Subject); m != nil {
			return mustStop(m.Name)
		}
	}
	return fmt.Errorf("catalog: intend to %s: %s %s", cmd.Kind, r.Code, r.Missing)
}

// Leave gives this node's replicas to the others and has the cluster forget it. It
// answers when that is done: the node is to be stopped then, and never comes back
// under this id. It is refused as long as nobody else can take what this node
// holds; if ctx ends it goes on, and may be called again.
func (n *Node) Leave(ctx context.Context) error {
	v, self := n.catalog.View(), uint64(n.dir.Node().Node)
	if nodes(v) == 1 {
		return nil // nobody is left behind
	}
	if v.Barred(self) {
		return nil
	}
	if takers(v, self) == 0 {
		return &admin.Error{Kind: admin.Denied, Thing: admin.NodeThing, Name: n.o.Name, Text: fmt.Sprintf(
			"node %s can not leave: no other node of the cluster runs that could take what it holds", n.o.Name)}
	}
	n.left.Store(true) // its life ends with it, and that is no accident
	if v.IntentFor(catalog.Reset, self) == nil {
		if err := n.intend(ctx, nil, &catalog.AddIntent{Kind: catalog.Reset, Subject: self, Attrs: reconcile.Attrs(reconcile.Held(v, self), false)}); err != nil {
			n.left.Store(false)
			return err
		}
		step.At(step.NodeLeaving)
		n.log.Info("the node leaves its cluster")
	}
	n.planner.poke()
	out := false
	err := await(ctx, "leave the cluster", func() bool {
		v := n.catalog.View()
		out = v.Node(self) == nil || v.Barred(self)
		return out || v.IntentFor(catalog.Reset, self) == nil
	})
	if err == nil && !out {
		n.left.Store(false)
		err = &admin.Error{Kind: admin.Denied, Thing: admin.NodeThing, Name: n.o.Name, Text: fmt.Sprintf(
			"node %s does not leave: all others are about to leave or to be forgotten", n.o.Name)}
	}
	return err
}

// Drain has a node lead nothing and serve no clients; it keeps its replicas. It
// answers when the node has handed over what another can lead.
func (n *Node) Drain(ctx context.Context, name string) error {
	m, err := n.memberNamed(name)
	if err != nil {
		return err
	}
	if _, err := n.do(ctx, &catalog.SetNodeState{ID: m.ID, State: catalog.Draining}); err != nil {
		return err
	}
	step.At(step.NodeDraining)
	if m.Incarnation == 0 {
		return nil // it leads nothing
	}
	if !n.clustered() { // nobody else is there to take anything
		n.doors.set(true)
		return await(ctx, "close the listeners", n.shut.Load)
	}
	if n.catalog.View().IntentFor(catalog.Drain, m.ID) == nil {
		if err := n.intend(ctx, nil, &catalog.AddIntent{Kind: catalog.Drain, Subject: m.ID}); err != nil {
			return err
		}
	}
	n.log.Info("a node is put under maintenance", "peer", name)
	wait, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := await(wait, "drain a node", func() bool { return n.catalog.View().IntentFor(catalog.Drain, m.ID) == nil }); err != nil {
		return &admin.Error{Kind: admin.Timeout, Thing: admin.NodeThing, Name: name, Text: fmt.Sprintf(
			"node %s serves no clients any more, but could not hand over all it leads in %s: are the other nodes up?", name, drainTime)}
	}
	return nil
}

// Revive takes Drain back.
func (n *Node) Revive(ctx context.Context, name string) error {
	m, err := n.memberNamed(name)
	if err != nil {
		return err
	}
	if i := n.catalog.View().IntentFor(catalog.Drain, m.ID); i != nil {
		if _, err := n.do(ctx, &catalog.EndIntent{ID: i.ID}); err != nil {
			return err
		}
	}
	if _, err := n.do(ctx, &catalog.SetNodeState{ID: m.ID, State: catalog.Serving}); err != nil {
		return err
	}
	if !n.clustered() {
		n.doors.set(false)
	}
	step.At(step.NodeRevived)
	n.log.Info("a node is back from maintenance", "peer", name)
	return nil
}

const (
	// forgetTime is how long the order to forget a node waits for that to be done.
	forgetTime = 5 * time.Second
	// drainTime bounds a drain.
	drainTime = 30 * time.Second
)

// Intents lists what is under way, the oldest first, and behind it the shards that
// have other members than they should have.
func (n *Node) Intents() (all []admin.Intent) {
	v := n.catalog.View()
	for i := range v.Intents() {
		subject := fmt.Sprint(i.Subject)
		if m := v.Node(i.Subject); m != nil {
			subject = m.Name
		}
		all = append(all, admin.Intent{Kind: i.Kind.String(), Subject: subject, Begun: time.UnixMilli(i.BegunAt), Text: reconcile.Progress(v, i) + n.ledBy(i)})
	}
	for s := range v.Shards() {
		if text := reconcile.Shard(v, s); text != "" {
			all = append(all, admin.Intent{Kind: catalog.Grow.String(), Subject: fmt.Sprint("shard ", s.ID), Text: text})
		}
	}
	return all
}

// ledBy says what a node that is to lead nothing leads yet, as far as this node
// holds it too.
func (n *Node) ledBy(i *catalog.Intent) string {
	if i.Kind != catalog.Drain {
		return ""
	}
	led := 0
	for _, g := range n.host.Groups() {
		if g.Status().Leader == i.Subject {
			led++
		}
	}
	return fmt.Sprintf(": %d to go of those that are held here", led)
}
