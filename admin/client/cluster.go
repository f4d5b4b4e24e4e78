package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Cluster is several nodes that make one broker.
	Cluster = admin.Cluster
	// ClusterQuery asks for it.
	ClusterQuery = admin.ClusterQuery
	// Member is a node by name.
	Member = admin.Member
	// MemberState is one of its nodes.
	MemberState = admin.MemberState
	// Listener is an open address.
	Listener = admin.Listener
	// Intent is a change of the cluster that is under way.
	Intent = admin.Intent
	// About is what a node says of itself.
	About = admin.About
	// ForgetNode has the cluster go on without a node.
	ForgetNode = admin.ForgetNode
)

// Cluster implements admin.Clusters.
func (c *Client) Cluster(ctx context.Context, q ClusterQuery) (Cluster, error) {
	return ask[ClusterQuery, Cluster](ctx, c, "/api/v1/cluster", q)
}

// ForgetNode implements admin.Clusters.
func (c *Client) ForgetNode(ctx context.Context, o ForgetNode) (Done, error) {
	return act[ForgetNode, Done](ctx, c, "/api/v1/cluster/forget", o)
}
