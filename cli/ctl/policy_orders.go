package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/warrenmq/warren/admin/client"
)

func policyOrderVerbs() []verb {
	set := func(operator bool, name, what, short string) verb {
		return verb{
			name: name, tools: ctl, group: policyGroup, short: short, min: 3, max: 3,
			usage:   "[--vhost <vhost>] [--priority <priority>] [--apply-to <apply-to>] <name> <pattern> <definition>",
			options: []option{wholeNumber("priority", "priority"), own("apply-to", "what")},
			banner: func(c *call) string {
				return fmt.Sprintf("Setting %s \"%s\" for pattern \"%s\" to \"%s\" with priority \"%d\" for vhost \"%s\" ...",
					what, c.args[0], c.args[1], c.args[2], c.priority(), c.vhost)
			},
			run: func(c *call) error { return c.setPolicy(operator) },
		}
	}
	clearing := func(operator bool, name, short string) verb {
		return verb{
			name: name, tools: ctl, group: policyGroup, short: short, usage: "[--vhost <vhost>] <name>", min: 1, max: 1,
			banner: func(c *call) string {
				what := "policy"
				if operator {
					what = "operator policy"
				}
				return fmt.Sprintf("Clearing %s \"%s\" on vhost \"%s\" ...", what, c.args[0], c.vhost)
			},
			run: func(c *call) error {
				_, err := c.node.ClearPolicy(c.ctx, client.PolicyOf{VHost: c.vhost, Name: c.args[0], Operator: operator})
				return c.parameterError(err)
			},
		}
	}
	return []verb{
		set(false, "set_policy", "policy", "Sets or updates a policy"),
		clearing(false, "clear_policy", "Clears (removes) a policy"),
		set(true, "set_operator_policy", "operator policy override", "Sets an operator policy that overrides a subset of arguments in user policies"),
		clearing(true, "clear_operator_policy", "Clears an operator policy"),
		{
			name: "set_parameter", tools: ctl, group: parameterGroup, short: "Sets a runtime parameter.", min: 3, max: 3,
			usage: "[--vhost <vhost>] <component_name> <name> <value>",
			banner: func(c *call) string {
				return fmt.Sprintf("Setting runtime parameter \"%s\" for component \"%s\" to \"%s\" in vhost \"%s\" ...", c.args[1], c.args[0], c.args[2], c.vhost)
			},
			run: (*call).setParameter,
		},
		{
			name: "clear_parameter", tools: ctl, group: parameterGroup, short: "Clears a runtime parameter.", min: 2, max: 2,
			usage: "[--vhost <vhost>] <component_name> <name>",
			banner: func(c *call) string {
				return fmt.Sprintf("Clearing runtime parameter \"%s\" for component \"%s\" on vhost \"%s\" ...", c.args[1], c.args[0], c.vhost)
			},
			run: func(c *call) error {
				_, err := c.node.ClearParameter(c.ctx, client.ParameterOf{VHost: c.vhost, Component: c.args[0], Name: c.args[1]})
				return c.parameterError(err)
			},
		},
		{
			name: "set_global_parameter", tools: ctl, group: parameterGroup, short: "Sets a runtime parameter.", usage: "<name> <value>", min: 2, max: 2,
			banner: func(c *call) string {
				return fmt.Sprintf("Setting global runtime parameter \"%s\" to \"%s\" ...", c.args[0], c.args[1])
			},
			run: func(c *call) error {
				if err := c.isJSON(c.args[1]); err != nil {
					return err
				}
				p := client.Parameter{Name: c.args[0], Value: json.RawMessage(c.args[1])}
				_, err := c.node.SetParameter(c.ctx, client.NewParameter{Parameter: p, Global: true})
				return c.parameterError(err)
			},
		},
		{
			name: "clear_global_parameter", tools: ctl, group: parameterGroup, short: "Clears a global runtime parameter", usage: "<name>", min: 1, max: 1,
			banner: func(c *call) string { return fmt.Sprintf("Clearing global runtime parameter \"%s\" ...", c.args[0]) },
			run: func(c *call) error {
				_, err := c.node.ClearParameter(c.ctx, client.ParameterOf{Name: c.args[0], Global: true})
				return c.parameterError(err)
			},
		},
	}
}

// wholeNumber returns an option of a verb that is a whole number.
func wholeNumber(name, takes string) option {
	return option{name: name, takes: takes, set: func(o *options, value string) error {
		o.given[name] = value
		_, err := strconv.ParseInt(value, 10, 64)
		return err
	}}
}

func (c *call) priority() int64 {
	text, _ := c.opt("priority")
	n, _ := strconv.ParseInt(text, 10, 64) // it was checked; none is 0
	return n
}

// isJSON says that a value is none, as RabbitMQ does.
func (c *call) isJSON(text string) error {
	if !json.Valid([]byte(text)) {
		return c.failed(exitUnavailable, "JSON decoding error. Reason: badarg")
	}
	return nil
}

func (c *call) setPolicy(operator bool) error {
	if err := c.isJSON(c.args[2]); err != nil {
		return err
	}
	apply, ok := c.opt("apply-to")
	if !ok {
		apply = "all"
	}
	p := client.Policy{
		VHost: c.vhost, Name: c.args[0], Pattern: c.args[1], Definition: json.RawMessage(c.args[2]),
		Priority: c.priority(), ApplyTo: apply,
	}
	set, err := c.node.SetPolicy(c.ctx, client.NewPolicy{Policy: p, Operator: operator})
	c.warn("note", set.Said) // beside what scripts read
	return c.parameterError(err)
}

func (c *call) setParameter() error {
	if err := c.isJSON(c.args[2]); err != nil {
		return err
	}
	if c.args[0] == "policy" || c.args[0] == "operator_policy" {
		return c.failed(exitUnavailable, "policies may not be set using this method")
	}
	p := client.Parameter{VHost: c.vhost, Component: c.args[0], Name: c.args[1], Value: json.RawMessage(c.args[2])}
	_, err := c.node.SetParameter(c.ctx, client.NewParameter{Parameter: p})
	return c.parameterError(err)
}

// parameterError words errors as the verbs about policies and parameters do,
// which are the same to RabbitMQ.
func (c *call) parameterError(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	clearing := c.verb.name[0] == 'c'
	switch {
	case e.Kind == client.NotFound && (clearing || e.Thing == client.ParameterThing || e.Thing == client.PolicyThing):
		return c.failed(exitUnavailable, "Parameter does not exist")
	case e.Kind == client.Invalid:
		return &failure{exitUnavailable, "Error:\n" + e.Text}
	}
	return err
}
