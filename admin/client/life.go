package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Life is how a node is within its process.
	Life = admin.Life
	// LifeQuery asks for it.
	LifeQuery = admin.LifeQuery
	// AppState is what a node is at.
	AppState = admin.AppState
	// Task is an order that was taken.
	Task = admin.Task
	// StopApp stops a node.
	StopApp = admin.StopApp
	// StartApp starts one.
	StartApp = admin.StartApp
	// JoinCluster makes one a member.
	JoinCluster = admin.JoinCluster
	// ResetApp has one begin anew.
	ResetApp = admin.ResetApp
)

// States of a node.
const (
	AppRuns      = admin.AppRuns
	AppIsStopped = admin.AppIsStopped
	AppStarts    = admin.AppStarts
)

var _ admin.Lives = (*Client)(nil)

// Life implements admin.Lives.
func (c *Client) Life(ctx context.Context, q LifeQuery) (Life, error) {
	return ask[LifeQuery, Life](ctx, c, "/api/v1/life", q)
}

// StopApp implements admin.Lives.
func (c *Client) StopApp(ctx context.Context, o StopApp) (Task, error) {
	return act[StopApp, Task](ctx, c, "/api/v1/life/stop", o)
}

// StartApp implements admin.Lives.
func (c *Client) StartApp(ctx context.Context, o StartApp) (Task, error) {
	return act[StartApp, Task](ctx, c, "/api/v1/life/start", o)
}

// JoinCluster implements admin.Lives.
func (c *Client) JoinCluster(ctx context.Context, o JoinCluster) (Task, error) {
	return act[JoinCluster, Task](ctx, c, "/api/v1/life/join", o)
}

// ResetApp implements admin.Lives.
func (c *Client) ResetApp(ctx context.Context, o ResetApp) (Task, error) {
	return act[ResetApp, Task](ctx, c, "/api/v1/life/reset", o)
}

type (
	// Names are the nodes of this machine by name.
	Names = admin.Names
	// Named is one of them.
	Named = admin.Named
)

// NamesDir is where they are.
func NamesDir(getenv func(string) string) string { return admin.NamesDir(getenv) }
