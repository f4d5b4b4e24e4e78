package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
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

func describeVHost(h *catalog.VHost) admin.VHost {
	m := metaOf(h)
	return admin.VHost{Name: h.Name, Description: m.Description, DefaultQueueType: m.QueueType, Tags: m.Tags, Tracing: broker.Tracing(h)}
}

// SetTracing implements admin.VHosts.
func (o operations) SetTracing(ctx context.Context, x admin.SetTracing) (admin.Done, error) {
	return admin.Done{}, told(o.broker.Load().SetTracing(ctx, x.VHost, x.On))
}
