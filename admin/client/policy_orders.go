package client

import (
	"context"

	"github.com/warrenmq/warren/admin"
)

// Requests of the orders about policies and parameters.
type (
	// NewPolicy is a policy to be made.
	NewPolicy = admin.NewPolicy
	// PolicySet says what came of it.
	PolicySet = admin.PolicySet
	// PolicyOf names a policy.
	PolicyOf = admin.PolicyOf
	// NewParameter is a parameter to be set.
	NewParameter = admin.NewParameter
	// ParameterOf names a parameter.
	ParameterOf = admin.ParameterOf
)

// SetPolicy implements admin.PolicyOrders.
func (c *Client) SetPolicy(ctx context.Context, q NewPolicy) (PolicySet, error) {
	return act[NewPolicy, PolicySet](ctx, c, "/api/v1/policies/set", q)
}

// ClearPolicy implements admin.PolicyOrders.
func (c *Client) ClearPolicy(ctx context.Context, q PolicyOf) (Done, error) {
	return act[PolicyOf, Done](ctx, c, "/api/v1/policies/clear", q)
}

// SetParameter implements admin.PolicyOrders.
func (c *Client) SetParameter(ctx context.Context, q NewParameter) (Done, error) {
	return act[NewParameter, Done](ctx, c, "/api/v1/parameters/set", q)
}

// ClearParameter implements admin.PolicyOrders.
func (c *Client) ClearParameter(ctx context.Context, q ParameterOf) (Done, error) {
	return act[ParameterOf, Done](ctx, c, "/api/v1/parameters/clear", q)
}
