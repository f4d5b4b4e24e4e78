package admin

import (
	"context"
	"iter"
)

// VHosts are what there is to ask and order about vhosts.
type VHosts interface {
	// VHosts lists the vhosts by name.
	VHosts(ctx context.Context, q VHostsQuery) iter.Seq2[VHost, error]
	// SetTracing turns the firehose of a vhost on or off.
	SetTracing(ctx context.Context, o SetTracing) (Done, error)
}

// VHostsQuery asks for all vhosts.
type VHostsQuery struct{}

// SetTracing says whether a vhost is traced.
type SetTracing struct {
	VHost string `json:"vhost"`
	On    bool   `json:"on"`
}

// VHost is a namespace.
type VHost struct {
	Name             string   `json:"name"`
	Description      string   `json:"description,omitempty"`
	Tags             []string `json:"tags,omitempty"`
	DefaultQueueType string   `json:"default_queue_type,omitempty"`
	// Tracing says that the firehose is on.
	Tracing bool `json:"tracing"`
}
