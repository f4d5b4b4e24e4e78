package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

const (
	policyGroup    = "Policies"
	parameterGroup = "Parameters"
)

func policyVerbs() []verb {
	policies := func(operator bool) func(*call) error {
		return func(c *call) error {
			return list(c, policyColumns(), c.node.Policies(c.ctx, client.PolicyQuery{VHost: c.vhost, Operator: operator}))
		}
	}
	return []verb{
		{
			name: "list_policies", tools: ctl | diagnostics, group: policyGroup, timeout: listTime, blank: true,
			short: "Lists all policies in a virtual host", usage: "[--vhost <vhost>] [--no-table-headers]",
			banner: func(c *call) string { return fmt.Sprintf("Listing policies for vhost %q ...", c.vhost) },
			run:    policies(false),
		},
		{
			name: "list_operator_policies", tools: ctl | diagnostics, group: policyGroup, timeout: listTime, blank: true,
			short: "Lists operator policy overrides for a virtual host", usage: "[--vhost <vhost>] [--no-table-headers]",
			banner: func(c *call) string {
				return fmt.Sprintf("Listing operator policy overrides for vhost %q ...", c.vhost)
			},
			run: policies(true),
		},
		{
			name: "list_parameters", tools: ctl | diagnostics, group: parameterGroup, timeout: listTime, blank: true,
			short: "Lists runtime parameters for a virtual host", usage: "[--vhost <vhost>] [--no-table-headers]",
			banner: func(c *call) string { return fmt.Sprintf("Listing runtime parameters for vhost %q ...", c.vhost) },
			run: func(c *call) error {
				return list(c, parameterColumns(), c.node.Parameters(c.ctx, client.ParameterQuery{VHost: c.vhost}))
			},
		},
		{
			name: "list_global_parameters", tools: ctl | diagnostics, group: parameterGroup, timeout: listTime, blank: true,
			short: "Lists global runtime parameters", usage: "[--no-table-headers]",
			banner: func(*call) string { return "Listing global runtime parameters ..." },
			run: func(c *call) error {
				return list(c, parameterColumns()[1:], c.node.Parameters(c.ctx, client.ParameterQuery{Global: true}))
			},
		},
	}
}

func policyColumns() []column[client.Policy] {
	return []column[client.Policy]{
		{"vhost", func(p *client.Policy) any { return p.VHost }},
		{"name", func(p *client.Policy) any { return p.Name }},
		{"pattern", func(p *client.Policy) any { return p.Pattern }},
		{"apply-to", func(p *client.Policy) any { return p.ApplyTo }},
		{"definition", func(p *client.Policy) any { return string(p.Definition) }},
		{"priority", func(p *client.Policy) any { return p.Priority }},
	}
}

func parameterColumns() []column[client.Parameter] {
	return []column[client.Parameter]{
		{"component", func(p *client.Parameter) any { return p.Component }},
		{"name", func(p *client.Parameter) any { return p.Name }},
		{"value", func(p *client.Parameter) any { return string(p.Value) }},
	}
}
