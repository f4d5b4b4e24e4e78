package admin

import "context"

// Clusters are what there is to ask and order about the cluster of a node.
type Clusters interface {
	// Cluster describes the cluster as this node sees it, with what the others
	// that run say of themselves.
	Cluster(ctx context.Context, q ClusterQuery) (Cluster, error)
	// ForgetNode has the cluster go on without a node that is stopped.
	ForgetNode(ctx context.Context, o ForgetNode) (Done, error)
}

// ClusterQuery asks for the cluster.
type ClusterQuery struct{}

// ForgetNode names the node to go on without.
type ForgetNode struct {
	Node string `json:"node"`
	// Force allows the loss of what only that node holds.
	Force bool `json:"force,omitempty"`
}

// A Cluster is several nodes that make one broker.
type Cluster struct {
	Name    string        `json:"name"`
	Members []MemberState `json:"members"` // by name
	// Intents are what is under way, the oldest first.
	Intents []Intent `json:"intents,omitempty"`
}

// A MemberState is a node of the cluster and what is known of it now.
type MemberState struct {
	Member
	// Draining says that it is under maintenance.
	Draining bool `json:"draining,omitempty"`
	// About is what it says of itself; nil: it was not reached.
	About *About `json:"about,omitempty"`
}

// About is what a node says of itself to others.
type About struct {
	Version    string     `json:"version"`
	Compatible string     `json:"compatible"`
	Runtime    string     `json:"runtime"`
	CPUs       int        `json:"cpus"`
	Alarms     []string   `json:"alarms,omitempty"`
	Listeners  []Listener `json:"listeners,omitempty"`
	// Unreached are members that run, as far as the cluster knows, and are not
	// reached from it.
	Unreached []string `json:"unreached,omitempty"`
}
