package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// Limits that operators write, as RabbitMQ names them.
const (
	maxConnections = "max-connections"
	maxQueues      = "max-queues"
	maxChannels    = "max-channels"

	limitsComponent = "vhost-limits"
	limitsName      = "limits"
)

// parseLimits reads limits: numbers under names, where -1 is no limit. Those it
// does not name stay as they are.
func parseLimits(definition []byte, have catalog.Limits, names ...string) (catalog.Limits, string) {
	table, err := ParseJSON(definition)
	if err != nil {
		return have, fmt.Sprintf("limits must be a dictionary: %v", err)
	}
	var unknown message.Table
	for name, v := range table.All() {
		if !slices.Contains(names, name) {
			unknown = message.AppendField(unknown, name, v)
			continue
		}
		n, ok := v.Int()
		if !ok || n < -1 || n >= 1<<62 {
			return have, fmt.Sprintf("%s should be an integer of at least -1, actually was %s", name, term(v))
		}
		var l catalog.Limit
		if n >= 0 {
			l = catalog.AtMost(uint64(n))
		}
		*limitOf(&have, name) = l
	}
	if len(unknown) > 0 {
		return have, "Unrecognised terms " + terms(unknown) + " in limits"
	}
	return have, ""
}

func limitOf(l *catalog.Limits, name string) *catalog.Limit {
	switch name {
	case maxConnections:
		return &l.Connections
	case maxQueues:
		return &l.Queues
	default:
		return &l.Channels
	}
}

// LimitsJSON returns limits as operators write them.
func LimitsJSON(l catalog.Limits) []byte {
	var t message.Table
	for _, name := range []string{maxChannels, maxConnections, maxQueues} {
		if n, ok := limitOf(&l, name).Set(); ok {
			t = message.AppendField(t, name, message.IntOf(message.Int64, int64(n)))
		}
	}
	return AppendJSON(nil, t)
}

// SetVHostLimits replaces the limits of a vhost by those of a JSON object:
// max-connections and max-queues. An empty object clears them. Connections and
// queues that are more stay.
func (b *Broker) SetVHostLimits(ctx context.Context, vhost string, definition []byte) error {
	l, text := parseLimits(definition, catalog.Limits{}, maxConnections, maxQueues)
	if text != "" {
		return invalid(ParameterResource, vhost, limitsName, "Validation failed\n\n%s\n", text)
	}
	_, err := b.operate(ctx, VHostResource, vhost, vhost, &catalog.SetLimits{VHost: vhost, Limits: l})
	return err
}

// SetUserLimits sets those limits of a user that a JSON object names:
// max-connections and max-channels; -1 clears one. Connections and channels
// that are more stay.
func (b *Broker) SetUserLimits(ctx context.Context, user string, definition []byte) error {
	b.limiting.Lock() // what is not named is read and written again
	defer b.limiting.Unlock()
	u := b.View().User(user)
	if u == nil {
		return &Error{Kind: NotFound, Resource: UserResource, Name: user}
	}
	l, text := parseLimits(definition, u.Limits, maxConnections, maxChannels)
	if text != "" {
		return invalid(UserResource, "", user, "Validation failed\n\n%s\n", text)
	}
	_, err := b.operate(ctx, UserResource, "", user, &catalog.SetLimits{User: user, Limits: l})
	return err
}

// A Parameter is a named value of a component, as operators write and read it.
type Parameter struct {
	VHost           string // empty: a global parameter, which has no component
	Component, Name string
	Value           []byte // JSON
}

// SetParameter sets a runtime parameter of a vhost. The one component there is
// so far is vhost-limits; an *Error of kind Invalid has RabbitMQ's text for any
// other.
func (b *Broker) SetParameter(ctx context.Context, p Parameter) error {
	switch {
	case p.Component != limitsComponent:
		return invalid(ParameterResource, p.VHost, p.Name, "Validation failed\n\ncomponent %s not found\n", p.Component)
	case p.Name != limitsName:
		return invalid(ParameterResource, p.VHost, p.Name, "Validation failed\n\nthe only parameter of %s is %s\n", limitsComponent, limitsName)
	}
	return b.SetVHostLimits(ctx, p.VHost, p.Value)
}

// ClearParameter removes a runtime parameter of a vhost.
func (b *Broker) ClearParameter(ctx context.Context, vhost, component, name string) error {
	h := b.View().VHost(vhost)
	switch {
	case h == nil:
		return &Error{Kind: NotFound, Resource: VHostResource, Name: vhost, VHost: vhost}
	case component != limitsComponent || name != limitsName || h.Limits == catalog.Limits{}:
		return &Error{Kind: NotFound, Resource: ParameterResource, Name: name, VHost: vhost}
	}
	return b.SetVHostLimits(ctx, vhost, []byte("{}"))
}

// Parameters lists the runtime parameters of a vhost.
func (b *Broker) Parameters(vhost string) ([]Parameter, error) {
	h := b.View().VHost(vhost)
	if h == nil {
		return nil, &Error{Kind: NotFound, Resource: VHostResource, Name: vhost, VHost: vhost}
	}
	if h.Limits == (catalog.Limits{}) {
		return nil, nil
	}
	return []Parameter{{VHost: vhost, Component: limitsComponent, Name: limitsName, Value: LimitsJSON(h.Limits)}}, nil
}

// SetGlobalParameter sets a parameter of the cluster: any JSON under any name.
// The broker keeps it and does not look at it.
func (b *Broker) SetGlobalParameter(ctx context.Context, name string, value []byte) error {
	switch {
	case name == "" || len(name) > maxPolicyName:
		return invalid(ParameterResource, "", name, "the name of a parameter has 1 to %d bytes", maxPolicyName)
	case len(value) > maxJSON || !json.Valid(value):
		return invalid(ParameterResource, "", name, "the value of a parameter is JSON of at most %d bytes", maxJSON)
	}
	_, err := b.operate(ctx, ParameterResource, "", name, &catalog.SetParameter{Name: name, Value: value})
	return err
}

// ClearGlobalParameter removes a parameter of the cluster.
func (b *Broker) ClearGlobalParameter(ctx context.Context, name string) error {
	_, err := b.operate(ctx, ParameterResource, "", name, &catalog.ClearParameter{Name: name})
	return err
}

// GlobalParameters lists the parameters of the cluster by name.
func (b *Broker) GlobalParameters() (out []Parameter) {
	for p := range b.View().Parameters() {
		if p.VHost == 0 && p.Component == "" {
			out = append(out, Parameter{Name: p.Name, Value: p.Value})
		}
	}
	return out
}
