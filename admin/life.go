package admin

import (
	"context"
	"time"
)

// Lives are what there is to ask and order about a node's life within its
// process. The process answers, also while the node is stopped: what RabbitMQ's
// users know as the application and the runtime around it.
//
// An order is answered when it is taken; Life tells how it ended.
type Lives interface {
	Life(ctx context.Context, q LifeQuery) (Life, error)
	// StopApp stops the node and leaves the process.
	StopApp(ctx context.Context, o StopApp) (Task, error)
	// StartApp starts a node that was stopped.
	StartApp(ctx context.Context, o StartApp) (Task, error)
	// JoinCluster makes a stopped node a member of another's cluster.
	JoinCluster(ctx context.Context, o JoinCluster) (Task, error)
	// ResetApp has a stopped node leave its cluster and begin anew, empty.
	ResetApp(ctx context.Context, o ResetApp) (Task, error)
}

// An AppState is what a node is at within its process.
type AppState string

// States of a node.
const (
	AppRuns      AppState = "running"
	AppIsStopped AppState = "stopped"
	AppStarts    AppState = "starting"
	AppStops     AppState = "stopping"
	AppJoins     AppState = "joining"
	AppResets    AppState = "resetting"
)

// LifeQuery asks how a node is. Task is the order that is asked after; 0: the
// last.
type LifeQuery struct {
	Task uint64 `json:"task,omitempty"`
}

// Life is how a node is.
type Life struct {
	State AppState  `json:"state"`
	Since time.Time `json:"since"`
	// Why says what a node waits for that starts, or why one is stopped.
	Why string `json:"why,omitempty"`
	// Members are the nodes of its cluster, as far as it knew them when it ran.
	Members []string `json:"members"`
	// Task is the order that was asked after, nil if it is not known any more.
	Task *Task `json:"task,omitempty"`
}

// A Task is an order that was taken.
type Task struct {
	ID   uint64 `json:"id"`
	What string `json:"what"`
	// Done says that it has ended, Text what there is to say of it, and Error
	// why it failed.
	Done  bool   `json:"done"`
	Text  string `json:"text,omitempty"`
	Error *Error `json:"error,omitempty"`
}

// StopApp orders a stop.
type StopApp struct{}

// StartApp orders a start.
type StartApp struct{}

// JoinCluster orders a node to become a member.
type JoinCluster struct {
	// Member is the name of a node of the cluster, or the address at which other
	// nodes reach it.
	Member string `json:"member"`
	// Force allows a node that holds data to lose it.
	Force bool `json:"force,omitempty"`
}

// ResetApp orders a node to begin anew.
type ResetApp struct {
	// Force does without leaving the cluster first.
	Force bool `json:"force,omitempty"`
}
