package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Overview describes a node and its process.
	Overview = admin.Overview
	// MemoryPart is what one use of memory takes.
	MemoryPart = admin.MemoryPart
	// Setting is one key of the configuration.
	Setting = admin.Setting
	// SettingsQuery asks for all settings.
	SettingsQuery = admin.SettingsQuery
	// StopNode has a node stop.
	StopNode = admin.StopNode
	// FreeMemory has a node collect its memory.
	FreeMemory = admin.FreeMemory
)

// Overview implements admin.Processes.
func (c *Client) Overview(ctx context.Context) (Overview, error) {
	return ask[struct{}, Overview](ctx, c, "/api/v1/overview", struct{}{})
}

// Settings implements admin.Processes.
func (c *Client) Settings(ctx context.Context, q SettingsQuery) iter.Seq2[Setting, error] {
	return list[SettingsQuery, Setting](ctx, c, "/api/v1/settings", q)
}

// Stop implements admin.Processes.
func (c *Client) Stop(ctx context.Context, o StopNode) (Done, error) {
	return act[StopNode, Done](ctx, c, "/api/v1/stop", o)
}

// FreeMemory implements admin.Processes.
func (c *Client) FreeMemory(ctx context.Context, o FreeMemory) (Done, error) {
	return act[FreeMemory, Done](ctx, c, "/api/v1/memory/free", o)
}
