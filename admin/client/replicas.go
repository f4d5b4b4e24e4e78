package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// QueueOf names a queue.
	QueueOf = admin.QueueOf
	// ReplicaOn names a queue and a node.
	ReplicaOn = admin.ReplicaOn
	// Replica is what one node has of a queue.
	Replica = admin.Replica
	// ReplicaList is all of them.
	ReplicaList = admin.ReplicaList
	// GrowQueues says where replicas are added.
	GrowQueues = admin.GrowQueues
	// ShrinkQueues says where replicas are taken away.
	ShrinkQueues = admin.ShrinkQueues
	// Grown tells for each queue what became of it.
	Grown = admin.Grown
	// GrownQueue is one of them.
	GrownQueue = admin.GrownQueue
	// Rebalance says for which queues leads are spread.
	Rebalance = admin.Rebalance
	// Balance tells how many queues each node leads.
	Balance = admin.Balance
	// NodeLeads is how many queues a node leads.
	NodeLeads = admin.NodeLeads
	// Drain puts the node under maintenance.
	Drain = admin.Drain
	// Revive ends that.
	Revive = admin.Revive
)

// QueueReplicas implements admin.Replicas.
func (c *Client) QueueReplicas(ctx context.Context, q QueueOf) (ReplicaList, error) {
	return ask[QueueOf, ReplicaList](ctx, c, "/api/v1/replicas", q)
}

// AddReplica implements admin.Replicas.
func (c *Client) AddReplica(ctx context.Context, o ReplicaOn) (Done, error) {
	return act[ReplicaOn, Done](ctx, c, "/api/v1/replicas/add", o)
}

// DeleteReplica implements admin.Replicas.
func (c *Client) DeleteReplica(ctx context.Context, o ReplicaOn) (Done, error) {
	return act[ReplicaOn, Done](ctx, c, "/api/v1/replicas/delete", o)
}

// GrowQueues implements admin.Replicas.
func (c *Client) GrowQueues(ctx context.Context, o GrowQueues) (Grown, error) {
	return act[GrowQueues, Grown](ctx, c, "/api/v1/replicas/grow", o)
}

// ShrinkQueues implements admin.Replicas.
func (c *Client) ShrinkQueues(ctx context.Context, o ShrinkQueues) (Grown, error) {
	return act[ShrinkQueues, Grown](ctx, c, "/api/v1/replicas/shrink", o)
}

// Rebalance implements admin.Replicas.
func (c *Client) Rebalance(ctx context.Context, o Rebalance) (Balance, error) {
	return act[Rebalance, Balance](ctx, c, "/api/v1/replicas/rebalance", o)
}

// Drain implements admin.Replicas.
func (c *Client) Drain(ctx context.Context, o Drain) (Done, error) {
	return act[Drain, Done](ctx, c, "/api/v1/maintenance/drain", o)
}

// Revive implements admin.Replicas.
func (c *Client) Revive(ctx context.Context, o Revive) (Done, error) {
	return act[Revive, Done](ctx, c, "/api/v1/maintenance/revive", o)
}
