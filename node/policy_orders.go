package node

import (
	"context"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
)

// carried returns the answer to an order that the broker carried out, or why not.
func carried(err error) (admin.Done, error) {
	if err != nil {
		return admin.Done{}, brokerError(err)
	}
	return admin.Done{}, nil
}

// SetPolicy implements admin.PolicyOrders.
func (n *Node) SetPolicy(ctx context.Context, q admin.NewPolicy) (admin.PolicySet, error) {
	said, err := n.broker.Load().SetPolicy(ctx, broker.Policy{
		VHost: q.VHost, Name: q.Name, Operator: q.Operator, Pattern: q.Pattern, ApplyTo: q.ApplyTo,
		Priority: q.Priority, Definition: q.Definition,
	})
	if err != nil {
		return admin.PolicySet{}, brokerError(err)
	}
	n.log.Info("policy set", "vhost", q.VHost, "text", q.Name)
	return admin.PolicySet{Said: append(said, n.raises(q.Policy, q.Operator)...)}, nil
}

// ClearPolicy implements admin.PolicyOrders.
func (n *Node) ClearPolicy(ctx context.Context, q admin.PolicyOf) (admin.Done, error) {
	done, err := carried(n.broker.Load().ClearPolicy(ctx, q.VHost, q.Name, q.Operator))
	if err == nil {
		n.log.Info("policy cleared", "vhost", q.VHost, "text", q.Name)
	}
	return done, err
}

// SetParameter implements admin.PolicyOrders.
func (n *Node) SetParameter(ctx context.Context, q admin.NewParameter) (admin.Done, error) {
	if q.Global {
		return carried(n.broker.Load().SetGlobalParameter(ctx, q.Name, q.Value))
	}
	return carried(n.broker.Load().SetParameter(ctx, broker.Parameter{VHost: q.VHost, Component: q.Component, Name: q.Name, Value: q.Value}))
}

// ClearParameter implements admin.PolicyOrders.
func (n *Node) ClearParameter(ctx context.Context, q admin.ParameterOf) (admin.Done, error) {
	if q.Global {
		return carried(n.broker.Load().ClearGlobalParameter(ctx, q.Name))
	}
	return carried(n.broker.Load().ClearParameter(ctx, q.VHost, q.Component, q.Name))
}
