package node

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
)

// VHostLimits implements admin.Limits.
func (n *Node) VHostLimits(_ context.Context, q admin.LimitsOf) iter.Seq2[admin.LimitsList, error] {
	return func(yield func(admin.LimitsList, error) bool) {
		v := n.catalog.View()
		if q.Name != "" {
			if h := v.VHost(q.Name); h == nil {
				yield(admin.LimitsList{}, admin.NotFoundf(admin.VHostThing, q.Name))
			} else {
				yield(admin.LimitsList{Name: h.Name, Limits: broker.LimitsJSON(h.Limits)}, nil)
			}
			return
		}
		for h := range v.VHosts() {
			if h.Limits != (catalog.Limits{}) && !yield(admin.LimitsList{Name: h.Name, Limits: broker.LimitsJSON(h.Limits)}, nil) {
				return
			}
		}
	}
}

// SetVHostLimits implements admin.Limits.
func (n *Node) SetVHostLimits(ctx context.Context, q admin.NewLimits) (admin.Done, error) {
	if n.catalog.View().VHost(q.Name) == nil {
		return admin.Done{}, admin.NotFoundf(admin.VHostThing, q.Name)
	}
	done, err := carried(n.broker.Load().SetVHostLimits(ctx, q.Name, q.Limits))
	if err == nil {
		n.log.Info("limits of a vhost set", "vhost", q.Name, "text", string(q.Limits))
	}
	return done, err
}

// ClearVHostLimits implements admin.Limits.
func (n *Node) ClearVHostLimits(ctx context.Context, q admin.LimitsOf) (admin.Done, error) {
	if h := n.catalog.View().VHost(q.Name); h == nil || h.Limits == (catalog.Limits{}) {
		return admin.Done{}, admin.NotFoundf(admin.ParameterThing, "limits")
	}
	return carried(n.broker.Load().SetVHostLimits(ctx, q.Name, []byte("{}")))
}

// UserLimits implements admin.Limits.
func (n *Node) UserLimits(_ context.Context, q admin.LimitsOf) iter.Seq2[admin.LimitsList, error] {
	return func(yield func(admin.LimitsList, error) bool) {
		v := n.catalog.View()
		if q.Name != "" {
			if u := v.User(q.Name); u == nil {
				yield(admin.LimitsList{}, admin.NotFoundf(admin.UserThing, q.Name))
			} else {
				yield(admin.LimitsList{Name: u.Name, Limits: broker.LimitsJSON(u.Limits)}, nil)
			}
			return
		}
		for u := range v.Users() {
			if u.Limits != (catalog.Limits{}) && !yield(admin.LimitsList{Name: u.Name, Limits: broker.LimitsJSON(u.Limits)}, nil) {
				return
			}
		}
	}
}

// SetUserLimits implements admin.Limits.
func (n *Node) SetUserLimits(ctx context.Context, q admin.NewLimits) (admin.Done, error) {
	if n.catalog.View().User(q.Name) == nil {
		return admin.Done{}, admin.NotFoundf(admin.UserThing, q.Name)
	}
	done, err := carried(n.broker.Load().SetUserLimits(ctx, q.Name, q.Limits))
	if err == nil {
		n.log.Info("limits of a user set", "user", q.Name, "text", string(q.Limits))
	}
	return done, err
}
