package admin

import "context"

// VHostOrders make and remove vhosts.
type VHostOrders interface {
	// AddVHost makes a vhost; one that exists is no error.
	AddVHost(ctx context.Context, q NewVHost) (Done, error)
	// SetVHostTags replaces a vhost's tags.
	SetVHostTags(ctx context.Context, q VHostTags) (Done, error)
	// DeleteVHost removes a vhost with everything in it, and closes its
	// connections.
	DeleteVHost(ctx context.Context, q VHostName) (Done, error)
}

// A VHostName names a vhost.
type VHostName struct {
	Name string `json:"name"`
}

// A NewVHost is a vhost to be made.
type NewVHost struct {
	Name             string   `json:"name"`
	Description      string   `json:"description,omitempty"`
	Tags             []string `json:"tags,omitempty"`
	DefaultQueueType string   `json:"default_queue_type,omitempty"`
}

// VHostTags are the tags a vhost is to have.
type VHostTags struct {
	Name string   `json:"name"`
	Tags []string `json:"tags"`
}
