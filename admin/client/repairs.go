package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// DamagedShards are shards that a node refuses to open.
	DamagedShards = admin.DamagedShards
	// DamagedShard is one of them.
	DamagedShard = admin.DamagedShard
	// DamagedQuery asks for all.
	DamagedQuery = admin.DamagedQuery
	// GiveUpShards names some.
	GiveUpShards = admin.GiveUpShards
)

// DamagedShards implements admin.Repairs.
func (c *Client) DamagedShards(ctx context.Context, q DamagedQuery) (DamagedShards, error) {
	return ask[DamagedQuery, DamagedShards](ctx, c, "/api/v1/repairs", q)
}

// GiveUpShards implements admin.Repairs.
func (c *Client) GiveUpShards(ctx context.Context, o GiveUpShards) (Done, error) {
	return act[GiveUpShards, Done](ctx, c, "/api/v1/repairs/give-up", o)
}
