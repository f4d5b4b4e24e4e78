package admin

import "context"

// Watermarks are the limits of a node at which it takes no publishes. What is
// set here holds until the node stops.
type Watermarks interface {
	// SetMemoryHighWatermark sets what the node may hold in memory. 0 raises the
	// alarm at once.
	SetMemoryHighWatermark(ctx context.Context, q MemoryHighWatermark) (Done, error)
	// SetDiskFreeLimit sets what has to be free on the disk.
	SetDiskFreeLimit(ctx context.Context, q DiskFreeLimit) (Done, error)
}

// MemoryHighWatermark is a fraction of the memory there is, or bytes.
type MemoryHighWatermark struct {
	Fraction *float64 `json:"fraction,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
}

// DiskFreeLimit is bytes, or a fraction or multiple of the memory there is.
type DiskFreeLimit struct {
	MemoryFraction *float64 `json:"memory_fraction,omitempty"`
	Bytes          int64    `json:"bytes,omitempty"`
}
