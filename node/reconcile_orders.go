package node

import (
	"context"
	"fmt"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
)

// member returns the member with a name.
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
// barred; Intents tells how far the rest is. Without force it is refused if
// something would be lost.
func (n *Node) ForgetNode(_ context.Context, name string, _ bool) error {
	m, err := n.memberNamed(name)
	if err != nil {
		return err
	}
	if m.Incarnation != 0 || m.ID == uint64(n.dir.Node().Node) {
		return mustStop(name)
	}
	return admin.Unsupportedf("this version does not remove nodes from a cluster")
}

// Leave gives this node's replicas to the others and has the cluster forget it. It
// answers when that is done: the node is to be stopped then, and never comes back
// under this id. It is refused as long as nobody else can take what only this node
// holds.
func (n *Node) Leave(context.Context) error {
	if nodes(n.catalog.View()) == 1 {
		return nil // nobody is left behind
	}
	return admin.Unsupportedf("this version does not take nodes out of a cluster")
}

// Drain has a node lead nothing and serve no clients; it keeps its replicas. It
// answers when the node has handed over what it led.
func (n *Node) Drain(_ context.Context, name string) error {
	if _, err := n.memberNamed(name); err != nil {
		return err
	}
	return admin.Unsupportedf("this version does not drain nodes")
}

// Revive takes Drain back.
func (n *Node) Revive(_ context.Context, name string) error {
	if _, err := n.memberNamed(name); err != nil {
		return err
	}
	return admin.Unsupportedf("this version does not drain nodes")
}

// Intents lists what is under way, the oldest first.
func (n *Node) Intents() (all []admin.Intent) {
	v := n.catalog.View()
	for i := range v.Intents() {
		subject := fmt.Sprint(i.Subject)
		if m := v.Node(i.Subject); m != nil {
			subject = m.Name
		}
		all = append(all, admin.Intent{Kind: i.Kind.String(), Subject: subject, Begun: time.UnixMilli(i.BegunAt), Text: i.State})
	}
	return all
}
