package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Requests of the orders about watermarks.
type (
	// MemoryHighWatermark is a fraction of the memory there is, or bytes.
	MemoryHighWatermark = admin.MemoryHighWatermark
	// DiskFreeLimit is bytes, or a fraction or multiple of the memory there is.
	DiskFreeLimit = admin.DiskFreeLimit
)

// SetMemoryHighWatermark implements admin.Watermarks.
func (c *Client) SetMemoryHighWatermark(ctx context.Context, q MemoryHighWatermark) (Done, error) {
	return act[MemoryHighWatermark, Done](ctx, c, "/api/v1/watermarks/memory", q)
}

// SetDiskFreeLimit implements admin.Watermarks.
func (c *Client) SetDiskFreeLimit(ctx context.Context, q DiskFreeLimit) (Done, error) {
	return act[DiskFreeLimit, Done](ctx, c, "/api/v1/watermarks/disk", q)
}
