package client

import (
	"context"
	"iter"

	"github.com/warrenmq/warren/admin"
)

// Values of admin that callers of this package use.
type (
	// Policy is one policy.
	Policy = admin.Policy
	// PolicyQuery says which policies.
	PolicyQuery = admin.PolicyQuery
	// Parameter is one parameter.
	Parameter = admin.Parameter
	// ParameterQuery says which parameters.
	ParameterQuery = admin.ParameterQuery
)

// Policies implements admin.Policies.
func (c *Client) Policies(ctx context.Context, q PolicyQuery) iter.Seq2[Policy, error] {
	return list[PolicyQuery, Policy](ctx, c, "/api/v1/policies", q)
}

// Parameters implements admin.Policies.
func (c *Client) Parameters(ctx context.Context, q ParameterQuery) iter.Seq2[Parameter, error] {
	return list[ParameterQuery, Parameter](ctx, c, "/api/v1/parameters", q)
}
