package node

import (
	"context"
	"encoding/json"
	"iter"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// Policies implements admin.Policies.
func (o operations) Policies(_ context.Context, q admin.PolicyQuery) iter.Seq2[admin.Policy, error] {
	return func(yield func(admin.Policy, error) bool) {
		h, err := o.vhost(q.VHost)
		if err != nil {
			yield(admin.Policy{}, err)
			return
		}
		for p := range o.catalog.View().Policies(h) {
			if p.Operator != q.Operator {
				continue
			}
			d := admin.Policy{
				VHost: h.Name, Name: p.Name, Pattern: p.Pattern, ApplyTo: p.ApplyTo,
				Definition: definition(p.Definition), Priority: p.Priority,
			}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// Parameters implements admin.Policies.
func (o operations) Parameters(_ context.Context, q admin.ParameterQuery) iter.Seq2[admin.Parameter, error] {
	return func(yield func(admin.Parameter, error) bool) {
		var vhost uint64
		if !q.Global {
			h, err := o.vhost(q.VHost)
			if err != nil {
				yield(admin.Parameter{}, err)
				return
			}
			vhost = h.ID
			if l := broker.LimitsJSON(h.Limits); string(l) != "{}" {
				if !yield(admin.Parameter{VHost: h.Name, Component: vhostLimits, Name: "limits", Value: l}, nil) {
					return
				}
			}
		}
		for p := range o.catalog.View().Parameters() {
			if p.VHost != vhost || q.Global && p.Component != "" {
				continue // what has a component and no vhost is the node's own
			}
			d := admin.Parameter{VHost: q.VHost, Component: p.Component, Name: p.Name, Value: asRaw(p.Value)}
			if !yield(d, nil) {
				return
			}
		}
	}
}

// asRaw returns a value that is JSON as it is, and any other as a text.
func asRaw(b []byte) json.RawMessage {
	if json.Valid(b) {
		return b
	}
	return quoted(string(b))
}

// policyName names a policy in force; empty if none is.
func policyName(p *catalog.Policy) string {
	if p == nil {
		return ""
	}
	return p.Name
}

// effective is what a policy and an operator's policy mean together: of a limit
// that both have, the lower one.
func effective(p, operator *catalog.Policy) json.RawMessage {
	if p == nil && operator == nil {
		return nil
	}
	var out message.Table
	if p != nil {
		for name, v := range p.Definition.All() {
			out = message.AppendField(out, name, limited(name, v, operator))
		}
	}
	if operator != nil {
		for name, v := range operator.Definition.All() {
			if _, ok := out.Lookup(name); !ok {
				out = message.AppendField(out, name, v)
			}
		}
	}
	return definition(out)
}

func limited(name string, v message.Value, operator *catalog.Policy) message.Value {
	if operator == nil {
		return v
	}
	most, ok := operator.Definition.Lookup(name)
	if !ok {
		return v
	}
	a, aInt := v.Int()
	b, bInt := most.Int()
	if aInt && bInt && a < b {
		return v
	}
	return most
}
