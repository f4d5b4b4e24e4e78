package admin

import (
	"context"
	"encoding/json"
	"iter"
)

// Policies are what there is to ask about policies and parameters.
type Policies interface {
	// Policies lists the policies of a vhost by name.
	Policies(ctx context.Context, q PolicyQuery) iter.Seq2[Policy, error]
	// Parameters lists the parameters of a vhost, or those of the cluster.
	Parameters(ctx context.Context, q ParameterQuery) iter.Seq2[Parameter, error]
}

// PolicyQuery names a vhost, which has to exist, and which kind.
type PolicyQuery struct {
	VHost    string `json:"vhost"`
	Operator bool   `json:"operator,omitempty"`
}

// Policy gives arguments to what its pattern matches.
type Policy struct {
	VHost      string          `json:"vhost"`
	Name       string          `json:"name"`
	Pattern    string          `json:"pattern"`
	ApplyTo    string          `json:"apply_to"`
	Definition json.RawMessage `json:"definition"`
	Priority   int64           `json:"priority"`
}

// ParameterQuery names a vhost, which has to exist; or asks for the cluster's.
type ParameterQuery struct {
	VHost  string `json:"vhost,omitempty"`
	Global bool   `json:"global,omitempty"`
}

// Parameter is a named value of a component.
type Parameter struct {
	VHost     string          `json:"vhost,omitempty"`
	Component string          `json:"component,omitempty"`
	Name      string          `json:"name"`
	Value     json.RawMessage `json:"value"`
}
