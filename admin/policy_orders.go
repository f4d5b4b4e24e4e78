package admin

import "context"

// PolicyOrders change policies and parameters.
type PolicyOrders interface {
	// SetPolicy makes or replaces a policy; it holds for what exists, too.
	SetPolicy(ctx context.Context, q NewPolicy) (PolicySet, error)
	ClearPolicy(ctx context.Context, q PolicyOf) (Done, error)
	// SetParameter sets a parameter of a component in a vhost, or one of the
	// cluster, which has no component.
	SetParameter(ctx context.Context, q NewParameter) (Done, error)
	ClearParameter(ctx context.Context, q ParameterOf) (Done, error)
}

// A NewPolicy is a policy to be made.
type NewPolicy struct {
	Policy
	Operator bool `json:"operator,omitempty"`
}

// PolicySet says what came of a policy.
type PolicySet struct {
	// Said is what its words mean that say where queues are, and what it does not
	// reach, a line for each.
	Said []string `json:"said,omitempty"`
}

// PolicyOf names a policy.
type PolicyOf struct {
	VHost    string `json:"vhost"`
	Name     string `json:"name"`
	Operator bool   `json:"operator,omitempty"`
}

// A NewParameter is a parameter to be set. Global says that it is the cluster's.
type NewParameter struct {
	Parameter
	Global bool `json:"global,omitempty"`
}

// ParameterOf names a parameter.
type ParameterOf struct {
	VHost     string `json:"vhost,omitempty"`
	Component string `json:"component,omitempty"`
	Name      string `json:"name"`
	Global    bool   `json:"global,omitempty"`
}
