package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/core/catalog"
)

// VHosts implements admin.VHosts.
func (o operations) VHosts(context.Context, admin.VHostsQuery) iter.Seq2[admin.VHost, error] {
	return func(yield func(admin.VHost, error) bool) {
		for h := range o.catalog.View().VHosts() {
			if !yield(describeVHost(h), nil) {
				return
			}
		}
	}
}

// attrTracing says that the firehose of a vhost is on.
const attrTracing = "tracing"

func describeVHost(h *catalog.VHost) admin.VHost {
	m := metaOf(h)
	v, _ := h.Attrs.Lookup(attrTracing)
	return admin.VHost{Name: h.Name, Description: m.Description, DefaultQueueType: m.QueueType, Tags: m.Tags, Tracing: v.Bool()}
}
